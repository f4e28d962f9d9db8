//! Open Inference Protocol datatypes of fixed width, and the bytes a shape takes.

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: usize = 16;
/// Most outputs of one request.
pub const OUTPUTS_MAX: usize = 256;

/// A datatype whose elements have a fixed width; texts (BYTES) are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datatype {
    /// 0 or 1 in a byte.
    Bool,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754 binary16.
    Fp16,
    /// The upper half of a binary32.
    Bf16,
    /// IEEE 754 binary32.
    Fp32,
    /// IEEE 754 binary64.
    Fp64,
}

impl Datatype {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
    ];

    /// The name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
        }
    }

    /// The datatype of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
        }
    }
}

/// Bytes of a dense tensor; `None` for a negative extent, an overflow or more than 16 dimensions.
#[must_use]
pub fn bytes_of(shape: &[i64], width: usize) -> Option<usize> {
    if shape.len() > DIMENSIONS_MAX {
        return None;
    }
    let sizes: Vec<usize> = shape
        .iter()
        .map(|extent| usize::try_from(*extent).ok())
        .collect::<Option<_>>()?;
    // Extents that multiply beyond any memory are refused even if another extent is 0.
    let product = sizes
        .iter()
        .filter(|size| **size > 0)
        .try_fold(width, |bytes, size| bytes.checked_mul(*size))
        .filter(|bytes| isize::try_from(*bytes).is_ok())?;
    Some(if sizes.contains(&0) { 0 } else { product })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datatype_is_found_by_its_name() {
        for datatype in Datatype::ALL {
            assert_eq!(Datatype::named(datatype.name()), Some(datatype));
        }
        assert_eq!(Datatype::named("BYTES"), None);
    }

    #[test]
    fn shapes_without_a_size_are_told_apart() {
        assert_eq!(bytes_of(&[], 4), Some(4));
        assert_eq!(bytes_of(&[0, 64], 4), Some(0));
        for shape in [
            &[-1_i64, 64][..],
            &[i64::MAX, i64::MAX],
            &[0, i64::MAX, i64::MAX],
            &[1; 17],
        ] {
            assert_eq!(bytes_of(shape, 4), None, "{shape:?}");
        }
    }
}
