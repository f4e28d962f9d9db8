//! Inputs of a request, with every length checked: bytes of the frame, or ranges of the shared memory.

use crate::arena::Arena;
use crate::{Datatype, Failure, bytes_of};
use bytes::Bytes;
use fieldmark_proto::v1::Tensor;
use std::collections::BTreeMap;

/// The datatype of texts.
const TEXTS: &str = "BYTES";

/// One input, ready for a runtime.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its extents, outermost first, all 0 or more.
    pub shape: &'a [i64],
    /// Its elements.
    pub content: Content<'a>,
}

/// The elements of an input.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Numbers.
    Dense(Dense<'a>),
    /// Texts, in row-major order, as many as the shape says.
    Texts(&'a [Bytes]),
}

/// Numbers, little endian, in row-major order, in one part or several.
#[derive(Clone, Debug)]
pub struct Dense<'a> {
    /// What they are.
    pub datatype: Datatype,
    parts: Vec<&'a [u8]>,
    shared: bool,
}

impl<'a> Dense<'a> {
    /// All of them in place, if they lie in the shared memory in one aligned part. That memory is never
    /// unmapped, so a tensor may point to it, even one that a model keeps; what it then shows are later inputs.
    #[must_use]
    pub fn in_place(&self) -> Option<&'a [u8]> {
        match self.parts.as_slice() {
            [part] if self.shared && part.as_ptr().addr().is_multiple_of(self.datatype.width()) => Some(part),
            _ => None,
        }
    }

    /// The parts, to be put one behind the other.
    #[must_use]
    pub fn parts(&self) -> &[&'a [u8]] {
        &self.parts
    }

    /// Copies them to `target`, which has exactly [`Dense::bytes`] bytes.
    pub fn copy_to(&self, target: &mut [u8]) {
        let mut rest = target;
        for part in &self.parts {
            let Some((head, tail)) = rest.split_at_mut_checked(part.len()) else {
                return;
            };
            head.copy_from_slice(part);
            rest = tail;
        }
    }

    /// Their number of bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}

/// Checks the inputs of a request.
pub(crate) fn read<'a>(tensors: &'a [Tensor], arena: Option<&'a Arena>) -> Result<Vec<Input<'a>>, Failure> {
    tensors.iter().map(|tensor| read_one(tensor, arena)).collect()
}

fn read_one<'a>(tensor: &'a Tensor, arena: Option<&'a Arena>) -> Result<Input<'a>, Failure> {
    let content = if tensor.datatype == TEXTS {
        texts(tensor)?
    } else {
        Content::Dense(dense(tensor, arena)?)
    };
    Ok(Input {
        name: &tensor.name,
        shape: &tensor.shape,
        content,
    })
}

fn texts(tensor: &Tensor) -> Result<Content<'_>, Failure> {
    let (name, shape, count) = (&tensor.name, &tensor.shape, tensor.texts.len());
    if bytes_of(shape, 1) != Some(count) || !tensor.data.is_empty() || !tensor.shared.is_empty() {
        return Err(Failure::input(format!(
            "input {name:?}: shape {shape:?} with {count} texts; BYTES has as many texts as its shape says"
        )));
    }
    Ok(Content::Texts(&tensor.texts))
}

fn dense<'a>(tensor: &'a Tensor, arena: Option<&'a Arena>) -> Result<Dense<'a>, Failure> {
    let (name, shape) = (&tensor.name, &tensor.shape);
    let Some(datatype) = Datatype::named(&tensor.datatype) else {
        let known: Vec<&str> = Datatype::ALL.into_iter().map(Datatype::name).collect();
        let found = &tensor.datatype;
        return Err(Failure::input(format!(
            "input {name:?}: datatype {found:?} is none of {}, {TEXTS}",
            known.join(", ")
        )));
    };
    let expected = bytes_of(shape, datatype.width()).ok_or_else(|| {
        Failure::input(format!(
            "input {name:?}: shape {shape:?} is negative, too large or has too many dimensions"
        ))
    })?;
    let shared = !tensor.shared.is_empty();
    let parts = if shared {
        ranges(tensor, arena)?
    } else {
        vec![tensor.data.as_ref()]
    };
    let dense = Dense {
        datatype,
        parts,
        shared,
    };
    let found = dense.bytes();
    if found != expected || (shared && !tensor.data.is_empty()) {
        let datatype = datatype.name();
        return Err(Failure::input(format!(
            "input {name:?}: shape {shape:?} of {datatype} takes {expected} bytes, {found} given"
        )));
    }
    if datatype == Datatype::Bool && dense.parts.iter().any(|part| part.iter().any(|byte| *byte > 1)) {
        return Err(Failure::input(format!(
            "input {name:?}: a BOOL is neither 0 nor 1"
        )));
    }
    Ok(dense)
}

