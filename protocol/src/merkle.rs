//! Merkle root over sorted report ids, so that a contributor can check its report was counted.
//!
//! The tree is that of RFC 6962 §2.1 with BLAKE3 in place of SHA-256: leaves are `H(0 ‖ id)`, inner
//! nodes `H(1 ‖ left ‖ right)`, the split is the largest power of two below the count.

use crate::ReportId;
use crate::id::ContentHash;

fn leaf(id: &ReportId) -> ContentHash {
    ContentHash::of(&[&[0u8][..], id.as_bytes()].concat())
}

fn inner(left: ContentHash, right: ContentHash) -> ContentHash {
    ContentHash::of(&[&[1u8][..], left.as_bytes(), right.as_bytes()].concat())
}

/// Root over `ids`, which the caller has sorted. The root of no ids is the hash of nothing.
#[must_use]
pub fn root(ids: &[ReportId]) -> ContentHash {
    match ids {
        [] => ContentHash::of(&[]),
        [only] => leaf(only),
        _ => {
            let (left, right) = ids.split_at(split(ids.len()));
            inner(root(left), root(right))
        }
    }
}

fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Hashes from the leaf `index` up to the root, nearest first; `None` when there is no such leaf.
#[must_use]
pub fn proof(ids: &[ReportId], index: usize) -> Option<Vec<ContentHash>> {
    if index >= ids.len() {
        return None;
    }
    if ids.len() == 1 {
        return Some(Vec::new());
    }
    let at = split(ids.len());
    let (left, right) = ids.split_at(at);
    let (mut path, other) = if index < at {
        (proof(left, index)?, root(right))
    } else {
        (proof(right, index - at)?, root(left))
    };
    path.push(other);
    Some(path)
}

/// Whether `path` leads from `id` at `index` of `count` leaves to `expected`.
#[must_use]
pub fn verify(
    id: &ReportId,
    index: usize,
    count: usize,
    path: &[ContentHash],
    expected: &ContentHash,
) -> bool {
    climb(leaf(id), index, count, path) == Some(*expected)
}

fn climb(hash: ContentHash, index: usize, count: usize, path: &[ContentHash]) -> Option<ContentHash> {
    if index >= count {
        return None;
    }
    if count == 1 {
        return path.is_empty().then_some(hash);
    }
    let (other, below) = path.split_last()?;
    let at = split(count);
    if index < at {
        Some(inner(climb(hash, index, at, below)?, *other))
    } else {
        Some(inner(*other, climb(hash, index - at, count - at, below)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_proves_itself_and_no_other() {
        for count in 1..=9usize {
            let ids: Vec<ReportId> = (0..count)
                .map(|i| ReportId::new([u8::try_from(i).unwrap(); 16]))
                .collect();
            let top = root(&ids);
            for (index, id) in ids.iter().enumerate() {
                let path = proof(&ids, index).unwrap();
                assert!(verify(id, index, count, &path, &top));
                assert!(!verify(&ReportId::new([99; 16]), index, count, &path, &top));
            }
            assert_eq!(proof(&ids, count), None);
        }
    }
}
