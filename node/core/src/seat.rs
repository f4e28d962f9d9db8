//! What every aggregator keeps about a batch, leader and helper alike: the byte layout of
//! `Column::Aggregation`, who may contribute, and the batch as it was concluded.
//!
//! Keys are task id ‖ window (big endian) ‖ tag ‖ rest:
//! `C` closed (time), `K` own share of the verification key, `L` the leader's commitment to its share
//! (helper), `G` all commitments (helper), `Y` the joint verification key,
//! `U` number of reports taken (leader), `R` ‖ identity → time ‖ report, and once it is decided time ‖
//! report id ‖ verdict (leader), `F` ‖ identity → first report id seen (helper),
//! `S` ‖ report id → verification state and verifier share, until it is finished (helper),
//! `J` ‖ report id → why it was rejected here (helper), `O` ‖ report id → output share,
//! `D` the batch as concluded, `M` what the replicate groups were drawn from, `A` number of output shares
//! added up ‖ their sum (of one group after the other), `N` noisy share ‖ nonce. Where a task has groups, `K`
//! is the nonce whose digest is the share of the key, and the leader keeps `G`, too.
//! `S`, `O` and `A` go when the noisy share is there.
//!
//! Beside the batches stand the ids of all reports ever taken, `report-id/` ‖ id → task id ‖ window ‖
//! contributor: a report is unique by its id for ever.

use std::collections::BTreeMap;

use fieldmark_ledger::endorsement::{self, Standing};
use fieldmark_ledger::identity;
use fieldmark_protocol::aggregation::{BatchId, RejectionReason, Transcript};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::report::Metadata;
use fieldmark_protocol::task::{CONTRIBUTOR_ROLE, Eligibility, Task};
use fieldmark_protocol::{PublicKey, ReportId, groups, merkle, wire};
use prost::Message;

pub(crate) const CLOSED: u8 = b'C';
pub(crate) const KEY_SHARE: u8 = b'K';
pub(crate) const LEADER_COMMITMENT: u8 = b'L';
pub(crate) const COMMITMENTS: u8 = b'G';
pub(crate) const VERIFY_KEY: u8 = b'Y';
pub(crate) const REPORT: u8 = b'R';
pub(crate) const FIRST: u8 = b'F';
pub(crate) const STATE: u8 = b'S';
pub(crate) const REJECTED: u8 = b'J';
pub(crate) const OUTPUT: u8 = b'O';
pub(crate) const CONCLUDED: u8 = b'D';
pub(crate) const GROUP_SEED: u8 = b'M';
pub(crate) const NOISY: u8 = b'N';
pub(crate) const UPLOADS: u8 = b'U';
pub(crate) const ADDED: u8 = b'A';

pub(crate) fn key(batch: BatchId, tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = batch.key();
    key.push(tag);
    key.extend(rest);
    key
}

pub(crate) fn get(
    store: &dyn Read,
    batch: BatchId,
    tag: u8,
    rest: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    store.get(Column::Aggregation, &key(batch, tag, rest))
}

pub(crate) fn put(writes: &mut Batch, batch: BatchId, tag: u8, rest: &[u8], value: impl Into<Vec<u8>>) {
    writes.put(Column::Aggregation, key(batch, tag, rest), value);
}

pub(crate) fn delete(writes: &mut Batch, batch: BatchId, tag: u8, rest: &[u8]) {
    writes.delete(Column::Aggregation, key(batch, tag, rest));
}

/// Deletes what nobody needs once the noisy share is durable.
pub(crate) fn drop_used(writes: &mut Batch, batch: BatchId, concluded: &Concluded) {
    for id in &concluded.accepted {
        delete(writes, batch, OUTPUT, id.as_bytes());
    }
    for id in concluded.rejected.keys() {
        delete(writes, batch, OUTPUT, id.as_bytes());
        delete(writes, batch, STATE, id.as_bytes());
    }
    delete(writes, batch, ADDED, &[]);
}

/// A 32-byte value.
pub(crate) fn get_key(store: &dyn Read, batch: BatchId, tag: u8) -> Result<Option<[u8; 32]>, StoreError> {
    let Some(bytes) = get(store, batch, tag, &[])? else {
        return Ok(None);
    };
    let array = <[u8; 32]>::try_from(bytes.as_slice());
    let damaged = |_| StoreError::damaged(Column::Aggregation, &key(batch, tag, &[]), "not a key");
    Ok(Some(array.map_err(damaged)?))
}

