//! Whether two data sources share records, from small sketches of what they hold.
//!
//! A sketch keeps the least hashes of a source's records, at most 65,536 of them (bottom-k
//! MinHash: Broder 1997). Below the smaller of two sketches' largest kept hash both know every one of their
//! records, so equal hashes there are shared records and their share is an unbiased estimate. Up to
//! 65,536 records the comparison is exact.
//!
//! Not seen: records whose content differs in any bit; a part of a huge source so small that none of its
//! records has a kept hash (fewer than about n/65,536 of n).

use super::DecodeError;
use std::collections::BTreeSet;

/// Most hashes that a sketch keeps; 512 KiB.
const HASHES_MAX: usize = 1 << 16;

/// The version written here.
const VERSION: u8 = 1;

/// A sketch of the records of a data source.
///
/// ```
/// use fieldmark_fl::budget::RecordSketch;
/// let mut july = RecordSketch::default();
/// let mut august = RecordSketch::default();
/// (0..100u64).for_each(|record| july.insert(&record.to_le_bytes()));
/// (90..200u64).for_each(|record| august.insert(&record.to_le_bytes()));
/// let overlap = july.overlap(&august);
/// assert_eq!((overlap.shared, overlap.compared), (10, 100));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSketch(BTreeSet<u64>);

/// How much of the smaller of two sources is in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Records that both have, among those compared.
    pub shared: usize,
    /// Records of the smaller source that could be compared.
    pub compared: usize,
}

impl Overlap {
    /// The estimated share, in 0..=1.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.compared == 0 {
            0.0
        } else {
            self.shared as f64 / self.compared as f64
        }
    }
}

impl RecordSketch {
    /// Adds a record by its content.
    pub fn insert(&mut self, content: &[u8]) {
        let hash = blake3::derive_key("fieldmark/v1/record-sketch", content);
        let [a, b, c, d, e, f, g, h, ..] = hash;
        self.0.insert(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        self.trim();
    }

    /// Adds the records of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.trim();
    }

    /// Whether no record was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much of the smaller source is in the other.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Overlap {
        let known_to = |sketch: &Self| match sketch.0.last() {
            Some(&last) if sketch.0.len() >= HASHES_MAX => last,
            _ => u64::MAX,
        };
        let known = known_to(self).min(known_to(other));
        let compared = |sketch: &Self| sketch.0.range(..=known).count();
        let shared = self
            .0
            .range(..=known)
            .filter(|hash| other.0.contains(hash))
            .count();
        Overlap {
            shared,
            compared: compared(self).min(compared(other)),
        }
    }

    /// Version 1: `version u8 = 1 ‖ count u32 ‖ count × hash u64`, little-endian, hashes strictly
    /// ascending.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let mut bytes = vec![VERSION];
        bytes.extend(count.to_le_bytes());
        bytes.extend(self.0.iter().flat_map(|hash| hash.to_le_bytes()));
        bytes
    }

    /// Reads a sketch back.
    ///
    /// # Errors
    /// A newer version, missing or extra bytes, or hashes out of order.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&version, rest) = bytes
            .split_first()
            .ok_or(DecodeError::Truncated { field: "version" })?;
        match version {
            VERSION => {}
            0 => return Err(DecodeError::UnknownVersion { found: 0 }),
            found => return Err(DecodeError::FutureVersion { found }),
        }
        let (count, rest) = rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated { field: "count" })?;
        let count = u32::from_le_bytes(*count);
        if count as usize > HASHES_MAX {
            return Err(DecodeError::Impossible {
                field: "count",
                found: count.into(),
            });
        }
        let (hashes, extra) = rest.as_chunks::<8>();
        if hashes.len() < count as usize {
            return Err(DecodeError::Truncated { field: "hash" });
        }
        let more = (hashes.len() - count as usize) * 8 + extra.len();
        if more > 0 {
            return Err(DecodeError::LeftOver { count: more });
        }
        let hashes: Vec<u64> = hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
        if !hashes.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Order);
        }
        Ok(Self(hashes.into_iter().collect()))
    }

    fn trim(&mut self) {
        while self.0.len() > HASHES_MAX {
            self.0.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(records: std::ops::Range<u64>) -> RecordSketch {
        let mut sketch = RecordSketch::default();
        records.for_each(|record| sketch.insert(&record.to_le_bytes()));
        sketch
    }

    #[test]
    fn small_sources_are_compared_exactly() {
        let overlap = sketch(0..1_000).overlap(&sketch(950..5_000));
        assert_eq!(
            overlap,
            Overlap {
                shared: 50,
                compared: 1_000
            }
        );
        assert_eq!(sketch(0..10).overlap(&sketch(10..20)).shared, 0);
        assert!(sketch(0..0).overlap(&sketch(0..10)).share().abs() < f64::EPSILON);
    }

    #[test]
    fn large_sources_are_estimated() {
        let (large, part) = (sketch(0..300_000), sketch(290_000..310_000));
        let overlap = large.overlap(&part);
        assert!(overlap.compared > 3_000, "{overlap:?}");
        assert!((overlap.share() - 0.5).abs() < 0.04, "{overlap:?}");
    }

    #[test]
    fn merging_is_the_sketch_of_both() {
        let mut both = sketch(0..80_000);
        both.merge(&sketch(40_000..120_000));
        assert_eq!(both, sketch(0..120_000));
    }

    #[test]
    fn the_byte_form_is_fixed_and_checked() {
        let bytes = sketch(0..3).encode();
        assert_eq!(hex(&bytes), GOLDEN);
        assert_eq!(RecordSketch::decode(&bytes).unwrap(), sketch(0..3));
        for cut in 0..bytes.len() {
            assert!(matches!(
                RecordSketch::decode(&bytes[..cut]),
                Err(DecodeError::Truncated { .. })
            ));
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            RecordSketch::decode(&longer),
            Err(DecodeError::LeftOver { count: 1 })
        );
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(
            RecordSketch::decode(&newer),
            Err(DecodeError::FutureVersion { found: 2 })
        );
        let mut swapped = bytes;
        swapped[5..21].rotate_left(8);
        assert_eq!(RecordSketch::decode(&swapped), Err(DecodeError::Order));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const GOLDEN: &str = "0103000000810e6a12e8e8d21dc0026594ea127fa62e2895b85cb5ebb6";
}
