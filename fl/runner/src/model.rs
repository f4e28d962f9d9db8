//! A loaded release: inputs in by name, `forward`, outputs out by name.

use crate::tensor::{from_torch, to_torch};
use crate::{cuda, texts, thrown};
use fieldmark_sandbox::{Content, Failure, FailureCode, Input, Model, OUTPUTS_MAX, Outputs, in_order};
use std::time::{Duration, Instant};
use tch::{CModule, Device, IValue};

/// Longest name of an output that a model chooses itself.
const NAME_BYTES_MAX: usize = 256;

/// One release, ready to run.
#[derive(Debug)]
pub(crate) struct TorchModel {
    module: CModule,
    input_names: Vec<String>,
    output_names: Vec<String>,
    device: Device,
}

impl Model for TorchModel {
    fn run(&mut self, inputs: &[Input<'_>], outputs: &mut Outputs<'_>) -> Result<Duration, Failure> {
        let _guard = tch::no_grad_guard();
        let arguments = in_order(&self.input_names, inputs)?
            .into_iter()
            .map(|input| argument(input, self.device))
            .collect::<Result<Vec<_>, Failure>>()?;
        let started = Instant::now();
        let result = self
            .module
            .forward_is(&arguments)
            .map_err(|error| thrown(FailureCode::Model, &error))?;
        if self.device != Device::Cpu {
            // The call only queues the work; what failed is told here.
            cuda::wait(self.device)?;
        }
        let forward = started.elapsed();
        for (name, value) in self.name(result)? {
            match value {
                Output::Tensor(tensor) => from_torch(name, &tensor, outputs)?,
                Output::Texts(given) => texts::from_list(name, given, outputs)?,
            }
        }
        Ok(forward)
    }
}

impl TorchModel {
    /// Empty names mean: inputs as they come, outputs numbered.
    pub(crate) fn new(
        module: CModule,
        input_names: Vec<String>,
        output_names: Vec<String>,
        device: Device,
    ) -> Self {
        Self {
            module,
            input_names,
            output_names,
            device,
        }
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
            IValue::String(name) if name.len() <= NAME_BYTES_MAX => Ok((name, output(value)?)),
            _ => Err(Failure::output(
                "the model returned a dictionary whose keys are no short names",
            )),
        })
        .collect()
}

/// What `forward` is given: a tensor, or a list of texts.
fn argument(input: &Input<'_>, device: Device) -> Result<IValue, Failure> {
    match &input.content {
        Content::Texts(texts) => Ok(IValue::StringList(texts::to_list(input, texts)?)),
        Content::Dense(dense) => Ok(IValue::Tensor(to_torch(input, dense, device)?)),
    }
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
    use fieldmark_proto::v1::Tensor;
    use fieldmark_sandbox::testing;
    use tch::Kind;

    fn doubling(input_names: &[&str], output_names: &[&str]) -> TorchModel {
        let example = tch::Tensor::f_zeros([2], (Kind::Float, Device::Cpu)).unwrap();
        let mut double = |inputs: &[tch::Tensor]| vec![&inputs[0] * 2.0];
        let module = CModule::create_by_tracing("Double", "forward", &[example], &mut double).unwrap();
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TorchModel::new(module, own(input_names), own(output_names), Device::Cpu)
    }

    fn ones(name: &str) -> Tensor {
        let data: Vec<u8> = [1.0_f32, 1.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Tensor {
            name: name.into(),
            datatype: "FP32".into(),
            shape: vec![2],
            data: data.into(),
            ..Tensor::default()
        }
    }

    fn run(mut model: TorchModel, inputs: &[Tensor], bytes_max: usize) -> Result<Vec<Tensor>, Failure> {
        testing::run(&mut model, inputs, bytes_max)
    }

    #[test]
    fn names_are_matched_and_given() {
        let outputs = run(doubling(&["x"], &["y"]), &[ones("x")], 1 << 20).unwrap();
        assert_eq!(outputs[0].name, "y");
        assert_eq!(outputs[0].data[..4], 2.0_f32.to_le_bytes());
        let unnamed = run(doubling(&[], &[]), &[ones("any")], 1 << 20).unwrap();
        assert_eq!(unnamed[0].name, "output_0");
    }

    #[test]
    fn an_exception_in_the_model_is_the_models_fault() {
        let failure = run(doubling(&[], &[]), &[], 1 << 20).unwrap_err();
        assert_eq!(failure.code, FailureCode::Model);
    }

    #[test]
    fn an_output_beyond_the_limit_is_refused() {
        let failure = run(doubling(&[], &[]), &[ones("x")], 4).unwrap_err();
        assert_eq!(failure.code, FailureCode::Output);
    }
}
