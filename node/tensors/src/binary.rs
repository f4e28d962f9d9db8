//! The binary form: dense elements as they are; BYTES as a little-endian 32-bit length before each element.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Datatype, Elements, ShapeError, byte_count, element_count};

/// Most elements of one BYTES tensor: each takes memory of its own, however short it is.
pub const TEXTS_MAX: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;

/// Bytes that are not the tensor they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// The shape stands for no tensor.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// More or fewer bytes than the shape says.
    #[error("has {found} bytes of binary data, its shape takes {expected}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes that the shape takes.
        expected: usize,
    },
    /// More BYTES elements than [`TEXTS_MAX`].
    #[error("has {found} elements, at most {TEXTS_MAX} are taken of BYTES")]
    TooMany {
        /// Elements that the shape says.
        found: usize,
    },
    /// An element's length points beyond the end, or bytes are left over.
    #[error("ends inside element {element}, or goes on after its {expected} elements")]
    Texts {
        /// The element that could not be read.
        element: usize,
        /// Elements that the shape says.
        expected: usize,
    },
}

/// Elements of a datatype and shape from their binary form, which is shared and not copied.
///
/// # Errors
/// [`BinaryError`].
pub fn decode(datatype: Datatype, shape: &[i64], bytes: Bytes) -> Result<Elements, BinaryError> {
    match byte_count(datatype, shape)? {
        Some(expected) if expected == bytes.len() => Ok(Elements::Dense(bytes)),
        Some(expected) => Err(BinaryError::Length {
            found: bytes.len(),
            expected,
        }),
        None => texts(element_count(shape)?, bytes),
    }
}

fn texts(expected: usize, mut bytes: Bytes) -> Result<Elements, BinaryError> {
    if expected > TEXTS_MAX {
        return Err(BinaryError::TooMany { found: expected });
    }
    // Every element takes its length at least, so no more room is made than bytes came.
    let mut texts = Vec::with_capacity(expected.min(bytes.len() / LENGTH_BYTES));
    for element in 0..expected {
        let cut = || BinaryError::Texts { element, expected };
        let length = bytes.first_chunk::<LENGTH_BYTES>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
        let end = length.checked_add(LENGTH_BYTES).ok_or_else(cut)?;
        if end > bytes.len() {
            return Err(cut());
        }
        let element = bytes.split_to(end);
        texts.push(element.slice(LENGTH_BYTES..));
    }
    if !bytes.is_empty() {
        return Err(BinaryError::Texts {
            element: expected,
            expected,
        });
    }
    Ok(Elements::Texts(texts))
}

/// The binary form. Dense elements are shared, BYTES are written; `None` for an element of 4 GiB or more.
#[must_use]
pub fn encode(elements: &Elements) -> Option<Bytes> {
    match elements {
        Elements::Dense(bytes) => Some(bytes.clone()),
        Elements::Texts(texts) => {
            let mut out = BytesMut::with_capacity(elements.bytes() + texts.len() * LENGTH_BYTES);
            for text in texts {
                out.put_u32_le(u32::try_from(text.len()).ok()?);
                out.put_slice(text);
            }
            Some(out.freeze())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_elements_have_their_length_in_front() {
        let texts = Elements::Texts(vec![Bytes::from_static(b"ab"), Bytes::new()]);
        let golden = &[2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0][..];
        assert_eq!(encode(&texts).unwrap(), golden);
        let read = decode(Datatype::Bytes, &[2], Bytes::copy_from_slice(golden));
        assert_eq!(read, Ok(texts));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for (bytes, shape) in [
            (&[5, 0, 0, 0, 1][..], 1),
            (&[0xff, 0xff, 0xff, 0xff, 1], 1),
            (&[1, 0], 1),
            (&[0, 0, 0, 0, 9], 1),
            (&[0, 0, 0, 0], 2),
        ] {
            let read = decode(Datatype::Bytes, &[shape], Bytes::copy_from_slice(bytes));
            assert!(matches!(read, Err(BinaryError::Texts { .. })), "{bytes:?}");
        }
        let many = decode(Datatype::Bytes, &[i64::MAX], Bytes::new());
        assert!(matches!(many, Err(BinaryError::TooMany { .. })));
        let long = decode(Datatype::Fp32, &[2], Bytes::from_static(&[0; 9]));
        assert_eq!(
            long,
            Err(BinaryError::Length {
                found: 9,
                expected: 8
            })
        );
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let count = i64::try_from(texts.len()).unwrap();
            let elements = Elements::Texts(texts.into_iter().map(Bytes::from).collect());
            prop_assert_eq!(decode(Datatype::Bytes, &[count], encode(&elements).unwrap()), Ok(elements));
        }
    }
}
