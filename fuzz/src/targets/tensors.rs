//! Requests to a model server: JSON, JSON with binary data behind it, and tensors in their binary form.

use bytes::Bytes;
use fieldmark_tensors::json::{InferRequest, InputTensor, Source, parse_request};
use fieldmark_tensors::{Datatype, Elements, binary, element_count, numbers};
use serde_json::Value;

/// Two bytes say how long the JSON is; the rest is binary data, as the protocol's extension has it.
pub(super) fn request(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (head, data) = rest.split_at(length);
    let parsed = parse_request(head);
    // A long request is read in another way, and must be read the same.
    let long = [&[b' '; 512][..], head].concat();
    assert!(alike(parsed.as_ref().ok(), parse_request(&long).as_ref().ok()));
    let Ok(request) = parsed else { return };
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

/// Whether two readings are equal, but for the last bit of FP64 (see `fieldmark_tensors::json`) and what it rounds to.
fn alike(a: Option<&InferRequest>, b: Option<&InferRequest>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_none() && b.is_none();
    };
    let rounded = |datatype| {
        matches!(
            datatype,
            Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64
        )
    };
    let tensor = |(a, b): (&InputTensor, &InputTensor)| {
        let (mut a, mut b) = (a.clone(), b.clone());
        if let (true, Source::Json(Elements::Dense(x)), Source::Json(Elements::Dense(y))) =
            (rounded(a.datatype), &a.source, &b.source)
        {
            let close = |(x, y): (&f64, &f64)| x == y || (x - y).abs() <= x.abs() * 1e-2;
            let (x, y) = (numbers(a.datatype, x), numbers(b.datatype, y));
            if x.len() != y.len() || !x.iter().zip(&y).all(close) {
                return false;
            }
            (a.source, b.source) = (Source::Binary(0), Source::Binary(0));
        }
        a == b
    };
    (&a.id, &a.parameters, &a.outputs, a.inputs.len()) == (&b.id, &b.parameters, &b.outputs, b.inputs.len())
        && a.inputs.iter().zip(&b.inputs).all(tensor)
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
