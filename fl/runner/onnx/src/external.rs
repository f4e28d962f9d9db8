//! Finds weights that an ONNX model keeps in other files, by walking the protobuf without the schema's code.
//!
//! Field numbers are those of `onnx.proto3`. What cannot be walked is refused.

use fieldmark_proto::walk::{DEPTH_MAX, Malformed, Value, fields};

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
    const fn inside(self, field: u32) -> Option<Self> {
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

/// The file in which a tensor of the model lies outside it, if there is one.
///
/// # Errors
/// [`Malformed`] for what cannot be walked to its end, where a tensor could hide.
pub(crate) fn find(model: &[u8]) -> Result<Option<String>, Malformed> {
    walk(Message::Model, model, 0)
}

fn walk(message: Message, bytes: &[u8], depth: usize) -> Result<Option<String>, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    if matches!(message, Message::Tensor) {
        return location(bytes);
    }
    for field in fields(bytes) {
        let (field, value) = field?;
        if let (Some(inner), Value::Bytes(content)) = (message.inside(field), value)
            && let Some(found) = walk(inner, content, depth + 1)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where a tensor lies: `data_location` (14) is 1 for outside, `external_data` (13) holds keys and values.
fn location(tensor: &[u8]) -> Result<Option<String>, Malformed> {
    let (mut outside, mut place) = (false, None);
    for field in fields(tensor) {
        match field? {
            // Enumerations have 32 bits: decoders drop the others. The last one counts.
            (14, Value::Number(number)) => outside = number & 0xffff_ffff == 1,
            (13, Value::Bytes(entry)) => place = place.or(named_location(entry)?),
            _ => {}
        }
    }
    Ok(outside.then(|| place.unwrap_or_else(|| "an unnamed file".to_owned())))
}

fn named_location(entry: &[u8]) -> Result<Option<String>, Malformed> {
    let (mut key, mut text) = (None, None);
    for field in fields(entry) {
        match field? {
            (1, Value::Bytes(bytes)) => key = Some(bytes),
            (2, Value::Bytes(bytes)) => text = Some(bytes),
            _ => {}
        }
    }
    let named = key == Some(b"location");
    Ok(named.then(|| String::from_utf8_lossy(text.unwrap_or_default()).into_owned()))
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
            assert_eq!(find(&model).unwrap().as_deref(), Some("../weights.bin"));
        }
    }

    #[test]
    fn a_whole_model_and_what_is_none_have_no_other_files() {
        assert_eq!(find(&product()), Ok(None));
        for bytes in [&b"\x80\x02}q"[..], &[0xff; 64], b"\x3a\x7f"] {
            assert_eq!(find(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn tricks_of_the_encoding_hide_no_file() {
        // 2^32 + 1, of which decoders keep the 1.
        let one = [14 << 3, 0x81, 0x80, 0x80, 0x80, 0x10];
        let wide = [outside(), number(14, 0), one.to_vec()].concat();
        assert!(find(&field(7, &field(5, &wide))).unwrap().is_some());
        // A group, which decoders pass over.
        let group = [vec![(9 << 3) | 3, (9 << 3) | 4], field(5, &outside())].concat();
        assert_eq!(find(&field(7, &group)), Err(Malformed));
    }
}
