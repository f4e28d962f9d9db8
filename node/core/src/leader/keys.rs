//! How the committee draws its verification key, as the leader runs it: first everyone commits to a share,
//! the leader before it has seen any other's commitment; then each helper opens its share once it has been
//! shown all commitments. Nobody chooses its share after seeing another's.

use std::collections::BTreeMap;

use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::wire;

use crate::seat;

/// What the helpers said so far, by seat.
#[derive(Debug, Default)]
pub(super) struct Keys {
    own: [u8; 32],
    seats: usize,
    commitments: BTreeMap<usize, [u8; 32]>,
    shares: BTreeMap<usize, [u8; 32]>,
}

/// What became of a helper's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is taken.
    Taken,
    /// It is not what was asked.
    Useless,
    /// It opens another share than the one the helper committed to.
    Broken,
}

impl Keys {
    /// The first round, with the leader's own share.
    pub(super) fn new(batch: BatchId, own: [u8; 32], seats: usize) -> Self {
        Self {
            own,
            seats,
            commitments: BTreeMap::from([(0, seat::key_commitment(batch, 0, &own))]),
            shares: BTreeMap::from([(0, own)]),
        }
    }

    /// Whether every helper has committed.
    pub(super) fn all_committed(&self) -> bool {
        self.commitments.len() == self.seats
    }

    /// What a helper has still to be asked, if anything.
    pub(super) fn question(&self, batch: BatchId, seat: usize) -> Option<wire::VerifyKeyShare> {
        let request = wire::VerifyKeyShare {
            task: batch.task.to_vec(),
            window: batch.window,
            ..Default::default()
        };
        if !self.commitments.contains_key(&seat) {
            let commitment = seat::key_commitment(batch, 0, &self.own).to_vec();
            return Some(wire::VerifyKeyShare {
                commitment,
                ..request
            });
        }
        if !self.all_committed() || self.shares.contains_key(&seat) {
            return None;
        }
        let commitments = self.commitments.values().map(|c| c.to_vec()).collect();
        Some(wire::VerifyKeyShare {
            commitments,
            ..request
        })
    }

    /// A helper answered.
    pub(super) fn answer(&mut self, batch: BatchId, seat: usize, answer: &wire::VerifyKeyShare) -> Said {
        let committed = self.commitments.get(&seat).copied();
        let bytes = |field: &[u8]| <[u8; 32]>::try_from(field).ok();
        match (committed, bytes(&answer.commitment), bytes(&answer.share)) {
            (None, Some(commitment), _) => {
                self.commitments.insert(seat, commitment);
                Said::Taken
            }
            (Some(committed), _, Some(share)) => {
                if seat::key_commitment(batch, seat, &share) != committed {
                    return Said::Broken;
                }
                self.shares.insert(seat, share);
                Said::Taken
            }
            _ => Said::Useless,
        }
    }

    /// All shares in committee order, once they are here.
    pub(super) fn complete(&self) -> Option<Vec<[u8; 32]>> {
        (self.shares.len() == self.seats).then(|| self.shares.values().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_protocol::RecordId;

    fn batch() -> BatchId {
        BatchId {
            task: RecordId::new([1; 32]),
            window: 0,
        }
    }

    fn commits(keys: &mut Keys, seat: usize, share: [u8; 32]) -> Said {
        let answer = wire::VerifyKeyShare {
            commitment: seat::key_commitment(batch(), seat, &share).to_vec(),
            ..Default::default()
        };
        keys.answer(batch(), seat, &answer)
    }

    fn opens(keys: &mut Keys, seat: usize, share: [u8; 32]) -> Said {
        let answer = wire::VerifyKeyShare {
            share: share.to_vec(),
            ..Default::default()
        };
        keys.answer(batch(), seat, &answer)
    }

    #[test]
    fn nobody_is_asked_to_open_before_everyone_has_committed() {
        let mut keys = Keys::new(batch(), [9; 32], 3);
        assert!(keys.question(batch(), 1).unwrap().commitments.is_empty());
        assert_eq!(opens(&mut keys, 1, [1; 32]), Said::Useless);
        assert_eq!(commits(&mut keys, 1, [1; 32]), Said::Taken);
        assert_eq!(keys.question(batch(), 1), None);
        assert_eq!(commits(&mut keys, 2, [2; 32]), Said::Taken);
        assert_eq!(keys.question(batch(), 1).unwrap().commitments.len(), 3);
        assert_eq!(opens(&mut keys, 1, [1; 32]), Said::Taken);
        assert_eq!(keys.complete(), None);
        assert_eq!(opens(&mut keys, 2, [2; 32]), Said::Taken);
        assert_eq!(keys.complete().unwrap(), [[9; 32], [1; 32], [2; 32]]);
    }

    #[test]
    fn a_share_that_was_not_committed_to_is_seen() {
        let mut keys = Keys::new(batch(), [9; 32], 2);
        commits(&mut keys, 1, [1; 32]);
        assert_eq!(opens(&mut keys, 1, [3; 32]), Said::Broken);
    }
}