/// A seat's promise of its share of the verification key.
pub(crate) fn key_commitment(batch: BatchId, seat: usize, share: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("fieldmark v1 verification key commitment");
    hasher.update(&batch.key());
    hasher.update(&[u8::try_from(seat).unwrap_or(u8::MAX)]);
    hasher.update(share);
    *hasher.finalize().as_bytes()
}

/// The verification key made of all shares, in committee order.
pub(crate) fn joint_key<'s>(batch: BatchId, shares: impl IntoIterator<Item = &'s [u8; 32]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("fieldmark v1 verification key");
    hasher.update(&batch.key());
    for share in shares {
        hasher.update(share);
    }
    *hasher.finalize().as_bytes()
}

/// This seat's share of the verification key, from what is stored of it: where the task has groups that is
/// the nonce which the share hides.
pub(crate) fn key_share(task: &Task, stored: &[u8; 32]) -> [u8; 32] {
    if task.has_groups() {
        groups::key_share(stored)
    } else {
        *stored
    }
}

/// The commitments to the shares of the verification key, one after the other, as the second round shows
/// them.
pub(crate) fn key_commitments<'s>(batch: BatchId, shares: impl IntoIterator<Item = &'s [u8; 32]>) -> Vec<u8> {
    let numbered = (0..).zip(shares);
    numbered
        .flat_map(|(seat, share)| key_commitment(batch, seat, share))
        .collect()
}

/// The first seat whose group nonce does not open what it committed to before anything was verified.
pub(crate) fn false_nonce(
    store: &dyn Read,
    batch: BatchId,
    nonces: &[[u8; 32]],
) -> Result<Option<usize>, StoreError> {
    let held = get(store, batch, COMMITMENTS, &[])?.unwrap_or_default();
    let shares: Vec<[u8; 32]> = nonces.iter().map(groups::key_share).collect();
    let opened = key_commitments(batch, &shares);
    let mut seats = opened
        .chunks(32)
        .zip(held.chunks(32).chain(std::iter::repeat(&[][..])));
    Ok(seats.position(|(opened, held)| opened != held))
}

/// What the groups of a batch are drawn from, once it is known here.
pub(crate) fn group_seed(store: &dyn Read, batch: BatchId) -> Result<Option<ContentHash>, StoreError> {
    Ok(get_key(store, batch, GROUP_SEED)?.map(ContentHash::new))
}

fn id_key(id: &ReportId) -> Vec<u8> {
    [b"report-id/".as_slice(), id.as_bytes()].concat()
}

fn id_value(metadata: &Metadata) -> Vec<u8> {
    [metadata.batch.key().as_slice(), metadata.contributor.as_bytes()].concat()
}

/// Takes note that a report id is used.
pub(crate) fn note_id(writes: &mut Batch, metadata: &Metadata) {
    writes.put(
        Column::Aggregation,
        id_key(&metadata.report_id),
        id_value(metadata),
    );
}

/// Whether a report id was used before, in another window or by another contributor.
pub(crate) fn id_is_used(store: &dyn Read, metadata: &Metadata) -> Result<bool, StoreError> {
    let before = store.get(Column::Aggregation, &id_key(&metadata.report_id))?;
    Ok(before.is_some_and(|before| before != id_value(metadata)))
}

/// Whether an identity may contribute to a task; `None` when an endorsement could still arrive.
pub(crate) fn eligible(
    store: &dyn Read,
    task: &Task,
    contributor: &PublicKey,
) -> Result<Option<bool>, StoreError> {
    let endorsers = match (&task.eligibility, task.eligibility.admits(contributor)) {
        (_, Some(admitted)) => return Ok(Some(admitted)),
        (Eligibility::EndorsedBy(endorsers), None) => endorsers,
        _ => return Ok(Some(false)),
    };
    let until = task.closes_at_ms;
    Ok(
        match endorsement::standing(store, endorsers, contributor, CONTRIBUTOR_ROLE, until)? {
            Standing::Endorsed => Some(true),
            Standing::Unknown => None,
            _ => Some(false),
        },
    )
}

