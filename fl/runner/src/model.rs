//! A loaded release: inputs in by name, `forward`, outputs out by name.

use crate::failure::Failure;
use crate::tensor::{from_torch, to_torch};
use crate::texts;
use fieldmark_proto::v1::{RunnerFailureCode, Tensor};
use std::collections::BTreeMap;
use tch::{CModule, IValue};

/// Most outputs of one request.
const OUTPUTS_MAX: usize = 256;
/// Bytes kept free in a response for names, shapes and field tags of one output.
const OVERHEAD_BYTES: usize = 512;

/// One release, ready to run.
#[derive(Debug)]
pub(crate) struct Model {
    module: CModule,
    input_names: Vec<String>,
    output_names: Vec<String>,
}

impl Model {
    /// Empty names mean: inputs as they come, outputs numbered.
    pub(crate) fn new(module: CModule, input_names: Vec<String>, output_names: Vec<String>) -> Self {
        Self {
            module,
            input_names,
            output_names,
        }
    }

    /// Runs `forward` once. All outputs together stay below `bytes_max`.
    pub(crate) fn run(&self, inputs: Vec<Tensor>, bytes_max: usize) -> Result<Vec<Tensor>, Failure> {
        let _guard = tch::no_grad_guard();
        let arguments = self
            .in_order(inputs)?
            .iter()
            .map(argument)
            .collect::<Result<Vec<_>, Failure>>()?;
        let result = self
            .module
            .forward_is(&arguments)
            .map_err(|error| Failure::torch(RunnerFailureCode::Model, &error))?;
        self.collect(result, bytes_max)
    }

