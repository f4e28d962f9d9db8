//! Tensors as a caller hands them over and gets them back: in the frame, or in shared memory.

use crate::arena::Region;
use crate::{Arena, Tensor};
use bytes::Bytes;
use fieldmark_proto::v1::SharedRange;

/// The elements of a tensor.
#[derive(Clone, Debug)]
pub enum Content {
    /// Numbers, little endian, in row-major order, which travel in the frame.
    Inline(Bytes),
    /// Texts (BYTES), in row-major order.
    Texts(Vec<Bytes>),
    /// Numbers in the model's [`Arena`]: one part, or several that the runner joins along the first dimension.
    Shared(Vec<Region>),
}

/// A named tensor for a request.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Open Inference Protocol name: FP32, INT64, BYTES, …
    pub datatype: String,
    /// Extents, outermost first; those of the joined tensor if there are several parts.
    pub shape: Vec<i64>,
    /// Its elements.
    pub content: Content,
}

/// A named tensor of an answer. Numbers of more than 64 KiB are in shared memory, if there is some: one part,
/// which stays as it is until dropped, unless the release is hostile.
pub type Output = Input;

impl Content {
    /// Bytes of the numbers, or of all texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Texts(texts) => texts.iter().map(Bytes::len).sum(),
            Self::Shared(parts) => parts.iter().map(Region::bytes).sum(),
        }
    }

    /// Appends the bytes of the numbers to `target`: the one copy on this side. Texts have none.
    pub fn append_to(&self, target: &mut Vec<u8>) {
        match self {
            Self::Inline(bytes) => target.extend_from_slice(bytes),
            Self::Texts(_) => {}
            Self::Shared(parts) => parts.iter().for_each(|part| part.append_to(target)),
        }
    }

    /// The bytes of the numbers, copied out of shared memory if they lie there.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Inline(bytes) => bytes.clone(),
            other => {
                let mut copy = Vec::with_capacity(other.bytes());
                other.append_to(&mut copy);
                copy.into()
            }
        }
    }
}

impl From<Tensor> for Input {
    fn from(tensor: Tensor) -> Self {
        let content = if tensor.datatype == "BYTES" && tensor.data.is_empty() {
            Content::Texts(tensor.texts)
        } else {
            Content::Inline(tensor.data)
        };
        Self {
            name: tensor.name,
            datatype: tensor.datatype,
            shape: tensor.shape,
            content,
        }
    }
}

impl From<Input> for Tensor {
    fn from(input: Input) -> Self {
        let data = match &input.content {
            Content::Texts(_) => Bytes::new(),
            other => other.to_bytes(),
        };
        Self {
            name: input.name,
            datatype: input.datatype,
            shape: input.shape,
            data,
            texts: match input.content {
                Content::Texts(texts) => texts,
                _ => Vec::new(),
            },
            shared: Vec::new(),
        }
    }
}

/// The tensor on the wire, with the places of shared parts; `None` if a part lies in another arena.
pub(crate) fn to_wire(input: &Input, arena: Option<&Arena>) -> Option<Tensor> {
    let mut tensor = Tensor {
        name: input.name.clone(),
        datatype: input.datatype.clone(),
        shape: input.shape.clone(),
        ..Tensor::default()
    };
    match &input.content {
        Content::Inline(bytes) => tensor.data = bytes.clone(),
        Content::Texts(texts) => tensor.texts = texts.clone(),
        Content::Shared(parts) => {
            let held = |part: &Region| arena.is_some_and(|arena| arena.holds(part));
            if parts.is_empty() || !parts.iter().all(held) {
                return None;
            }
            tensor.shared = parts.iter().map(range).collect::<Option<_>>()?;
        }
    }
    Some(tensor)
}

/// An output off the wire. A shared part must lie in `window`, which was given for outputs; `None` if not, or
/// if the output claims to be in several places.
pub(crate) fn from_wire(tensor: Tensor, window: Option<&Region>) -> Option<Output> {
    let inline = !tensor.data.is_empty() || !tensor.texts.is_empty();
    let content = match tensor.shared.as_slice() {
        [] => return Some(tensor.into()),
        [part] if !inline => {
            let window = window?;
            let at = usize::try_from(part.offset).ok()?.checked_sub(window.offset())?;
            Content::Shared(vec![window.part(at, usize::try_from(part.bytes).ok()?)?])
        }
        _ => return None,
    };
    Some(Output {
        name: tensor.name,
        datatype: tensor.datatype,
        shape: tensor.shape,
        content,
    })
}

/// Where a region lies, on the wire.
pub(crate) fn range(region: &Region) -> Option<SharedRange> {
    Some(SharedRange {
        offset: u64::try_from(region.offset()).ok()?,
        bytes: u64::try_from(region.bytes()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(offset: u64, bytes: u64) -> Tensor {
        Tensor {
            shared: vec![SharedRange { offset, bytes }],
            ..Tensor::default()
        }
    }

    #[test]
    fn an_output_outside_its_window_is_refused() {
        let arena = Arena::new(1 << 20).unwrap();
        let _first = arena.allocate(4096).unwrap();
        let window = arena.allocate(8192).unwrap();
        assert!(from_wire(claimed(4096, 8192), Some(&window)).is_some());
        for (offset, bytes) in [
            (0, 8),
            (4096, 8193),
            (4097, 8192),
            (u64::MAX, 8),
            (4096, u64::MAX),
        ] {
            assert!(
                from_wire(claimed(offset, bytes), Some(&window)).is_none(),
                "{offset} {bytes}"
            );
        }
        assert!(from_wire(claimed(4096, 8), None).is_none());
        let twice = Tensor {
            data: Bytes::from_static(b"x"),
            ..claimed(4096, 8)
        };
        assert!(from_wire(twice, Some(&window)).is_none());
    }

    #[test]
    fn a_region_of_another_model_is_refused() {
        let (own, other) = (Arena::new(1).unwrap(), Arena::new(1).unwrap());
        let input = Input {
            name: "x".into(),
            datatype: "UINT8".into(),
            shape: vec![8],
            content: Content::Shared(vec![other.allocate(8).unwrap()]),
        };
        assert!(to_wire(&input, Some(&own)).is_none());
        assert!(to_wire(&input, Some(&other)).is_some());
    }
}