/// Whether a contributor may be counted; `None` when its certificate or endorsement has not arrived here.
pub(crate) fn admits(
    store: &dyn Read,
    task: &Task,
    metadata: &Metadata,
) -> Result<Option<Result<(), RejectionReason>>, StoreError> {
    let Some(certified) = identity::certificate(store, &metadata.node_key)? else {
        return Ok(None);
    };
    if certified.identity != metadata.contributor {
        return Ok(Some(Err(RejectionReason::Signature)));
    }
    let eligible = eligible(store, task, &metadata.contributor)?;
    Ok(eligible.map(|yes| yes.then_some(()).ok_or(RejectionReason::NotEligible)))
}

/// The batch as concluded: accepted ids, sorted, and why others were not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Concluded {
    pub(crate) accepted: Vec<ReportId>,
    pub(crate) rejected: BTreeMap<ReportId, RejectionReason>,
}

impl Concluded {
    pub(crate) fn to_wire(&self, batch: BatchId) -> wire::Conclude {
        let verdict = |(id, reason): (&ReportId, &RejectionReason)| wire::Verdict {
            report_id: id.to_vec(),
            rejection: reason.number(),
        };
        wire::Conclude {
            task: batch.task.to_vec(),
            window: batch.window,
            report_ids: self.accepted.iter().map(|id| id.to_vec()).collect(),
            rejected: self.rejected.iter().map(verdict).collect(),
        }
    }

    /// Reads a conclusion; `None` unless ids are well formed, sorted and each decided once.
    pub(crate) fn from_wire(wire: &wire::Conclude) -> Option<Self> {
        let accepted: Vec<ReportId> = wire
            .report_ids
            .iter()
            .map(|id| ReportId::from_slice(id).ok())
            .collect::<Option<_>>()?;
        let verdict = |v: &wire::Verdict| {
            Some((
                ReportId::from_slice(&v.report_id).ok()?,
                RejectionReason::from_number(v.rejection)?,
            ))
        };
        let rejected: BTreeMap<_, _> = wire.rejected.iter().map(verdict).collect::<Option<_>>()?;
        let distinct = rejected.len() == wire.rejected.len();
        let once = accepted.iter().all(|id| !rejected.contains_key(id));
        (accepted.is_sorted_by(|a, b| a < b) && distinct && once).then_some(Self { accepted, rejected })
    }