    fn in_order(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        if self.input_names.is_empty() {
            return Ok(inputs);
        }
        let mut given = BTreeMap::new();
        for input in inputs {
            if let Some(twice) = given.insert(input.name.clone(), input) {
                return Err(Failure::input(format!("input {:?} is given twice", twice.name)));
            }
        }
        let ordered = self
            .input_names
            .iter()
            .map(|name| {
                given
                    .remove(name)
                    .ok_or_else(|| Failure::input(format!("input {name:?} is missing")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        match given.into_keys().next() {
            Some(name) => {
                let known = self.input_names.join(", ");
                Err(Failure::input(format!(
                    "the model has no input {name:?}, only {known}"
                )))
            }
            None => Ok(ordered),
        }
    }

    fn collect(&self, result: IValue, bytes_max: usize) -> Result<Vec<Tensor>, Failure> {
        let named = self.name(result)?;
        let mut bytes_left = bytes_max;
        let mut outputs = Vec::with_capacity(named.len());
        for (name, value) in named {
            bytes_left = bytes_left.saturating_sub(OVERHEAD_BYTES + name.len());
            let output = match value {
                Output::Tensor(tensor) => from_torch(name, &tensor, bytes_left)?,
                Output::Texts(given) => texts::from_list(name, given, bytes_left)?,
            };
            bytes_left = bytes_left.saturating_sub(texts::bytes(&output));
            outputs.push(output);
        }
        Ok(outputs)
    }

    fn name(&self, result: IValue) -> Result<Vec<(String, Output)>, Failure> {
        let values = match result {
            IValue::GenericDict(entries) => return by_key(entries),
            IValue::TensorList(tensors) => tensors.into_iter().map(Output::Tensor).collect(),
            IValue::Tuple(values) | IValue::GenericList(values) => {
                values.into_iter().map(output).collect::<Result<Vec<_>, _>>()?
            }
            other => vec![output(other)?],
        };
        let expected = self.output_names.len();
        if values.len() > OUTPUTS_MAX || (expected > 0 && values.len() != expected) {
            let found = values.len();
            return Err(Failure::output(match expected {
                0 => format!("the model returned {found} outputs, {OUTPUTS_MAX} allowed"),
                _ => format!("the model returned {found} outputs, its manifest names {expected}"),
            }));
        }
        let numbered = (0..values.len()).map(|index| format!("output_{index}"));
        let names: Vec<String> = if expected == 0 {
            numbered.collect()
        } else {
            self.output_names.clone()
        };
        Ok(names.into_iter().zip(values).collect())
    }
}

fn by_key(entries: Vec<(IValue, IValue)>) -> Result<Vec<(String, Output)>, Failure> {
    if entries.len() > OUTPUTS_MAX {
        return Err(Failure::output(format!(
            "the model returned more than {OUTPUTS_MAX} outputs"
        )));
    }
    entries
        .into_iter()
        .map(|(key, value)| match key {
            IValue::String(name) if name.len() <= OVERHEAD_BYTES => Ok((name, output(value)?)),
            _ => Err(Failure::output(
                "the model returned a dictionary whose keys are no short names",
            )),
        })
        .collect()
}

/// What `forward` is given: a tensor, or a list of texts.
fn argument(input: &Tensor) -> Result<IValue, Failure> {
    if input.datatype == texts::DATATYPE {
        return Ok(IValue::StringList(texts::to_list(input)?));
    }
    Ok(IValue::Tensor(to_torch(input)?))
}

/// One output of `forward`.
enum Output {
    Tensor(tch::Tensor),
    Texts(Vec<String>),
}

fn output(value: IValue) -> Result<Output, Failure> {
    match value {
        IValue::Tensor(tensor) => Ok(Output::Tensor(tensor)),
        IValue::StringList(texts) => Ok(Output::Texts(texts)),
        IValue::String(text) => Ok(Output::Texts(vec![text])),
        _ => Err(Failure::output(
            "the model returned something other than tensors and texts",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn doubling(input_names: &[&str], output_names: &[&str]) -> Model {
        let example = tch::Tensor::f_zeros([2], (Kind::Float, Device::Cpu)).unwrap();
        let mut double = |inputs: &[tch::Tensor]| vec![&inputs[0] * 2.0];
        let module = CModule::create_by_tracing("Double", "forward", &[example], &mut double).unwrap();
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Model::new(module, own(input_names), own(output_names))
    }

    fn ones(name: &str) -> Tensor {
        let data = [1.0_f32, 1.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Tensor {
            name: name.into(),
            datatype: "FP32".into(),
            shape: vec![2],
            data,
            texts: Vec::new(),
        }
    }

    #[test]
    fn names_are_matched_and_given() {
        let outputs = doubling(&["x"], &["y"]).run(vec![ones("x")], 1 << 20).unwrap();
        assert_eq!(outputs[0].name, "y");
        assert_eq!(outputs[0].data[..4], 2.0_f32.to_le_bytes());
        assert_eq!(
            doubling(&[], &[]).run(vec![ones("any")], 1 << 20).unwrap()[0].name,
            "output_0"
        );
    }

    #[test]
    fn missing_double_and_unknown_inputs_are_named() {
        let model = doubling(&["x"], &["y"]);
        for (inputs, sign) in [
            (vec![], "\"x\" is missing"),
            (vec![ones("x"), ones("x")], "given twice"),
            (vec![ones("x"), ones("z")], "no input \"z\""),
        ] {
            let failure = model.run(inputs, 1 << 20).unwrap_err();
            assert_eq!(failure.code, RunnerFailureCode::Input);
            assert!(failure.message.contains(sign), "{}", failure.message);
        }
    }

    #[test]
    fn an_exception_in_the_model_is_the_models_fault() {
        let failure = doubling(&[], &[]).run(vec![], 1 << 20).unwrap_err();
        assert_eq!(failure.code, RunnerFailureCode::Model);
    }

    #[test]
    fn an_output_beyond_the_limit_is_refused() {
        let failure = doubling(&[], &[]).run(vec![ones("x")], 4).unwrap_err();
        assert_eq!(failure.code, RunnerFailureCode::Output);
    }
}
