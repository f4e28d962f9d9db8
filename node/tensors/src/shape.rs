//! Shapes: how many elements and bytes they stand for, and whether one fits what a model states.

use crate::Datatype;

/// Most dimensions of one tensor.
pub const RANK_MAX: usize = 32;

/// A shape that stands for no tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// More dimensions than [`RANK_MAX`].
    #[error("has {found} dimensions, at most {RANK_MAX} are taken")]
    Rank {
        /// Dimensions found.
        found: usize,
    },
    /// A size below 0.
    #[error("has the size {size} in its shape {shape:?}; sizes are 0 or more")]
    Negative {
        /// The size.
        size: i64,
        /// The whole shape.
        shape: Vec<i64>,
    },
    /// More elements or bytes than can be counted.
    #[error("has the shape {shape:?}, which is more than this machine can address")]
    Overflow {
        /// The shape.
        shape: Vec<i64>,
    },
}

/// Elements of a shape; 1 for none, a scalar.
///
/// # Errors
/// [`ShapeError`] for negative sizes, too many dimensions and overflow.
pub fn element_count(shape: &[i64]) -> Result<usize, ShapeError> {
    if shape.len() > RANK_MAX {
        return Err(ShapeError::Rank { found: shape.len() });
    }
    let mut count = 1_usize;
    let mut empty = false;
    for size in shape {
        let Ok(extent) = usize::try_from(*size) else {
            let (size, shape) = (*size, shape.to_vec());
            return Err(ShapeError::Negative { size, shape });
        };
        empty |= extent == 0;
        // Sizes beside a zero are counted as well: whoever multiplies in another order must not overflow.
        count = count
            .checked_mul(extent.max(1))
            .filter(|count| isize::try_from(*count).is_ok())
            .ok_or_else(|| ShapeError::Overflow {
                shape: shape.to_vec(),
            })?;
    }
    Ok(if empty { 0 } else { count })
}

/// Bytes of a dense tensor; `None` for BYTES, whose shape does not tell.
///
/// # Errors
/// [`ShapeError`], as [`element_count`].
pub fn byte_count(datatype: Datatype, shape: &[i64]) -> Result<Option<usize>, ShapeError> {
    let count = element_count(shape)?;
    let Some(width) = datatype.width() else {
        return Ok(None);
    };
    count
        .checked_mul(width)
        .filter(|bytes| isize::try_from(*bytes).is_ok())
        .map(Some)
        .ok_or_else(|| ShapeError::Overflow {
            shape: shape.to_vec(),
        })
}

/// Whether a shape is one that a stated shape allows: as many sizes, each equal or stated as -1.
#[must_use]
pub fn fits(stated: &[i64], found: &[i64]) -> bool {
    stated.len() == found.len()
        && stated
            .iter()
            .zip(found)
            .all(|(stated, found)| *found >= 0 && (*stated == -1 || stated == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_products_and_nothing_overflows() {
        assert_eq!(element_count(&[]), Ok(1));
        assert_eq!(element_count(&[2, 3, 4]), Ok(24));
        assert_eq!(element_count(&[0, 3]), Ok(0));
        assert_eq!(byte_count(Datatype::Fp64, &[2, 3]), Ok(Some(48)));
        assert_eq!(byte_count(Datatype::Bytes, &[2, 3]), Ok(None));
        let overflow = |shape: &[i64]| matches!(element_count(shape), Err(ShapeError::Overflow { .. }));
        assert!(overflow(&[i64::MAX, 2]) && overflow(&[i64::MAX, i64::MAX, 0]));
        assert!(overflow(&[0, i64::MAX, i64::MAX]));
        assert!(matches!(
            byte_count(Datatype::Fp32, &[i64::MAX]),
            Err(ShapeError::Overflow { .. })
        ));
        assert!(matches!(
            element_count(&[2, -1]),
            Err(ShapeError::Negative { size: -1, .. })
        ));
        assert!(matches!(
            element_count(&[1; RANK_MAX + 1]),
            Err(ShapeError::Rank { .. })
        ));
    }

    #[test]
    fn a_shape_fits_where_sizes_are_free_or_equal() {
        assert!(fits(&[-1, 64], &[5, 64]) && fits(&[], &[]) && fits(&[-1], &[0]));
        assert!(!fits(&[-1, 64], &[5, 63]) && !fits(&[-1], &[1, 1]) && !fits(&[-1], &[-1]));
    }
}
