//! Which groups of an incomplete blob are there, in memory and on disk.
//!
//! The file: 8 bytes `fmpart01`, the announced size (8 bytes, little endian), then one bit per group,
//! lowest bit first. It may claim too much after a power failure (see `partial.rs`), never after a killed
//! process; a file of another form counts as empty.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::error::BlobError;
use crate::geometry::groups;

const MAGIC: [u8; 8] = *b"fmpart01";
/// Bytes before the first bit.
const HEADER_BYTES: u64 = 16;

/// One bit per group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bitmap {
    bits: Vec<u8>,
    groups: u32,
    present: u32,
}

impl Bitmap {
    /// No group is there.
    pub(crate) fn empty(size: u64) -> Self {
        let groups = groups(size);
        // At most 2^24 groups by the bound on blobs, hence 2 MiB.
        Self {
            bits: vec![0; groups.div_ceil(8) as usize],
            groups,
            present: 0,
        }
    }

    pub(crate) fn has(&self, group: u32) -> bool {
        self.bits
            .get((group / 8) as usize)
            .is_some_and(|byte| byte & mask(group) != 0)
    }

    /// Marks a group; returns the byte to write and its place in the file.
    pub(crate) fn set(&mut self, group: u32) -> Option<(u64, u8)> {
        if group >= self.groups || self.has(group) {
            return None;
        }
        let byte = self.bits.get_mut((group / 8) as usize)?;
        *byte |= mask(group);
        self.present += 1;
        Some((HEADER_BYTES + u64::from(group / 8), *byte))
    }

    /// Takes a group back.
    pub(crate) fn clear(&mut self, group: u32) {
        if self.has(group) {
            if let Some(byte) = self.bits.get_mut((group / 8) as usize) {
                *byte &= !mask(group);
            }
            self.present = self.present.saturating_sub(1);
        }
    }

    pub(crate) fn present(&self) -> u32 {
        self.present
    }

    pub(crate) fn is_full(&self) -> bool {
        self.present == self.groups
    }

    /// The groups that are not there, as ranges in ascending order.
    pub(crate) fn missing(&self) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for group in (0..self.groups).filter(|group| !self.has(*group)) {
            match runs.last_mut() {
                Some(run) if run.end == group => run.end += 1,
                _ => runs.push(group..group + 1),
            }
        }
        runs
    }

    /// The whole file.
    pub(crate) fn encode(&self, size: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&self.bits);
        bytes
    }

    /// Reads a file of an expected size; `None` for any other form.
    pub(crate) fn decode(bytes: &[u8], size: u64) -> Option<Self> {
        let (announced, bits) = split(bytes)?;
        // Memory is taken for what is there, not for what is announced.
        if announced != size || bits.len() != groups(size).div_ceil(8) as usize {
            return None;
        }
        let mut bitmap = Self::empty(size);
        bitmap.bits.copy_from_slice(bits);
        bitmap.present = bits.iter().map(|byte| byte.count_ones()).sum();
        let no_bit_beyond_the_end =
            (bitmap.groups..bitmap.groups.div_ceil(8) * 8).all(|group| !bitmap.has(group));
        no_bit_beyond_the_end.then_some(bitmap)
    }
}

/// Reads a bitmap; a missing file or another form counts as empty.
pub(crate) fn load(path: &Path, size: u64) -> Result<Bitmap, BlobError> {
    Ok(read(path)?
        .and_then(|bytes| Bitmap::decode(&bytes, size))
        .unwrap_or_else(|| Bitmap::empty(size)))
}

/// The announced size in a bitmap's file, if it has the right form.
pub(crate) fn announced_size(path: &Path) -> Result<Option<u64>, BlobError> {
    Ok(read(path)?.and_then(|bytes| split(&bytes).map(|(size, _)| size)))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, BlobError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BlobError::io("read", path)(error)),
    }
}

fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (size, bits) = rest.split_first_chunk::<8>()?;
    (*magic == MAGIC).then(|| (u64::from_le_bytes(*size), bits))
}

fn mask(group: u32) -> u8 {
    1 << (group % 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::GROUP_BYTES;

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let size = 10 * GROUP_BYTES;
        let mut bitmap = Bitmap::empty(size);
        assert_eq!(bitmap.set(0), Some((16, 1)));
        assert_eq!(bitmap.set(9), Some((17, 2)));
        assert_eq!(bitmap.set(9), None);
        assert_eq!(bitmap.set(10), None);
        let bytes = bitmap.encode(size);
        assert_eq!(
            bytes,
            [&b"fmpart01"[..], &[0, 0, 10, 0, 0, 0, 0, 0], &[1, 2]].concat()
        );
        assert_eq!(Bitmap::decode(&bytes, size), Some(bitmap));
    }

    #[test]
    fn a_bit_beyond_the_end_or_another_size_counts_as_nothing() {
        let size = 3 * GROUP_BYTES;
        let mut bytes = Bitmap::empty(size).encode(size);
        assert!(Bitmap::decode(&bytes, size - 1).is_none());
        *bytes.last_mut().unwrap() = 8;
        assert!(Bitmap::decode(&bytes, size).is_none());
    }

    proptest! {
        #[test]
        fn missing_runs_are_what_is_not_set(set in proptest::collection::btree_set(0..100_u32, 0..100)) {
            let mut bitmap = Bitmap::empty(100 * GROUP_BYTES);
            for group in &set {
                bitmap.set(*group);
            }
            let missing: Vec<u32> = bitmap.missing().into_iter().flatten().collect();
            let expected: Vec<u32> = (0..100).filter(|group| !set.contains(group)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert_eq!(bitmap.is_full(), set.len() == 100);
        }

        #[test]
        fn arbitrary_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), size in 0..1_u64 << 30) {
            let _ = Bitmap::decode(&bytes, size);
        }
    }
}
