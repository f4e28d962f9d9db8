//! Requests to a model server: JSON, JSON with binary data behind it, and tensors in their binary form.

use bytes::Bytes;
use fieldmark_tensors::json::{InputTensor, Source, parse_request};
use fieldmark_tensors::{Datatype, Elements, binary, element_count};
use serde_json::Value;

/// Two bytes say how long the JSON is; the rest is binary data, as the protocol's extension has it.
pub(super) fn request(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (head, data) = rest.split_at(length);
    let Ok(request) = parse_request(head) else { return };
    // What is taken is JSON, and has as many inputs as the JSON says.
    let value: Value = serde_json::from_slice(head).unwrap_or_default();
    let inputs = value.get("inputs").and_then(Value::as_array);
    assert_eq!(inputs.map(Vec::len), Some(request.inputs.len()));
    let mut data = Bytes::copy_from_slice(data);
    for input in request.inputs {
        let InputTensor {
            datatype,
            shape,
            source,
            ..
        } = input;
        match source {
            Source::Json(elements) => agree(datatype, &shape, &elements),
            Source::Binary(count) if count <= data.len() => {
                if let Ok(elements) = binary::decode(datatype, &shape, data.split_to(count)) {
                    agree(datatype, &shape, &elements);
                }
            }
            Source::Binary(_) => return,
        }
    }
}

/// Elements are as many as their shape says.
fn agree(datatype: Datatype, shape: &[i64], elements: &Elements) {
    let found = match (elements, datatype.width()) {
        (Elements::Dense(bytes), Some(width)) => bytes.len() / width,
        (Elements::Texts(texts), None) => texts.len(),
        _ => usize::MAX,
    };
    assert_eq!(Ok(found), element_count(shape));
}

pub(super) fn requests() -> Vec<Vec<u8>> {
    let with = |head: &str, data: &[u8]| {
        let length = u16::try_from(head.len()).unwrap_or(u16::MAX).to_le_bytes();
        [&length[..], head.as_bytes(), data].concat()
    };
    let nested =
        r#"{"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[-3e1,0]]}]}"#;
    let unordered = r#"{"inputs":[{"data":["a","ü"],"shape":[2],"datatype":"BYTES","name":"t"}],
        "outputs":[{"name":"y","parameters":{"binary_data":true,"classification":2}}]}"#;
    let binary = r#"{"parameters":{"binary_data_output":true},"inputs":[
        {"name":"x","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}},
        {"name":"t","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]}"#;
    vec![
        with(nested, b""),
        with(unordered, b""),
        with(binary, b"\x01\x00\x02\x00\x02\x00\x00\x00ab"),
    ]
}
