//! The JSON form of an inference request and of its answer, read and written without a tree of values.
//!
//! A request's `data`, flat or nested, goes straight into little-endian elements. Numbers are read apart from
//! the JSON around them, by a loop of their own; what that does not know is read by `serde_json`, twice where
//! `data` stands before `datatype`, and FP64 may then differ in its last bit from the decimal written. FP16 and
//! BF16 are numbers here too.
//!
//! Limits: [`TENSORS_MAX`] inputs and as many outputs, [`PARAMETERS_MAX`] parameters in each list, names of
//! [`NAME_BYTES_MAX`] bytes, 128 levels of nesting. Unknown members are passed over; the same member twice
//! is an error.

mod apart;
mod data;
mod members;
mod request;
#[cfg(test)]
mod tests;
mod write;

pub use members::{NAME_BYTES_MAX, PARAMETERS_MAX, TENSORS_MAX};
pub use request::{InferRequest, InputTensor, RequestError, RequestedOutput, Source, parse_request};
pub use write::{AnswerHead, Form, OutputTensor, WriteError, write_answer};
