//! One tensor with its elements: checked, cut into rows, and put together again.

use bytes::{Bytes, BytesMut};
use fieldmark_proto::v1;

use crate::{Datatype, ShapeError, TensorSpec, byte_count, element_count};

/// Most elements of one tensor that is made here, such as zeros for a warm-up.
const ZEROS_MAX: usize = 1 << 26;

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
    #[error("tensor '{name}' of shape {shape:?} is too large to fill with zeros")]
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
        let shape_error = |source| TensorError::Shape {
            name: self.name.clone(),
            source,
        };
        let bytes = byte_count(self.datatype, &self.shape).map_err(shape_error)?;
        let (unit, found, expected) = match (&self.elements, bytes) {
            (Elements::Dense(dense), Some(bytes)) => ("bytes", dense.len(), bytes),
            (Elements::Texts(texts), None) => {
                let count = element_count(&self.shape).map_err(shape_error)?;
                ("elements", texts.len(), count)
            }
            _ => {
                return Err(TensorError::Datatype {
                    name: self.name.clone(),
                    found: self.datatype.to_string(),
                    problem: "not what its elements are",
                });
            }
        };
        if found == expected {
            return Ok(());
        }
        Err(TensorError::Length {
            name: self.name.clone(),
            unit,
            found,
            expected,
            shape: self.shape.clone(),
        })
    }

    /// Rows `from..to` of the first dimension, sharing the bytes; `None` where there are none such.
    #[must_use]
    pub fn rows(&self, from: usize, to: usize) -> Option<Self> {
        let (first, inner) = self.shape.split_first()?;
        let rows = usize::try_from(*first).ok()?;
        if from > to || to > rows {
            return None;
        }
        let elements = match &self.elements {
            Elements::Dense(bytes) => {
                let row = byte_count(self.datatype, inner).ok()??;
                let (start, end) = (row.checked_mul(from)?, row.checked_mul(to)?);
                (end <= bytes.len()).then(|| Elements::Dense(bytes.slice(start..end)))?
            }
            Elements::Texts(texts) => {
                let row = element_count(inner).ok()?;
                Elements::Texts(texts.get(row.checked_mul(from)?..row.checked_mul(to)?)?.to_vec())
            }
        };
        let mut shape = vec![i64::try_from(to - from).ok()?];
        shape.extend_from_slice(inner);
        Some(Self {
            name: self.name.clone(),
            datatype: self.datatype,
            shape,
            elements,
        })
    }
}

/// Tensors one below the other, along the first dimension. One alone is passed on without a copy.
///
/// # Errors
/// [`TensorError::Unequal`] when datatypes or further sizes differ, or nothing is given.
pub fn concatenate(name: &str, parts: Vec<Tensor>) -> Result<Tensor, TensorError> {
    let unequal = || TensorError::Unequal {
        name: name.to_owned(),
    };
    let mut parts = parts;
    if parts.len() == 1 {
        return parts.pop().ok_or_else(unequal);
    }
    let (datatype, inner) = match parts.first() {
        Some(first) if !first.shape.is_empty() => (first.datatype, first.shape.get(1..).unwrap_or_default()),
        _ => return Err(unequal()),
    };
    let mut rows = 0_i64;
    for part in &parts {
        let Some((first, further)) = part.shape.split_first() else {
            return Err(unequal());
        };
        if part.datatype != datatype || further != inner {
            return Err(unequal());
        }
        rows = rows.checked_add(*first).ok_or_else(unequal)?;
    }
    let mut shape = vec![rows];
    shape.extend_from_slice(inner);
    let elements = if datatype == Datatype::Bytes {
        let texts = parts.into_iter().map(|part| match part.elements {
            Elements::Texts(texts) => Ok(texts),
            Elements::Dense(_) => Err(unequal()),
        });
        Elements::Texts(texts.collect::<Result<Vec<_>, _>>()?.concat())
    } else {
        let mut bytes = BytesMut::with_capacity(parts.iter().map(|part| part.elements.bytes()).sum());
        for part in &parts {
            let Elements::Dense(dense) = &part.elements else {
                return Err(unequal());
            };
            bytes.extend_from_slice(dense);
        }
        Elements::Dense(bytes.freeze())
    };
    Ok(Tensor {
        name: name.to_owned(),
        datatype,
        shape,
        elements,
    })
}

/// Zeros, or empty texts, of a stated shape, with 1 for sizes that are the caller's.
///
/// # Errors
/// [`TensorError`] for an unknown datatype or a shape that is too large.
pub fn zeros(spec: &TensorSpec) -> Result<Tensor, TensorError> {
    let datatype = datatype_of(&spec.name, &spec.datatype)?;
    let shape: Vec<i64> = spec
        .shape
        .iter()
        .map(|size| if *size < 0 { 1 } else { *size })
        .collect();
    let count = element_count(&shape).ok().filter(|count| *count <= ZEROS_MAX);
    let Some(count) = count else {
        let name = spec.name.clone();
        return Err(TensorError::Zeros { name, shape });
    };
    let elements = match datatype.width() {
        Some(width) => Elements::Dense(vec![0; count * width].into()),
        None => Elements::Texts(vec![Bytes::new(); count]),
    };
    Ok(Tensor {
        name: spec.name.clone(),
        datatype,
        shape,
        elements,
    })
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

    fn texts(texts: &[&'static str]) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: Datatype::Bytes,
            shape: vec![i64::try_from(texts.len()).unwrap()],
            elements: Elements::Texts(
                texts
                    .iter()
                    .map(|text| Bytes::from_static(text.as_bytes()))
                    .collect(),
            ),
        }
    }

    #[test]
    fn what_was_put_together_comes_apart_again() {
        let parts = [numbers(1), numbers(3), numbers(0), numbers(2)];
        let whole = concatenate("x", parts.to_vec()).unwrap();
        whole.check().unwrap();
        assert_eq!(whole.shape, [6, 2]);
        let mut from = 0;
        for part in parts {
            let rows = usize::try_from(part.shape[0]).unwrap();
            assert_eq!(whole.rows(from, from + rows), Some(part));
            from += rows;
        }
        assert_eq!(whole.rows(5, 7), None);
        let whole = concatenate("x", vec![texts(&["a", ""]), texts(&["b"])]).unwrap();
        assert_eq!(whole, texts(&["a", "", "b"]));
        assert_eq!(whole.rows(1, 3), Some(texts(&["", "b"])));
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
