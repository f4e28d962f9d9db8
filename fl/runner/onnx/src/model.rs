//! A loaded model: inputs in by name, one run, outputs out by name.

use crate::tensor::{from_onnx, to_onnx};
use crate::thrown;
use fieldmark_sandbox::{Failure, FailureCode, Input, Model, OUTPUTS_MAX, Outputs, in_order};
use ort::session::Session;
use ort::value::{Outlet, ValueType};
use std::time::{Duration, Instant};

/// One model, ready to run.
#[derive(Debug)]
pub(crate) struct OnnxModel {
    session: Session,
    inputs: Vec<(String, ValueType)>,
    outputs: Vec<String>,
}

impl OnnxModel {
    /// The names are those of the manifest; empty ones mean all of the graph, in its order.
    pub(crate) fn new(session: Session, inputs: &[String], outputs: &[String]) -> Result<Self, Failure> {
        let found: Vec<(String, ValueType)> = session.inputs().iter().map(named).collect();
        check("input", inputs, &mut found.iter().map(|(name, _)| name.as_str()))?;
        if let Some((name, _)) = found
            .iter()
            .find(|(name, _)| !inputs.is_empty() && !inputs.contains(name))
        {
            return Err(Failure::new(
                FailureCode::Artifact,
                format!("the model needs an input {name:?} that the manifest does not name"),
            ));
        }
        check("output", outputs, &mut session.outputs().iter().map(Outlet::name))?;
        let outputs = match outputs {
            [] => session
                .outputs()
                .iter()
                .map(|output| output.name().to_owned())
                .collect(),
            named => named.to_vec(),
        };
        if outputs.len() > OUTPUTS_MAX {
            return Err(Failure::new(
                FailureCode::Artifact,
                format!("the model has {} outputs, {OUTPUTS_MAX} allowed", outputs.len()),
            ));
        }
        Ok(Self {
            session,
            inputs: found,
            outputs,
        })
    }
}

fn named(outlet: &Outlet) -> (String, ValueType) {
    (outlet.name().to_owned(), outlet.dtype().clone())
}

/// Every name that the manifest gives is one of the graph's.
fn check(what: &str, named: &[String], found: &mut dyn Iterator<Item = &str>) -> Result<(), Failure> {
    let found: Vec<&str> = found.collect();
    match named.iter().find(|name| !found.contains(&name.as_str())) {
        Some(name) => Err(Failure::new(
            FailureCode::Artifact,
            format!(
                "the manifest names an {what} {name:?}, the model has {}",
                found.join(", ")
            ),
        )),
        None => Ok(()),
    }
}

