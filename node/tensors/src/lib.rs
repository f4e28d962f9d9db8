//! Tensors as the Open Inference Protocol (version 2) sends them: datatypes, checked shapes and byte counts,
//! the JSON form and the binary form. No socket, no file, no clock.
//!
//! Everything that comes in is hostile until it was counted here: products of sizes are checked for overflow,
//! the number of elements must be what the shape says, and every list is bounded. What a model declares is
//! compared elsewhere; this crate knows one tensor at a time, and one request.
//!
//! Numbers without a JSON form: outputs that are NaN or infinite are written as `null`; inputs must be finite
//! numbers in JSON, and take any bits in binary.
//!
//! ```
//! let body = br#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 2]]}]}"#;
//! let request = fieldmark_tensors::json::parse_request(body)?;
//! assert_eq!(request.inputs[0].shape, [1, 2]);
//! # Ok::<(), fieldmark_tensors::json::RequestError>(())
//! ```

pub mod binary;
mod datatype;
pub mod json;
mod numbers;
mod parameters;
mod shape;
mod tensor;
pub mod values;

pub use datatype::Datatype;
pub use fieldmark_protocol::release::TensorSpec;
pub use numbers::numbers;
pub use parameters::{Parameter, Parameters};
pub use shape::{RANK_MAX, ShapeError, byte_count, element_count, fits};
pub use tensor::{Elements, Size, Tensor, TensorError, check, zeros};
