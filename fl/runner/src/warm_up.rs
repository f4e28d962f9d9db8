//! Opens everything libtorch opens lazily, with one thread, while files can still be opened.
//!
//! libtorch links its operators statically, but the first product, convolution and interpreted module touch
//! per-process state (kernel selection, the just-in-time compiler's registries, locale). Done once here, it
//! needs no file afterwards. Nothing untrusted takes part.

use tch::{CModule, Device, Kind, TchError, Tensor};

/// Runs one of each kind of operation on tensors of our own.
pub(crate) fn run() -> Result<(), TchError> {
    tch::set_num_interop_threads(1);
    use_threads(1);
    let _guard = tch::no_grad_guard();
    let image = Tensor::f_rand([1, 1, 8, 8], (Kind::Float, Device::Cpu))?;
    let kernel = Tensor::f_rand([2, 1, 3, 3], (Kind::Float, Device::Cpu))?;
    let weights = Tensor::f_rand([72, 4], (Kind::Float, Device::Cpu))?;
    let mut network = |inputs: &[Tensor]| {
        inputs
            .iter()
            .map(|input| pass(input, &kernel, &weights))
            .collect()
    };
    let module = CModule::create_by_tracing("WarmUp", "forward", std::slice::from_ref(&image), &mut network)?;
    module.forward_ts(&[image]).map(drop)
}

/// Sets how many threads one operation may use. Threads start with the first operation that needs them.
pub(crate) fn use_threads(threads: u32) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
}

fn pass(image: &Tensor, kernel: &Tensor, weights: &Tensor) -> Tensor {
    let no_bias: Option<&Tensor> = None;
    let features = image.conv2d(kernel, no_bias, [1], [0], [1], 1);
    features
        .relu()
        .reshape([-1, 72])
        .matmul(weights)
        .softmax(-1, Kind::Float)
}