    pub(crate) fn load(store: &dyn Read, batch: BatchId) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = get(store, batch, CONCLUDED, &[])? else {
            return Ok(None);
        };
        let damaged = || {
            StoreError::damaged(
                Column::Aggregation,
                &key(batch, CONCLUDED, &[]),
                "not a conclusion",
            )
        };
        let wire = wire::Conclude::decode(bytes.as_slice()).map_err(|_| damaged())?;
        Ok(Some(Self::from_wire(&wire).ok_or_else(damaged)?))
    }

    /// The accepted reports in the order of the Transcript's root: sorted, or as they were drawn into groups.
    pub(crate) fn ordered(&self, group_seed: Option<&ContentHash>) -> Vec<ReportId> {
        match group_seed {
            Some(seed) => groups::draw(seed, &self.accepted),
            None => self.accepted.clone(),
        }
    }

    /// Where a report stands among the accepted ones, with its proof; `None` when it is not among them.
    pub(crate) fn inclusion(
        &self,
        id: &ReportId,
        group_seed: Option<&ContentHash>,
    ) -> Option<wire::Inclusion> {
        self.accepted.binary_search(id).ok()?;
        let ordered = self.ordered(group_seed);
        let index = ordered.iter().position(|accepted| accepted == id)?;
        let path = merkle::proof(&ordered, index)?;
        Some(wire::Inclusion {
            index: u64::try_from(index).ok()?,
            count: u64::try_from(ordered.len()).ok()?,
            path: path.into_iter().map(ContentHash::to_vec).collect(),
        })
    }

    pub(crate) fn transcript(&self, batch: BatchId, group_seed: Option<ContentHash>) -> Transcript {
        let mut counts: BTreeMap<RejectionReason, u64> = BTreeMap::new();
        for reason in self.rejected.values() {
            *counts.entry(*reason).or_default() += 1;
        }
        // Ascending by number, as the payload wants it.
        let mut rejections: Vec<_> = counts.into_iter().collect();
        rejections.sort_by_key(|(reason, _)| reason.number());
        Transcript {
            batch,
            count: u64::try_from(self.accepted.len()).unwrap_or(u64::MAX),
            report_root: merkle::root(&self.ordered(group_seed.as_ref())),
            group_seed,
            rejections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_protocol::RecordId;

    fn id(byte: u8) -> ReportId {
        ReportId::new([byte; 16])
    }

    #[test]
    fn a_conclusion_survives_the_wire_and_is_refused_unsorted_or_twice() {
        let batch = BatchId {
            task: RecordId::new([1; 32]),
            window: 0,
        };
        let concluded = Concluded {
            accepted: vec![id(1), id(2)],
            rejected: [(id(3), RejectionReason::Proof)].into(),
        };
        let wire = concluded.to_wire(batch);
        assert_eq!(Concluded::from_wire(&wire), Some(concluded.clone()));
        let mut unsorted = wire.clone();
        unsorted.report_ids.reverse();
        assert_eq!(Concluded::from_wire(&unsorted), None);
        let mut twice = wire;
        twice.report_ids.push(id(3).to_vec());
        assert_eq!(Concluded::from_wire(&twice), None);
        assert_eq!(concluded.transcript(batch, None).count, 2);
    }

    fn metadata(window: u64, contributor: u8) -> Metadata {
        Metadata {
            batch: BatchId {
                task: RecordId::new([1; 32]),
                window,
            },
            report_id: id(7),
            contributor: PublicKey::new([contributor; 32]),
            node_key: PublicKey::new([9; 32]),
        }
    }

    #[test]
    fn a_report_id_is_used_once_for_ever() {
        let mut store = fieldmark_ledger::store::MemoryStore::new();
        assert!(!id_is_used(&store, &metadata(0, 1)).unwrap());
        let mut writes = Batch::new();
        note_id(&mut writes, &metadata(0, 1));
        fieldmark_protocol::machine::Store::commit(&mut store, &writes).unwrap();
        // The same report again is no other use.
        assert!(!id_is_used(&store, &metadata(0, 1)).unwrap());
        assert!(id_is_used(&store, &metadata(1, 1)).unwrap());
        assert!(id_is_used(&store, &metadata(0, 2)).unwrap());
    }

    #[test]
    fn an_accepted_report_has_a_path_to_the_root_and_another_has_none() {
        let batch = metadata(0, 1).batch;
        let concluded = Concluded {
            accepted: vec![id(1), id(2), id(5)],
            rejected: BTreeMap::new(),
        };
        let inclusion = concluded.inclusion(&id(2), None).unwrap();
        let path: Vec<ContentHash> = inclusion
            .path
            .iter()
            .map(|hash| ContentHash::from_slice(hash).unwrap())
            .collect();
        let root = concluded.transcript(batch, None).report_root;
        assert!(merkle::verify(&id(2), 1, 3, &path, &root));
        assert_eq!(concluded.inclusion(&id(3), None), None);
    }

    #[test]
    fn with_groups_the_path_proves_the_place_in_the_draw() {
        let batch = metadata(0, 1).batch;
        let concluded = Concluded {
            accepted: (0..9).map(id).collect(),
            rejected: BTreeMap::new(),
        };
        let seed = groups::seed(batch, [&[1; 32], &[2; 32]]);
        let root = concluded.transcript(batch, Some(seed)).report_root;
        assert_ne!(root, concluded.transcript(batch, None).report_root);
        let drawn = groups::draw(&seed, &concluded.accepted);
        for (at, id) in drawn.iter().enumerate() {
            let inclusion = concluded.inclusion(id, Some(&seed)).unwrap();
            assert_eq!(inclusion.index, at as u64);
            let path: Vec<ContentHash> = inclusion
                .path
                .iter()
                .map(|hash| ContentHash::from_slice(hash).unwrap())
                .collect();
            assert!(merkle::verify(id, at, 9, &path, &root));
            assert!(!merkle::verify(id, (at + 1) % 9, 9, &path, &root));
        }
    }

    /// Another derivation would be another key: aggregators of two versions could not verify together.
    #[test]
    fn the_verification_key_follows_from_its_shares_in_their_order() {
        let batch = metadata(0, 1).batch;
        let (a, b) = ([1; 32], [2; 32]);
        assert_eq!(joint_key(batch, [&a, &b]), joint_key(batch, [&a, &b]));
        assert_ne!(joint_key(batch, [&a, &b]), joint_key(batch, [&b, &a]));
        assert_ne!(key_commitment(batch, 0, &a), key_commitment(batch, 1, &a));
        assert_ne!(key_commitment(batch, 0, &a), key_commitment(batch, 0, &b));
    }
}
