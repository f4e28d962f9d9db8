//! Texts on the wire to the lists of strings that models take, and back.
//!
//! TorchScript has no tensor of texts: an input of the datatype BYTES becomes a `List[str]`, so it has one
//! dimension, and its elements are UTF-8 without the character NUL.

use crate::failure::Failure;
use fieldmark_proto::v1::Tensor;

/// The datatype of texts.
pub(crate) const DATATYPE: &str = "BYTES";
/// Bytes on the wire around each text, at most.
const AROUND: usize = 8;

/// Checks an input of texts.
pub(crate) fn to_list(tensor: &Tensor) -> Result<Vec<String>, Failure> {
    let (name, shape) = (&tensor.name, &tensor.shape);
    let count = tensor.texts.len();
    let fits = matches!(shape.as_slice(), [size] if usize::try_from(*size) == Ok(count));
    if !fits || !tensor.data.is_empty() {
        return Err(Failure::input(format!(
            "input {name:?}: shape {shape:?} with {count} texts; a list of texts has the shape [{count}]"
        )));
    }
    let text = |(at, bytes): (usize, &Vec<u8>)| match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text.to_owned()),
        Ok(_) => Err(Failure::input(format!(
            "input {name:?}: text {at} contains the character NUL"
        ))),
        Err(_) => Err(Failure::input(format!("input {name:?}: text {at} is not UTF-8"))),
    };
    tensor.texts.iter().enumerate().map(text).collect()
}

/// An output of texts, if it fits in `bytes_left`.
pub(crate) fn from_list(name: String, texts: Vec<String>, bytes_left: usize) -> Result<Tensor, Failure> {
    let bytes: usize = texts.iter().map(|text| text.len() + AROUND).sum();
    let count = texts.len();
    let Some(size) = i64::try_from(count).ok().filter(|_| bytes <= bytes_left) else {
        return Err(Failure::output(format!(
            "output {name:?} of {count} texts exceeds the {bytes_left} bytes left"
        )));
    };
    Ok(Tensor {
        name,
        datatype: DATATYPE.to_owned(),
        shape: vec![size],
        data: Vec::new(),
        texts: texts.into_iter().map(String::into_bytes).collect(),
    })
}

/// Bytes that an output's elements take on the wire.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    let texts = tensor.texts.iter().map(|text| text.len() + AROUND);
    tensor.data.len() + texts.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(shape: &[i64], texts: &[&[u8]]) -> Tensor {
        Tensor {
            name: "text".into(),
            datatype: DATATYPE.into(),
            shape: shape.into(),
            data: Vec::new(),
            texts: texts.iter().map(|text| text.to_vec()).collect(),
        }
    }

    #[test]
    fn texts_survive_the_round_trip() {
        let sent = given(&[2], &[b"good", "über".as_bytes()]);
        let list = to_list(&sent).unwrap();
        assert_eq!(from_list("text".into(), list, 100).unwrap(), sent);
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused() {
        for (tensor, sign) in [
            (given(&[3], &[b"a", b"b"]), "[2]"),
            (given(&[2, 1], &[b"a", b"b"]), "[2]"),
            (given(&[-1], &[]), "[0]"),
            (given(&[1], &[&[0xff]]), "not UTF-8"),
            (given(&[1], &[b"a\0b"]), "NUL"),
        ] {
            let message = to_list(&tensor).unwrap_err().message;
            assert!(message.contains(sign), "{message}");
        }
    }

    #[test]
    fn an_output_beyond_the_limit_is_refused() {
        assert!(from_list("y".into(), vec!["long".into()], 4).is_err());
    }
}
