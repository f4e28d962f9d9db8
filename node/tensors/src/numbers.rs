//! Elements of any numeric datatype as numbers, for whoever wants to look at them.

use half::{bf16, f16};

use crate::Datatype;

/// The elements as FP64, in order; nothing for texts. Integers beyond 2^53 are rounded. Bytes after the last
/// whole element are left out.
#[must_use]
pub fn numbers(datatype: Datatype, bytes: &[u8]) -> Vec<f64> {
    match datatype {
        Datatype::Bool | Datatype::Uint8 => bytes.iter().map(|byte| f64::from(*byte)).collect(),
        Datatype::Int8 => bytes.iter().map(|byte| f64::from(byte.cast_signed())).collect(),
        Datatype::Uint16 => each(bytes, |b| f64::from(u16::from_le_bytes(b))),
        Datatype::Int16 => each(bytes, |b| f64::from(i16::from_le_bytes(b))),
        Datatype::Fp16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Datatype::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        Datatype::Uint32 => each(bytes, |b| f64::from(u32::from_le_bytes(b))),
        Datatype::Int32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Datatype::Fp32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Datatype::Uint64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        Datatype::Int64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Datatype::Fp64 => each(bytes, f64::from_le_bytes),
        Datatype::Bytes => Vec::new(),
    }
}

fn each<const WIDTH: usize>(bytes: &[u8], read: impl Fn([u8; WIDTH]) -> f64) -> Vec<f64> {
    let (whole, _) = bytes.as_chunks::<WIDTH>();
    whole.iter().map(|element| read(*element)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datatype_has_its_numbers() {
        for (datatype, bytes, expected) in [
            (Datatype::Bool, &[0u8, 1][..], &[0.0, 1.0][..]),
            (Datatype::Int8, &[0xff], &[-1.0]),
            (Datatype::Uint16, &[1, 1, 9], &[257.0]),
            (Datatype::Int16, &[0, 0x80], &[-32768.0]),
            (Datatype::Fp16, &[0, 0x3c], &[1.0]),
            (Datatype::Bf16, &[0x80, 0x3f], &[1.0]),
            (Datatype::Int32, &[0xff; 4], &[-1.0]),
            (Datatype::Fp32, &[0, 0, 0x80, 0x3f], &[1.0]),
            (
                Datatype::Int64,
                &[0xfe, 255, 255, 255, 255, 255, 255, 255],
                &[-2.0],
            ),
            (Datatype::Fp64, &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], &[1.0]),
            (Datatype::Bytes, &[1, 2], &[]),
        ] {
            assert_eq!(numbers(datatype, bytes), expected, "{datatype}");
        }
    }
}