impl Model for OnnxModel {
    fn run(&mut self, inputs: &[Input<'_>], outputs: &mut Outputs<'_>) -> Result<Duration, Failure> {
        let names: Vec<String> = self.inputs.iter().map(|(name, _)| name.clone()).collect();
        let ordered = in_order(&names, inputs)?;
        let values = ordered
            .into_iter()
            .zip(&self.inputs)
            .map(|(input, (name, expected))| Ok((name.as_str(), to_onnx(input, expected)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let started = Instant::now();
        let results = self
            .session
            .run(values)
            .map_err(|error| thrown(FailureCode::Model, &error))?;
        let forward = started.elapsed();
        for name in &self.outputs {
            let value = results
                .get(name)
                .ok_or_else(|| Failure::output(format!("the model gave no output {name:?}")))?;
            from_onnx(name.clone(), value, outputs)?;
        }
        Ok(forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Settings, session};
    use crate::warm_up::{self, field, number, product};
    use crate::{library, load};
    use fieldmark_proto::v1::Tensor;
    use fieldmark_sandbox::{Datatype, RunnerLoad, testing};
    use ort::environment::Environment;
    use std::sync::OnceLock;

    /// One environment is all that a process may have.
    fn environment() -> &'static Environment {
        static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
        ENVIRONMENT.get_or_init(|| {
            let library = library::find(None).unwrap();
            let environment = warm_up::open(&library).unwrap();
            warm_up::run(&environment, &Settings::default()).unwrap();
            environment
        })
    }

    fn model(bytes: &[u8], inputs: &[&str], outputs: &[&str]) -> Result<OnnxModel, Failure> {
        let session = session(environment(), &Settings::default(), bytes).unwrap();
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        OnnxModel::new(session, &own(inputs), &own(outputs))
    }

    /// `y = x` of one dimension of any extent, with elements of ONNX's type number `element`.
    fn identity(element: u8) -> Vec<u8> {
        let value = |name: &[u8]| {
            let shape = field(2, &field(1, &field(2, b"n")));
            let tensor = field(1, &[number(1, element), shape].concat());
            [field(1, name), field(2, &tensor)].concat()
        };
        let node = [field(1, b"x"), field(2, b"y"), field(4, b"Identity")].concat();
        let graph = [
            field(1, &node),
            field(2, b"g"),
            field(11, &value(b"x")),
            field(12, &value(b"y")),
        ]
        .concat();
        [number(1, 8), field(7, &graph), field(8, &number(2, 16))].concat()
    }

    fn matrix(rows: i64, values: &[f32]) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![rows, rows],
            data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Tensor::default()
        }
    }

    #[test]
    fn axes_may_have_any_extent() {
        let mut model = model(&product(), &["x"], &["y"]).unwrap();
        for (rows, values, first) in [(1, &[3.0][..], 9.0_f32), (2, &[1.0, 2.0, 3.0, 4.0], 7.0)] {
            let outputs = testing::run(&mut model, &[matrix(rows, values)], 1 << 20).unwrap();
            assert_eq!(
                (outputs[0].name.as_str(), &outputs[0].shape[..]),
                ("y", &[rows, rows][..])
            );
            assert_eq!(outputs[0].data[..4], first.to_le_bytes());
        }
    }

    #[test]
    fn every_datatype_passes_through() {
        let numbers = [9, 2, 4, 12, 13, 3, 5, 6, 7, 10, 16, 1, 11];
        for (datatype, number) in Datatype::ALL.into_iter().zip(numbers) {
            let input = Tensor {
                name: "x".into(),
                datatype: datatype.name().into(),
                shape: vec![3],
                data: vec![1; 3 * datatype.width()].into(),
                ..Tensor::default()
            };
            let mut model = model(&identity(number), &[], &[]).unwrap();
            let outputs = testing::run(&mut model, std::slice::from_ref(&input), 1 << 20).unwrap();
            assert_eq!(
                (&outputs[0].datatype, &outputs[0].data),
                (&input.datatype, &input.data)
            );
        }
        let texts = Tensor {
            name: "x".into(),
            datatype: "BYTES".into(),
            shape: vec![2],
            texts: vec!["good".into(), "über".into()],
            ..Tensor::default()
        };
        let mut model = model(&identity(8), &[], &[]).unwrap();
        let outputs = testing::run(&mut model, std::slice::from_ref(&texts), 1 << 20).unwrap();
        assert_eq!(outputs[0].texts, texts.texts);
    }

    #[test]
    fn a_request_that_does_not_fit_the_graph_is_the_callers_fault() {
        let mut model = model(&product(), &[], &[]).unwrap();
        let integers = Tensor {
            datatype: "INT32".into(),
            ..matrix(1, &[1.0])
        };
        let line = Tensor {
            shape: vec![4],
            ..matrix(2, &[0.0; 4])
        };
        for (input, sign) in [(integers, "takes FP32"), (line, "rank")] {
            let failure = testing::run(&mut model, &[input], 1 << 20).unwrap_err();
            assert_eq!(failure.code, FailureCode::Input, "{}", failure.message);
            assert!(failure.message.contains(sign), "{}", failure.message);
        }
        assert!(
            testing::run(&mut model, &[], 1 << 20)
                .unwrap_err()
                .message
                .contains("\"x\" is missing")
        );
    }

    #[test]
    fn a_manifest_that_names_what_the_graph_lacks_is_refused() {
        for (inputs, outputs, sign) in [
            (&["z"][..], &[][..], "\"z\""),
            (&["x"], &["z"], "the model has y"),
        ] {
            let failure = model(&product(), inputs, outputs).unwrap_err();
            assert_eq!(failure.code, FailureCode::Artifact);
            assert!(failure.message.contains(sign), "{}", failure.message);
        }
    }

    #[test]
    fn what_is_no_model_is_refused_with_the_reason() {
        let entry = [field(1, b"location"), field(2, b"w.bin")].concat();
        let tensor = [field(8, b"w"), field(13, &entry), number(14, 1)].concat();
        let outside = field(7, &field(5, &tensor));
        for (bytes, sign) in [
            (&b"hello world"[..], "not an ONNX model"),
            (b"\x80\x02}q", "pickle"),
            (&outside, "w.bin"),
        ] {
            let request = RunnerLoad::default();
            let loaded = load::load(environment(), &Settings::default(), &mut &bytes[..], &request);
            let failure = loaded.unwrap_err();
            assert_eq!(failure.code, FailureCode::Artifact);
            assert!(failure.message.contains(sign), "{}", failure.message);
        }
    }
}
