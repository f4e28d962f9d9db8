//! Tensors on their way through the server: in memory, or in the memory that a model shares with its runners.
//!
//! A large input is written once, from the socket into shared memory. Requests that run together stay where
//! they are: the runner joins the parts. Large outputs are read out of shared memory once, when they leave.

use bytes::Bytes;
use fieldmark_supervisor::{Arena, Content, Input, Output};
use fieldmark_tensors::{Datatype, Elements, Size, TensorError, byte_count, check, element_count};

/// Numbers of at least so many bytes go through shared memory.
pub(crate) const SHARED_BYTES_MIN: usize = 64 * 1024;

/// A tensor of a request or of an answer.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// The input or output it stands for.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Sizes, outermost first; none for a scalar.
    pub shape: Vec<i64>,
    /// The elements in row-major order.
    pub content: Content,
}

impl Tensor {
    /// Whether there are as many elements as the shape says, of the datatype's kind.
    ///
    /// # Errors
    /// [`TensorError`] naming the tensor.
    pub fn check(&self) -> Result<(), TensorError> {
        let size = match &self.content {
            Content::Texts(texts) => Size::Texts(texts.len()),
            Content::Inline(_) | Content::Shared(_) => Size::Bytes(self.content.bytes()),
        };
        check(&self.name, self.datatype, &self.shape, size)
    }

    /// Its elements in memory, copied out of shared memory if they are there.
    #[must_use]
    pub fn elements(&self) -> Elements {
        match &self.content {
            Content::Texts(texts) => Elements::Texts(texts.clone()),
            numbers => Elements::Dense(numbers.to_bytes()),
        }
    }

    /// Rows `from..to` of the first dimension, sharing the memory; `None` where there are none such.
    pub(crate) fn rows(&self, from: usize, to: usize) -> Option<Self> {
        let (first, inner) = self.shape.split_first()?;
        let rows = usize::try_from(*first).ok()?;
        if from > to || to > rows {
            return None;
        }
        let content = match &self.content {
            Content::Texts(texts) => {
                let row = element_count(inner).ok()?;
                Content::Texts(texts.get(row.checked_mul(from)?..row.checked_mul(to)?)?.to_vec())
            }
            numbers => {
                let row = byte_count(self.datatype, inner).ok()??;
                let (start, end) = (row.checked_mul(from)?, row.checked_mul(to)?);
                match numbers {
                    Content::Shared(parts) if parts.len() == 1 => {
                        Content::Shared(vec![parts.first()?.part(start, end - start)?])
                    }
                    other => {
                        let bytes = other.to_bytes();
                        (end <= bytes.len()).then(|| Content::Inline(bytes.slice(start..end)))?
                    }
                }
            }
        };
        let mut shape = vec![i64::try_from(to - from).ok()?];
        shape.extend_from_slice(inner);
        Some(Self {
            name: self.name.clone(),
            datatype: self.datatype,
            shape,
            content,
        })
    }

    /// Moves many numbers into shared memory, if there is room.
    pub(crate) fn share(mut self, arena: Option<&Arena>) -> Self {
        if let (Content::Inline(bytes), Some(arena)) = (&self.content, arena)
            && bytes.len() >= SHARED_BYTES_MIN
            && let Some(mut region) = arena.allocate(bytes.len())
            && region.write(0, bytes).is_ok()
        {
            self.content = Content::Shared(vec![region]);
        }
        self
    }
}

/// Tensors one below the other, along the first dimension. One alone is passed on as it is; those in shared
/// memory stay there.
///
/// # Errors
/// [`TensorError::Unequal`] when datatypes or further sizes differ, or nothing is given.
pub(crate) fn concatenate(name: &str, mut parts: Vec<Tensor>) -> Result<Tensor, TensorError> {
    let unequal = || TensorError::Unequal {
        name: name.to_owned(),
    };
    if parts.len() == 1 {
        return parts.pop().ok_or_else(unequal);
    }
    let first = parts.first().ok_or_else(unequal)?;
    let (datatype, inner) = (first.datatype, first.shape.get(1..).ok_or_else(unequal)?.to_vec());
    let mut rows = 0_i64;
    for part in &parts {
        let (first, further) = part.shape.split_first().ok_or_else(unequal)?;
        if part.datatype != datatype || further != inner {
            return Err(unequal());
        }
        rows = rows.checked_add(*first).ok_or_else(unequal)?;
    }
    let mut shape = vec![rows];
    shape.extend(inner);
    Ok(Tensor {
        name: name.to_owned(),
        datatype,
        shape,
        content: joined(parts),
    })
}

/// Contents of one kind one after the other.
fn joined(parts: Vec<Tensor>) -> Content {
    let is_shared = |part: &Tensor| matches!(part.content, Content::Shared(_));
    let is_text = |part: &Tensor| matches!(part.content, Content::Texts(_));
    if parts.iter().all(is_shared) {
        let regions = parts.into_iter().map(|part| match part.content {
            Content::Shared(regions) => regions,
            Content::Inline(_) | Content::Texts(_) => Vec::new(),
        });
        return Content::Shared(regions.collect::<Vec<_>>().concat());
    }
    if parts.iter().all(is_text) {
        let texts = parts.into_iter().map(|part| match part.content {
            Content::Texts(texts) => texts,
            Content::Inline(_) | Content::Shared(_) => Vec::new(),
        });
        return Content::Texts(texts.collect::<Vec<_>>().concat());
    }
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.content.bytes()).sum());
    parts.iter().for_each(|part| part.content.append_to(&mut bytes));
    Content::Inline(Bytes::from(bytes))
}

