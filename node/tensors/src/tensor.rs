//! One tensor with its elements, checked.

use bytes::Bytes;
use fieldmark_proto::v1;

use crate::{Datatype, ShapeError, TensorSpec, byte_count, element_count};

/// Most bytes of all tensors that are made here at once, such as zeros for a warm-up.
const ZEROS_BYTES_MAX: usize = 256 << 20;

/// A tensor. [`Tensor::check`] says whether its parts agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The input or output it stands for.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Sizes, outermost first; none for a scalar.
    pub shape: Vec<i64>,
    /// The elements in row-major order.
    pub elements: Elements,
}

/// Elements of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// Little endian, without gaps.
    Dense(Bytes),
    /// One entry each, for [`Datatype::Bytes`].
    Texts(Vec<Bytes>),
}

/// A tensor whose parts do not agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The shape stands for no tensor.
    #[error("tensor '{name}' {source}")]
    Shape {
        /// The tensor.
        name: String,
        /// What is wrong.
        source: ShapeError,
    },
    /// More or fewer elements than the shape says.
    #[error("tensor '{name}' has {found} {unit}, its shape {shape:?} takes {expected}")]
    Length {
        /// The tensor.
        name: String,
        /// `bytes` or `elements`.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
        /// The shape.
        shape: Vec<i64>,
    },
    /// A datatype that the protocol does not have, or elements of another kind.
    #[error("tensor '{name}' has the datatype {found}, which is {problem}")]
    Datatype {
        /// The tensor.
        name: String,
        /// The datatype.
        found: String,
        /// Why not.
        problem: &'static str,
    },
    /// Tensors that cannot be put together.
    #[error("tensors of '{name}' differ in more than their first size")]
    Unequal {
        /// The tensor.
        name: String,
    },
    /// Too many elements to make up.
    #[error(
        "tensor '{name}' of shape {shape:?} is too large to fill with zeros: all inputs together may take \
         {ZEROS_BYTES_MAX} bytes"
    )]
    Zeros {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<i64>,
    },
}

impl Elements {
    /// Bytes that the elements take, without their lengths.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense(bytes) => bytes.len(),
            Self::Texts(texts) => texts.iter().map(Bytes::len).sum(),
        }
    }
}

impl Tensor {
    /// Whether there are as many elements as the shape says, of the datatype's kind.
    ///
    /// # Errors
    /// [`TensorError`] naming the tensor.
    pub fn check(&self) -> Result<(), TensorError> {
        let size = match &self.elements {
            Elements::Dense(bytes) => Size::Bytes(bytes.len()),
            Elements::Texts(texts) => Size::Texts(texts.len()),
        };
        check(&self.name, self.datatype, &self.shape, size)
    }
}

/// How much there is of a tensor's elements, wherever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes of numbers.
    Bytes(usize),
    /// So many texts.
    Texts(usize),
}

/// Whether there are as many elements as the shape says, of the datatype's kind.
///
/// # Errors
/// [`TensorError`] naming the tensor.
pub fn check(name: &str, datatype: Datatype, shape: &[i64], size: Size) -> Result<(), TensorError> {
    let shape_error = |source| TensorError::Shape {
        name: name.to_owned(),
        source,
    };
    let bytes = byte_count(datatype, shape).map_err(shape_error)?;
    let (unit, found, expected) = match (size, bytes) {
        (Size::Bytes(found), Some(bytes)) => ("bytes", found, bytes),
        (Size::Texts(found), None) => ("elements", found, element_count(shape).map_err(shape_error)?),
        _ => {
            return Err(TensorError::Datatype {
                name: name.to_owned(),
                found: datatype.to_string(),
                problem: "not what its elements are",
            });
        }
    };
    if found == expected {
        return Ok(());
    }
    Err(TensorError::Length {
        name: name.to_owned(),
        unit,
        found,
        expected,
        shape: shape.to_vec(),
    })
}