fn ranges<'a>(tensor: &'a Tensor, arena: Option<&'a Arena>) -> Result<Vec<&'a [u8]>, Failure> {
    let name = &tensor.name;
    let arena = arena
        .ok_or_else(|| Failure::input(format!("input {name:?} lies in shared memory, and there is none")))?;
    let range = |range: &'a fieldmark_proto::v1::SharedRange| {
        arena.read(range.offset, range.bytes).ok_or_else(|| {
            Failure::input(format!(
                "input {name:?}: {} bytes at {} are outside the shared memory of {} bytes",
                range.bytes,
                range.offset,
                arena.bytes()
            ))
        })
    };
    tensor.shared.iter().map(range).collect()
}

/// The inputs in the order of `names`; as given if that is empty.
///
/// # Errors
/// With the code `Input` if one is missing, given twice or unknown.
pub fn in_order<'a, 'b>(names: &[String], inputs: &'b [Input<'a>]) -> Result<Vec<&'b Input<'a>>, Failure> {
    if names.is_empty() {
        return Ok(inputs.iter().collect());
    }
    let mut given = BTreeMap::new();
    for input in inputs {
        if given.insert(input.name, input).is_some() {
            return Err(Failure::input(format!("input {:?} is given twice", input.name)));
        }
    }
    let ordered = names
        .iter()
        .map(|name| {
            given
                .remove(name.as_str())
                .ok_or_else(|| Failure::input(format!("input {name:?} is missing")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    match given.into_keys().next() {
        Some(name) => {
            let known = names.join(", ");
            Err(Failure::input(format!(
                "the model has no input {name:?}, only {known}"
            )))
        }
        None => Ok(ordered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureCode;

    fn tensor(datatype: &str, shape: &[i64], bytes: usize) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: datatype.into(),
            shape: shape.into(),
            data: vec![1; bytes].into(),
            ..Tensor::default()
        }
    }

    fn refusal(tensor: Tensor) -> String {
        let failure = read(&[tensor], None).unwrap_err();
        assert_eq!(failure.code, FailureCode::Input);
        failure.message
    }

    #[test]
    fn lengths_that_do_not_fit_the_shape_are_refused() {
        for (shape, bytes) in [
            (&[2_i64, 2][..], 15),
            (&[2, 2], 17),
            (&[-1, 64], 256),
            (&[i64::MAX, i64::MAX], 4),
            (&[0, i64::MAX, i64::MAX], 0),
            (&[1; 17], 4),
        ] {
            assert!(
                refusal(tensor("FP32", shape, bytes)).contains("shape"),
                "{shape:?}"
            );
        }
    }

    #[test]
    fn an_unknown_datatype_and_an_impossible_boolean_are_refused() {
        assert!(refusal(tensor("FP8", &[1], 1)).contains("FP8"));
        let mut odd = tensor("BOOL", &[1], 0);
        odd.data = vec![2].into();
        assert!(refusal(odd).contains("BOOL"));
    }

    #[test]
    fn texts_have_the_number_that_the_shape_says() {
        let mut texts = tensor("BYTES", &[2, 1], 0);
        assert!(refusal(texts.clone()).contains("0 texts"));
        texts.texts = vec!["a".into(), "b".into()];
        assert!(read(&[texts.clone()], None).is_ok());
        texts.shape = vec![-2];
        assert!(refusal(texts).contains("2 texts"));
    }

    #[test]
    fn shared_ranges_without_shared_memory_are_refused() {
        let mut input = tensor("FP32", &[1], 0);
        input.shared = vec![fieldmark_proto::v1::SharedRange { offset: 0, bytes: 4 }];
        assert!(refusal(input).contains("there is none"));
    }

    #[test]
    fn missing_double_and_unknown_inputs_are_named() {
        let (x, z) = (
            tensor("FP32", &[1], 4),
            Tensor {
                name: "z".into(),
                ..tensor("FP32", &[1], 4)
            },
        );
        for (given, sign) in [
            (vec![], "\"x\" is missing"),
            (vec![x.clone(), x.clone()], "given twice"),
            (vec![x, z], "no input \"z\""),
        ] {
            let inputs = read(&given, None).unwrap();
            let failure = in_order(&["x".to_owned()], &inputs).unwrap_err();
            assert!(failure.message.contains(sign), "{}", failure.message);
        }
    }
}