impl From<fieldmark_tensors::Tensor> for Tensor {
    fn from(tensor: fieldmark_tensors::Tensor) -> Self {
        Self {
            name: tensor.name,
            datatype: tensor.datatype,
            shape: tensor.shape,
            content: match tensor.elements {
                Elements::Dense(bytes) => Content::Inline(bytes),
                Elements::Texts(texts) => Content::Texts(texts),
            },
        }
    }
}

impl From<Tensor> for Input {
    fn from(tensor: Tensor) -> Self {
        Self {
            name: tensor.name,
            datatype: tensor.datatype.name().to_owned(),
            shape: tensor.shape,
            content: tensor.content,
        }
    }
}

/// What a runner returned, with its parts compared: nothing of it is believed.
pub(crate) fn returned(output: Output) -> Result<Tensor, TensorError> {
    let datatype = Datatype::parse(&output.datatype).ok_or_else(|| TensorError::Datatype {
        name: output.name.clone(),
        found: output.datatype.chars().take(40).collect(),
        problem: "not one of the protocol's",
    })?;
    let content = match (datatype, output.content) {
        // Without elements, nothing tells a text from a number.
        (Datatype::Bytes, Content::Inline(bytes)) if bytes.is_empty() => Content::Texts(Vec::new()),
        (_, content) => content,
    };
    let tensor = Tensor {
        name: output.name,
        datatype,
        shape: output.shape,
        content,
    };
    tensor.check()?;
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: u8) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: Datatype::Int16,
            shape: vec![i64::from(rows), 2],
            content: Content::Inline((0..rows * 4).collect::<Vec<u8>>().into()),
        }
    }

    fn texts(texts: &[&'static str]) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: Datatype::Bytes,
            shape: vec![i64::try_from(texts.len()).unwrap()],
            content: Content::Texts(
                texts
                    .iter()
                    .map(|text| Bytes::from_static(text.as_bytes()))
                    .collect(),
            ),
        }
    }

    fn shared(arena: &Arena, tensor: &Tensor) -> Tensor {
        let bytes = tensor.content.to_bytes();
        let mut region = arena.allocate(bytes.len()).unwrap();
        region.write(0, &bytes).unwrap();
        Tensor {
            content: Content::Shared(vec![region]),
            ..tensor.clone()
        }
    }

    #[test]
    fn what_was_put_together_comes_apart_again() {
        let arena = Arena::new(1 << 16).unwrap();
        let parts = [numbers(1), numbers(3), numbers(0), numbers(2)];
        let in_memory = concatenate("x", parts.to_vec()).unwrap();
        let apart = parts.iter().map(|part| shared(&arena, part)).collect();
        let in_parts = concatenate("x", apart).unwrap();
        assert_eq!(in_memory.elements(), in_parts.elements());
        for whole in [shared(&arena, &in_memory), in_memory, in_parts] {
            whole.check().unwrap();
            assert_eq!(whole.shape, [6, 2]);
            let mut from = 0;
            for part in &parts {
                let rows = usize::try_from(part.shape[0]).unwrap();
                let found = whole.rows(from, from + rows).unwrap();
                assert_eq!((found.elements(), &found.shape), (part.elements(), &part.shape));
                from += rows;
            }
            assert!(whole.rows(5, 7).is_none());
        }
        let whole = concatenate("x", vec![texts(&["a", ""]), texts(&["b"])]).unwrap();
        assert_eq!(whole.elements(), texts(&["a", "", "b"]).elements());
        assert_eq!(whole.rows(1, 3).unwrap().elements(), texts(&["", "b"]).elements());
    }

    #[test]
    fn unlike_tensors_are_not_put_together() {
        let mut wide = numbers(1);
        wide.shape = vec![2, 1];
        for other in [wide, texts(&["a"])] {
            let mixed = concatenate("x", vec![numbers(1), other]);
            assert!(matches!(mixed, Err(TensorError::Unequal { .. })));
        }
        assert!(concatenate("x", Vec::new()).is_err());
    }

    #[test]
    fn many_numbers_are_moved_into_shared_memory_and_few_are_not() {
        let arena = Arena::new(1 << 20).unwrap();
        let large = Tensor {
            shape: vec![40_000, 1],
            content: Content::Inline(vec![7; 80_000].into()),
            ..numbers(1)
        };
        let moved = large.clone().share(Some(&arena));
        assert!(matches!(moved.content, Content::Shared(_)));
        assert_eq!(moved.elements(), large.elements());
        assert!(matches!(
            numbers(2).share(Some(&arena)).content,
            Content::Inline(_)
        ));
        assert!(matches!(large.share(None).content, Content::Inline(_)));
    }

    #[test]
    fn what_a_runner_claims_is_compared() {
        let output = |datatype: &str, shape: &[i64], bytes: &'static [u8]| Output {
            name: "y".into(),
            datatype: datatype.into(),
            shape: shape.to_vec(),
            content: Content::Inline(Bytes::from_static(bytes)),
        };
        assert!(returned(output("INT16", &[2], b"abcd")).is_ok());
        for wrong in [
            output("INT16", &[2], b"abc"),
            output("INT16", &[-1], b""),
            output("FP8", &[4], b"abcd"),
            output("BYTES", &[1], b"abcd"),
            output("BYTES", &[1], b""),
        ] {
            assert!(returned(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