/// Zeros, or empty texts, of the stated shapes, with 1 for sizes that are the caller's.
///
/// # Errors
/// [`TensorError`] for an unknown datatype, or shapes that are too large, each or together.
pub fn zeros(specs: &[TensorSpec]) -> Result<Vec<Tensor>, TensorError> {
    let mut left = ZEROS_BYTES_MAX;
    let zero = |spec: &TensorSpec| {
        let datatype = datatype_of(&spec.name, &spec.datatype)?;
        let shape: Vec<i64> = spec
            .shape
            .iter()
            .map(|size| if *size < 0 { 1 } else { *size })
            .collect();
        let width = datatype.width().unwrap_or(size_of::<Bytes>());
        let bytes = element_count(&shape)
            .ok()
            .and_then(|count| count.checked_mul(width));
        let Some((bytes, rest)) = bytes.and_then(|bytes| Some((bytes, left.checked_sub(bytes)?))) else {
            let name = spec.name.clone();
            return Err(TensorError::Zeros { name, shape });
        };
        left = rest;
        let elements = match datatype {
            Datatype::Bytes => Elements::Texts(vec![Bytes::new(); bytes / width]),
            _ => Elements::Dense(vec![0; bytes].into()),
        };
        Ok(Tensor {
            name: spec.name.clone(),
            datatype,
            shape,
            elements,
        })
    };
    specs.iter().map(zero).collect()
}

fn datatype_of(name: &str, datatype: &str) -> Result<Datatype, TensorError> {
    Datatype::parse(datatype).ok_or_else(|| TensorError::Datatype {
        name: name.to_owned(),
        found: datatype.chars().take(40).collect(),
        problem: "not one of the protocol's",
    })
}

impl From<Tensor> for v1::Tensor {
    fn from(tensor: Tensor) -> Self {
        let (data, texts) = match tensor.elements {
            Elements::Dense(bytes) => (bytes, Vec::new()),
            Elements::Texts(texts) => (Bytes::new(), texts),
        };
        Self {
            name: tensor.name,
            datatype: tensor.datatype.name().to_owned(),
            shape: tensor.shape,
            data,
            texts,
            ..Self::default()
        }
    }
}

impl TryFrom<v1::Tensor> for Tensor {
    type Error = TensorError;

    /// The tensor, with its parts compared.
    fn try_from(tensor: v1::Tensor) -> Result<Self, TensorError> {
        let datatype = datatype_of(&tensor.name, &tensor.datatype)?;
        let elements = match datatype {
            Datatype::Bytes => Elements::Texts(tensor.texts),
            _ => Elements::Dense(tensor.data),
        };
        let tensor = Self {
            name: tensor.name,
            datatype,
            shape: tensor.shape,
            elements,
        };
        tensor.check()?;
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: u8) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: Datatype::Int16,
            shape: vec![i64::from(rows), 2],
            elements: Elements::Dense((0..rows * 4).collect::<Vec<u8>>().into()),
        }
    }

    #[test]
    fn zeros_of_all_inputs_together_have_a_bound() {
        let spec = |datatype: &str, size: i64| TensorSpec {
            name: "x".into(),
            datatype: datatype.into(),
            shape: vec![-1, size],
        };
        let made = zeros(&[spec("FP64", 3), spec("BYTES", 2)]).unwrap();
        assert_eq!(
            (made[0].shape.as_slice(), made[0].elements.bytes()),
            ([1, 3].as_slice(), 24)
        );
        made.iter().for_each(|tensor| tensor.check().unwrap());
        let most = i64::try_from(ZEROS_BYTES_MAX).unwrap();
        for many in [
            vec![spec("UINT8", most / 2), spec("UINT8", most / 2), spec("BOOL", 1)],
            vec![spec("BYTES", most / 16)],
            vec![spec("FP64", i64::MAX)],
        ] {
            assert!(matches!(zeros(&many), Err(TensorError::Zeros { .. })), "{many:?}");
        }
    }

    #[test]
    fn lengths_and_kinds_are_compared_with_the_shape() {
        let mut short = numbers(2);
        short.shape = vec![3, 2];
        assert!(
            short
                .check()
                .unwrap_err()
                .to_string()
                .contains("8 bytes, its shape [3, 2] takes 12")
        );
        let mut kind = numbers(1);
        kind.datatype = Datatype::Bytes;
        assert!(kind.check().is_err());
        let proto = v1::Tensor::from(numbers(2));
        assert_eq!(Tensor::try_from(proto.clone()).unwrap(), numbers(2));
        let unknown = v1::Tensor {
            datatype: "FP8".into(),
            ..proto
        };
        assert!(matches!(
            Tensor::try_from(unknown),
            Err(TensorError::Datatype { .. })
        ));
    }
}
