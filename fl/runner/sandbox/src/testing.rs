//! Requests without a supervisor, for the tests of runtimes.

use crate::{Failure, Input, Model, Outputs, inputs};
use fieldmark_proto::v1::Tensor;

/// Checks `tensors` as a request's inputs are checked, and hands them to `use_them`.
///
/// # Errors
/// Whatever is wrong with them, or `use_them` answers.
pub fn read<T>(
    tensors: &[Tensor],
    use_them: impl FnOnce(&[Input<'_>]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    use_them(&inputs::read(tensors, None)?)
}

/// Runs `model` once as a request would, without shared memory.
///
/// # Errors
/// As the request would be answered.
pub fn run(model: &mut dyn Model, tensors: &[Tensor], bytes_max: usize) -> Result<Vec<Tensor>, Failure> {
    read(tensors, |inputs| {
        let mut outputs = Outputs::inline(bytes_max);
        model.run(inputs, &mut outputs)?;
        Ok(outputs.finish())
    })
}
