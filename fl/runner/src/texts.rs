//! Texts on the wire to the lists of strings that models take, and back.
//!
//! TorchScript has no tensor of texts: an input of the datatype BYTES becomes a `List[str]`, so it has one
//! dimension, and its elements are UTF-8 without the character NUL.

use bytes::Bytes;
use fieldmark_sandbox::{Failure, Input, Outputs};

/// Checks an input of texts.
pub(crate) fn to_list(input: &Input<'_>, texts: &[Bytes]) -> Result<Vec<String>, Failure> {
    let (name, shape, count) = (input.name, input.shape, texts.len());
    if shape.len() != 1 {
        return Err(Failure::input(format!(
            "input {name:?}: shape {shape:?} with {count} texts; a list of texts has the shape [{count}]"
        )));
    }
    let text = |(at, bytes): (usize, &Bytes)| match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text.to_owned()),
        Ok(_) => Err(Failure::input(format!(
            "input {name:?}: text {at} contains the character NUL"
        ))),
        Err(_) => Err(Failure::input(format!("input {name:?}: text {at} is not UTF-8"))),
    };
    texts.iter().enumerate().map(text).collect()
}

/// Passes a list of texts on.
pub(crate) fn from_list(name: String, texts: Vec<String>, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
    let count = i64::try_from(texts.len()).unwrap_or(i64::MAX);
    let texts = texts.into_iter().map(String::into_bytes).collect();
    outputs.texts(name, vec![count], texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_sandbox::Content;

    fn list(shape: &[i64], texts: &[&[u8]]) -> Result<Vec<String>, Failure> {
        let texts: Vec<Bytes> = texts.iter().map(|text| Bytes::copy_from_slice(text)).collect();
        let input = Input {
            name: "text",
            shape,
            content: Content::Texts(&texts),
        };
        to_list(&input, &texts)
    }

    #[test]
    fn texts_survive_the_round_trip() {
        let texts = list(&[2], &[b"good", "über".as_bytes()]).unwrap();
        let mut outputs = Outputs::inline(1 << 20);
        from_list("text".into(), texts, &mut outputs).unwrap();
        assert_eq!(outputs.finish()[0].texts, ["good", "über"]);
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused() {
        for (shape, texts, sign) in [
            (&[2_i64, 1][..], &[&b"a"[..], b"b"][..], "[2]"),
            (&[1], &[&[0xff]], "not UTF-8"),
            (&[1], &[b"a\0b"], "NUL"),
        ] {
            let message = list(shape, texts).unwrap_err().message;
            assert!(message.contains(sign), "{message}");
        }
    }
}
