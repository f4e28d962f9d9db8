//! Replicate groups (design §9): which of the disjoint batches of one task an accepted report belongs to.
//!
//! Every aggregator draws a nonce when joining has closed and commits to it: its share of the verification
//! key is the nonce's digest ([`key_share`]), so that the round in which all commit to those shares binds the
//! nonces, too, and opening the shares does not open them. The nonces are opened only when the accepted
//! reports are fixed; together they make the [`seed`], whose keyed hash sorts the reports ([`draw`]), and the
//! sorted row is cut into nearly equal groups ([`range`]). A group has at least the minimum batch whenever
//! there are as many reports as groups times the minimum batch.
//!
//! The order of the draw is that of the leaves under the Transcript's root: a report's position, which the
//! path to the root proves, says which group it counts in ([`group_at`]).

use std::ops::Range;

use crate::ReportId;
use crate::aggregation::BatchId;
use crate::id::ContentHash;

/// The share of the verification key that a group nonce makes: its digest, which says nothing of it.
#[must_use]
pub fn key_share(nonce: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("fieldmark v1 verification key share of a group nonce", nonce)
}

/// What the groups of a batch are drawn from: a digest of all nonces, in committee order.
#[must_use]
pub fn seed<'n>(batch: BatchId, nonces: impl IntoIterator<Item = &'n [u8; 32]>) -> ContentHash {
    let mut hasher = blake3::Hasher::new_derive_key("fieldmark v1 replicate groups");
    hasher.update(&batch.key());
    for nonce in nonces {
        hasher.update(nonce);
    }
    ContentHash::new(*hasher.finalize().as_bytes())
}

/// The reports in the order of the draw: by the keyed hash of their ids.
#[must_use]
pub fn draw(seed: &ContentHash, reports: &[ReportId]) -> Vec<ReportId> {
    let place = |id: &ReportId| *blake3::keyed_hash(seed.as_bytes(), id.as_bytes()).as_bytes();
    let mut drawn: Vec<ReportId> = reports.to_vec();
    drawn.sort_by_cached_key(|id| (place(id), *id));
    drawn
}

/// The positions of a group, from 0, among `count` reports in the order of the draw. The first groups have
/// one report more than the others where the groups are not equal.
#[must_use]
pub fn range(group: usize, count: usize, groups: usize) -> Range<usize> {
    let (each, more) = (count / groups.max(1), count % groups.max(1));
    let start = |group: usize| group * each + group.min(more);
    start(group)..start(group + 1)
}

/// The group of a position among `count` reports in the order of the draw.
#[must_use]
pub fn group_at(index: usize, count: usize, groups: usize) -> Option<usize> {
    (0..groups).find(|group| range(*group, count, groups).contains(&index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordId;

    fn batch() -> BatchId {
        BatchId {
            task: RecordId::new([1; 32]),
            window: 3,
        }
    }

    fn id(number: u8) -> ReportId {
        ReportId::new([number; 16])
    }

    /// Another derivation would be other groups: aggregators of two versions could not release together.
    #[test]
    fn golden_values_of_a_draw() {
        let seed = seed(batch(), [&[7; 32], &[8; 32]]);
        let reports: Vec<ReportId> = (1..=7).map(id).collect();
        let drawn: Vec<u8> = draw(&seed, &reports).iter().map(|id| id.as_bytes()[0]).collect();
        assert_eq!(
            (
                hex::encode(key_share(&[7; 32])).as_str(),
                hex::encode(seed.as_bytes()).as_str(),
                drawn.as_slice()
            ),
            (
                "3926290d3a1bcf4dfef788fbcab921725b2a910580b6656566b40b6dd4036c90",
                "20084c4614e5460a8d429c511ea5712dad3402a98782b3d2a7e56247ab4b69fe",
                [5, 3, 1, 4, 6, 2, 7].as_slice()
            )
        );
    }

    #[test]
    fn every_nonce_and_the_batch_decide_and_the_order_they_are_given_in_does_not() {
        let whole = seed(batch(), [&[7; 32], &[8; 32]]);
        assert_ne!(whole, seed(batch(), [&[8; 32], &[7; 32]]));
        assert_ne!(whole, seed(batch(), [&[7; 32], &[9; 32]]));
        let next = BatchId { window: 4, ..batch() };
        assert_ne!(whole, seed(next, [&[7; 32], &[8; 32]]));
        let mut reports: Vec<ReportId> = (0..50).map(id).collect();
        let drawn = draw(&whole, &reports);
        reports.reverse();
        assert_eq!(draw(&whole, &reports), drawn);
        assert_ne!(draw(&seed(next, [&[7; 32]]), &reports), drawn);
    }

    #[test]
    fn groups_are_disjoint_nearly_equal_and_reach_the_minimum_when_the_sum_does() {
        for groups in 1..=16 {
            for count in 0..200 {
                let ranges: Vec<_> = (0..groups).map(|group| range(group, count, groups)).collect();
                let covered: Vec<usize> = ranges.iter().cloned().flatten().collect();
                assert_eq!(covered, (0..count).collect::<Vec<_>>());
                assert!(ranges.iter().all(|range| range.len() >= count / groups));
                for index in 0..count {
                    let group = group_at(index, count, groups).unwrap();
                    assert!(ranges[group].contains(&index));
                }
                assert_eq!(group_at(count, count, groups), None);
            }
        }
    }

    /// With every seed another half: over many seeds each pair of reports is as often together as chance
    /// has it (3 of 7 with 8 reports in two groups).
    #[test]
    fn no_two_reports_are_bound_to_each_other() {
        let reports: Vec<ReportId> = (0..8).map(id).collect();
        let mut together = [[0_u32; 8]; 8];
        for nonce in 0..2_000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&nonce.to_be_bytes());
            let drawn = draw(&seed(batch(), [&bytes]), &reports);
            for group in 0..2 {
                let members = &drawn[range(group, 8, 2)];
                for a in members {
                    for b in members {
                        together[usize::from(a.as_bytes()[0])][usize::from(b.as_bytes()[0])] += 1;
                    }
                }
            }
        }
        for (a, row) in together.iter().enumerate() {
            for (b, times) in row.iter().enumerate().filter(|(b, _)| *b != a) {
                // Mean 857, standard deviation 22.
                assert!((750..965).contains(times), "{a} and {b}: {times}");
            }
        }
    }
}
