//! Finds weights that an ONNX model keeps in other files, by walking the protobuf without the schema's code.
//!
//! Field numbers are those of `onnx.proto3`. What cannot be walked is left to ONNX Runtime to refuse.

/// Deepest nesting of graphs in attributes that is followed.
const DEPTH_MAX: usize = 64;

/// The messages on the way to a tensor.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Sparse,
    Training,
    Tensor,
}

impl Message {
    /// The message that a field of this one holds, if it leads to tensors.
    const fn inside(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Some(Self::Graph),
            (Self::Model, 20) => Some(Self::Training),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Some(Self::Tensor),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::Sparse),
            (Self::Node, 5) | (Self::Function, 11) => Some(Self::Attribute),
            _ => None,
        }
    }
}

/// A field's content.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The file in which a tensor of the model lies outside it, if there is one.
pub(crate) fn find(model: &[u8]) -> Option<String> {
    walk(Message::Model, model, 0)
}

fn walk(message: Message, mut bytes: &[u8], depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    if matches!(message, Message::Tensor) {
        return location(bytes);
    }
    while let Some((field, value)) = next(&mut bytes) {
        if let (Some(inner), Value::Bytes(content)) = (message.inside(field), value)
            && let Some(found) = walk(inner, content, depth + 1)
        {
            return Some(found);
        }
    }
    None
}

/// Where a tensor lies: `data_location` (14) is 1 for outside, `external_data` (13) holds keys and values.
fn location(mut tensor: &[u8]) -> Option<String> {
    let (mut outside, mut place) = (false, None);
    while let Some((field, value)) = next(&mut tensor) {
        match (field, value) {
            (14, Value::Number(1)) => outside = true,
            (13, Value::Bytes(entry)) => place = place.or_else(|| named_location(entry)),
            _ => {}
        }
    }
    outside.then(|| place.unwrap_or_else(|| "an unnamed file".to_owned()))
}

fn named_location(mut entry: &[u8]) -> Option<String> {
    let (mut key, mut text) = (None, None);
    while let Some((field, value)) = next(&mut entry) {
        match (field, value) {
            (1, Value::Bytes(bytes)) => key = Some(bytes),
            (2, Value::Bytes(bytes)) => text = Some(bytes),
            _ => {}
        }
    }
    (key == Some(b"location")).then(|| String::from_utf8_lossy(text.unwrap_or_default()).into_owned())
}

/// Takes the next field off `bytes`; `None` at the end or at what is no field.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(bytes)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(bytes)?),
        1 => Value::Bytes(take(bytes, 8)?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Value::Bytes(take(bytes, length)?)
        }
        5 => Value::Bytes(take(bytes, 4)?),
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(length)?;
    *bytes = tail;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warm_up::{field, number, product};

    fn outside() -> Vec<u8> {
        let entry = [field(1, b"location"), field(2, b"../weights.bin")].concat();
        [field(13, &entry), number(14, 1)].concat()
    }

    #[test]
    fn weights_in_other_files_are_found_wherever_they_hang() {
        let graph = field(5, &outside());
        let attribute = field(5, &field(6, &graph));
        for model in [
            field(7, &graph),
            field(7, &field(1, &attribute)),
            field(7, &field(1, &field(5, &field(10, &outside())))),
            field(7, &field(15, &field(1, &outside()))),
        ] {
            assert_eq!(find(&model).as_deref(), Some("../weights.bin"));
        }
    }

    #[test]
    fn a_whole_model_and_what_is_none_have_no_other_files() {
        assert_eq!(find(&product()), None);
        for bytes in [&b""[..], b"\x80\x02}q", &[0xff; 64], b"\x3a\x7f"] {
            assert_eq!(find(bytes), None, "{bytes:?}");
        }
    }
}
