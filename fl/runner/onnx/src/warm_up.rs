//! Opens ONNX Runtime and runs a model of our own once, with one thread, while files can still be opened.

use crate::load::{Settings, session};
use ort::environment::Environment;
use ort::value::Tensor;
use std::path::Path;

/// A field of a protobuf message that holds bytes.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX).min(0x7f);
    [&[number << 3 | 2, length], content].concat()
}

/// A field of a protobuf message that holds a small number.
pub(crate) fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// The model `y = x · x`, a product of FP32 matrices of any size: a heavy kernel, so that its choice is made.
/// Every part is shorter than 128 bytes.
pub(crate) fn product() -> Vec<u8> {
    let value = |name: &[u8]| {
        let free = |name: &[u8]| field(1, &field(2, name));
        let shape = field(2, &[free(b"n"), free(b"n")].concat());
        let tensor = field(1, &[number(1, 1), shape].concat());
        [field(1, name), field(2, &tensor)].concat()
    };
    let node = [
        field(1, b"x"),
        field(1, b"x"),
        field(2, b"y"),
        field(4, b"MatMul"),
    ]
    .concat();
    let graph = [
        field(1, &node),
        field(2, b"product"),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ]
    .concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 13))].concat()
}

/// Opens the library and returns the environment, which must be kept.
pub(crate) fn open(library: &Path) -> Result<Environment, String> {
    ort::init_from(library)
        .map_err(|error| error.to_string())?
        .with_name("fieldmark")
        .with_telemetry(false)
        .build()
        .map_err(|error| error.to_string())
}

/// Runs the product once.
pub(crate) fn run(environment: &Environment, settings: &Settings) -> Result<(), String> {
    let told = |error: ort::Error| error.message().to_owned();
    let mut session = session(environment, settings, &product()).map_err(told)?;
    let input = Tensor::from_array(([2_i64, 2], vec![1.0_f32, 2.0, 3.0, 4.0])).map_err(told)?;
    let outputs = session.run(vec![("x", input)]).map_err(told)?;
    let product = outputs
        .get("y")
        .and_then(|value| value.try_extract_tensor::<f32>().ok());
    match product {
        Some((_, [7.0, 10.0, 15.0, 22.0])) => Ok(()),
        _ => Err("a product came out wrong".to_owned()),
    }
}
