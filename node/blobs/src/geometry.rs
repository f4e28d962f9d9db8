//! Names of blobs, and the arithmetic of their 64 KiB groups.
//!
//! A blob's hash is the root of a BLAKE3 tree whose leaves are 1 KiB chunks. Stored and sent beside a blob
//! are only the nodes above 64 such chunks, a group: 64 bytes per 64 KiB, a thousandth of the blob.

use std::fmt;
use std::str::FromStr;

use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};

/// Bytes of a group; the last group of a blob may be shorter.
pub const GROUP_BYTES: u64 = 64 << 10;
/// Largest blob: 1 TiB, so that a group number fits into 32 bits with room to spare.
pub const BLOB_BYTES_MAX: u64 = 1 << 40;
/// Chunks of a group.
const GROUP_CHUNKS: u64 = GROUP_BYTES / 1024;
/// 2^6 chunks of 1 KiB.
const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(6);

/// The BLAKE3 hash of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The hash of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub(crate) fn root(&self) -> blake3::Hash {
        blake3::Hash::from_bytes(self.0)
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobHash({self})")
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a blob hash: 64 hexadecimal digits are expected")]
pub struct ParseHashError {
    /// The text.
    pub text: String,
}

impl FromStr for BlobHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(ParseHashError {
                text: text.chars().take(80).collect(),
            }),
        }
    }
}

/// Number of groups of a blob of at most [`BLOB_BYTES_MAX`] bytes; an empty blob has none.
#[must_use]
pub fn groups(size: u64) -> u32 {
    u32::try_from(size.div_ceil(GROUP_BYTES)).unwrap_or(u32::MAX)
}

/// First byte of a group.
pub(crate) fn group_start(group: u32) -> u64 {
    u64::from(group) * GROUP_BYTES
}

/// Bytes of a group of a blob; 0 beyond its end.
pub(crate) fn group_len(size: u64, group: u32) -> u64 {
    size.saturating_sub(group_start(group)).min(GROUP_BYTES)
}

/// The tree of a blob.
pub(crate) fn tree(size: u64) -> BaoTree {
    BaoTree::new(size, BLOCK_SIZE)
}

/// The chunks of one group.
pub(crate) fn chunk_range(group: u32) -> ChunkRanges {
    let start = u64::from(group) * GROUP_CHUNKS;
    ChunkRanges::from(ChunkNum(start)..ChunkNum(start + GROUP_CHUNKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_a_blob_exactly() {
        for (size, count) in [
            (0, 0),
            (1, 1),
            (GROUP_BYTES, 1),
            (GROUP_BYTES + 1, 2),
            (3 << 20, 48),
        ] {
            assert_eq!(groups(size), count);
            assert_eq!(
                (0..count + 2).map(|group| group_len(size, group)).sum::<u64>(),
                size
            );
        }
        assert_eq!(groups(BLOB_BYTES_MAX), 1 << 24);
    }

    #[test]
    fn a_hash_survives_its_text() {
        let hash = BlobHash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("abc".parse::<BlobHash>().is_err());
    }
}
