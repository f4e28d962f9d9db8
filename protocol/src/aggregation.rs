//! What a committee publishes about a batch (design §7.3): Transcript, ShareCommitment,
//! AggregateShare, Aggregate, Abort.

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::{ContentHash, IdError};
use crate::record::PAYLOAD_BYTES_MAX;
use crate::task::COMMITTEE_MAX;
use crate::text::{self, TextError};
use crate::{RecordId, wire};

/// Bytes of one field element of a share.
pub const FIELD_BYTES: usize = 16;
/// Bytes of the nonce that opens a commitment.
pub const NONCE_BYTES: usize = 32;

/// A committee record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AggregationError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An id or hash has the wrong length.
    #[error("{field} is not an id")]
    Id {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: IdError,
    },
    /// Rejections unsorted, repeated, or with reasons this version does not know.
    #[error("the rejections are not counted by ascending known reasons")]
    Rejections,
    /// A share that is not a whole number of field elements.
    #[error("a share of {0} bytes is not a vector of {FIELD_BYTES}-byte field elements")]
    Share(usize),
    /// More shares than a committee has members.
    #[error("an aggregate cites {0} shares")]
    Shares(usize),
    /// A detail that cannot be shown.
    #[error(transparent)]
    Text(#[from] TextError),
    /// An abort reason this version does not know.
    #[error("abort reason {0} is not known")]
    Reason(u32),
}

/// Which batch: a task and its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId {
    /// The Task record.
    pub task: RecordId,
    /// Number of the window.
    pub window: u64,
}

impl BatchId {
    /// The store key: task id ‖ window, big endian.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        [self.task.as_bytes().as_slice(), &self.window.to_be_bytes()].concat()
    }

    /// Reads the fields of a wire message.
    ///
    /// # Errors
    /// [`AggregationError::Id`].
    pub fn from_wire(task: &[u8], window: u64) -> Result<Self, AggregationError> {
        Ok(Self {
            task: RecordId::from_slice(task).map_err(id("the task"))?,
            window,
        })
    }
}

fn id(field: &'static str) -> impl Fn(IdError) -> AggregationError {
    move |source| AggregationError::Id { field, source }
}

/// Why a report was not counted. Numbers are stable on the wire; 0 means accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectionReason {
    /// The contributor's signature or certificate does not hold.
    Signature,
    /// The task does not admit the contributor.
    NotEligible,
    /// The identity already has a report in this window.
    Duplicate,
    /// A share does not open.
    Seal,
    /// The proof does not verify: a value out of range, or bytes that are no share.
    Proof,
    /// Wrong shape: number of shares, sizes, task or window.
    Malformed,
    /// It came before the window opened or after it closed.
    Time,
}

impl RejectionReason {
    /// Every reason, by number from 1.
    pub const ALL: [Self; 7] = [
        Self::Signature,
        Self::NotEligible,
        Self::Duplicate,
        Self::Seal,
        Self::Proof,
        Self::Malformed,
        Self::Time,
    ];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Signature => 1,
            Self::NotEligible => 2,
            Self::Duplicate => 3,
            Self::Seal => 4,
            Self::Proof => 5,
            Self::Malformed => 6,
            Self::Time => 7,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.number() == number)
    }

    /// Words for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::NotEligible => "not-eligible",
            Self::Duplicate => "duplicate",
            Self::Seal => "seal",
            Self::Proof => "proof",
            Self::Malformed => "malformed",
            Self::Time => "time",
        }
    }
}

/// What all aggregators must agree on before any of them commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The batch.
    pub batch: BatchId,
    /// Accepted reports.
    pub count: u64,
    /// Merkle root of their ids, sorted.
    pub report_root: ContentHash,
    /// Rejected reports by reason, ascending.
    pub rejections: Vec<(RejectionReason, u64)>,
}

impl Transcript {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`AggregationError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, AggregationError> {
        let wire: wire::Transcript = decode::bounded("a transcript", payload, PAYLOAD_BYTES_MAX)?;
        let rejection = |r: &wire::Rejection| {
            RejectionReason::from_number(r.reason)
                .map(|reason| (reason, r.count))
                .ok_or(AggregationError::Rejections)
        };
        let rejections: Vec<_> = wire.rejections.iter().map(rejection).collect::<Result<_, _>>()?;
        if !rejections.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(AggregationError::Rejections);
        }
        Ok(Self {
            batch: BatchId::from_wire(&wire.task, wire.window)?,
            count: wire.count,
            report_root: ContentHash::from_slice(&wire.report_root).map_err(id("the report root"))?,
            rejections,
        })
    }

    /// The payload bytes, the same for every aggregator that agrees.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Transcript {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            count: self.count,
            report_root: self.report_root.to_vec(),
            rejections: self
                .rejections
                .iter()
                .map(|(reason, count)| wire::Rejection {
                    reason: reason.number(),
                    count: *count,
                })
                .collect(),
        }
        .encode_to_vec()
    }

    /// Hash of the content; equal transcripts have equal digests.
    #[must_use]
    pub fn digest(&self) -> ContentHash {
        ContentHash::of(&self.encode())
    }
}

/// An aggregator's promise of its noisy share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareCommitment {
    /// The batch.
    pub batch: BatchId,
    /// Digest of the transcript all agreed on.
    pub transcript: ContentHash,
    /// [`commitment`] of the share.
    pub commitment: ContentHash,
}

impl ShareCommitment {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`AggregationError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, AggregationError> {
        let wire: wire::ShareCommitment = decode::bounded("a share commitment", payload, PAYLOAD_BYTES_MAX)?;
        Ok(Self {
            batch: BatchId::from_wire(&wire.task, wire.window)?,
            transcript: ContentHash::from_slice(&wire.transcript_digest).map_err(id("the transcript"))?,
            commitment: ContentHash::from_slice(&wire.commitment).map_err(id("the commitment"))?,
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::ShareCommitment {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            transcript_digest: self.transcript.to_vec(),
            commitment: self.commitment.to_vec(),
        }
        .encode_to_vec()
    }
}

/// The commitment to `share` under `nonce` in `batch`: a BLAKE3 hash keyed by the nonce.
#[must_use]
pub fn commitment(batch: BatchId, share: &[u8], nonce: &[u8; NONCE_BYTES]) -> ContentHash {
    let mut hasher = blake3::Hasher::new_keyed(nonce);
    hasher.update(&batch.key());
    hasher.update(share);
    ContentHash::new(*hasher.finalize().as_bytes())
}

/// An aggregator's published share: its sum of report shares plus its own noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateShare {
    /// The batch.
    pub batch: BatchId,
    /// Field elements, little endian.
    pub share: Vec<u8>,
    /// Opens the commitment.
    pub nonce: [u8; NONCE_BYTES],
}

impl AggregateShare {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`AggregationError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, AggregationError> {
        let wire: wire::AggregateShare = decode::bounded("an aggregate share", payload, PAYLOAD_BYTES_MAX)?;
        if wire.share.is_empty() || !wire.share.len().is_multiple_of(FIELD_BYTES) {
            return Err(AggregationError::Share(wire.share.len()));
        }
        let nonce = ContentHash::from_slice(&wire.nonce).map_err(id("the nonce"))?;
        Ok(Self {
            batch: BatchId::from_wire(&wire.task, wire.window)?,
            share: wire.share,
            nonce: *nonce.as_bytes(),
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::AggregateShare {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            share: self.share.clone(),
            nonce: self.nonce.to_vec(),
        }
        .encode_to_vec()
    }

    /// Whether this share is the one that was committed to.
    #[must_use]
    pub fn opens(&self, commitment_record: &ShareCommitment) -> bool {
        self.batch == commitment_record.batch
            && commitment(self.batch, &self.share, &self.nonce) == commitment_record.commitment
    }
}

/// The sum of the k published shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// The batch.
    pub batch: BatchId,
    /// Accepted reports.
    pub count: u64,
    /// The noisy sum in weighted units, in the schema's order.
    pub values: Vec<i64>,
    /// The AggregateShare records, in committee order.
    pub shares: Vec<RecordId>,
}

impl Aggregate {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`AggregationError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, AggregationError> {
        let wire: wire::Aggregate = decode::bounded("an aggregate", payload, PAYLOAD_BYTES_MAX)?;
        if wire.shares.len() > COMMITTEE_MAX {
            return Err(AggregationError::Shares(wire.shares.len()));
        }
        let share = |s: &Vec<u8>| RecordId::from_slice(s).map_err(id("a share"));
        Ok(Self {
            batch: BatchId::from_wire(&wire.task, wire.window)?,
            count: wire.count,
            values: wire.values,
            shares: wire.shares.iter().map(share).collect::<Result<_, _>>()?,
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Aggregate {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            count: self.count,
            values: self.values.clone(),
            shares: self.shares.iter().map(|s| s.to_vec()).collect(),
        }
        .encode_to_vec()
    }
}

/// Why a batch was ended without a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AbortReason {
    /// Fewer accepted reports than the minimum batch.
    TooFewReports,
    /// The operator or an aggregator stopped it by hand.
    ByHand,
    /// The aggregators' transcripts differ.
    Disagreement,
    /// An aggregator broke the protocol; the detail names its seat and the report.
    Misbehaviour,
    /// The committee did not finish in the time that the task gives it.
    Overdue,
}

impl AbortReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::TooFewReports,
        Self::ByHand,
        Self::Disagreement,
        Self::Misbehaviour,
        Self::Overdue,
    ];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::TooFewReports => 1,
            Self::ByHand => 2,
            Self::Disagreement => 3,
            Self::Misbehaviour => 4,
            Self::Overdue => 5,
        }
    }

    /// Words for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooFewReports => "too few reports",
            Self::ByHand => "stopped by hand",
            Self::Disagreement => "the aggregators disagree",
            Self::Misbehaviour => "an aggregator misbehaved",
            Self::Overdue => "the committee did not finish in time",
        }
    }
}

/// A signed end of a batch before any share was public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abort {
    /// The batch.
    pub batch: BatchId,
    /// Why.
    pub reason: AbortReason,
    /// Words of whoever aborted.
    pub detail: String,
}

impl Abort {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`AggregationError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, AggregationError> {
        let wire: wire::Abort = decode::bounded("an abort", payload, PAYLOAD_BYTES_MAX)?;
        text::free("the abort's detail", &wire.detail, 512)?;
        let reason = AbortReason::ALL.into_iter().find(|r| r.number() == wire.reason);
        Ok(Self {
            batch: BatchId::from_wire(&wire.task, wire.window)?,
            reason: reason.ok_or(AggregationError::Reason(wire.reason))?,
            detail: wire.detail,
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Abort {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            reason: self.reason.number(),
            detail: self.detail.clone(),
        }
        .encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> BatchId {
        BatchId {
            task: RecordId::new([1; 32]),
            window: 3,
        }
    }

    #[test]
    fn committee_records_survive_their_payloads() {
        let transcript = Transcript {
            batch: batch(),
            count: 5,
            report_root: ContentHash::of(b"r"),
            rejections: vec![(RejectionReason::Duplicate, 1), (RejectionReason::Proof, 2)],
        };
        assert_eq!(Transcript::decode(&transcript.encode()).unwrap(), transcript);
        let aggregate = Aggregate {
            batch: batch(),
            count: 5,
            values: vec![-3, 7, i64::MAX],
            shares: vec![RecordId::new([2; 32])],
        };
        assert_eq!(Aggregate::decode(&aggregate.encode()).unwrap(), aggregate);
        let abort = Abort {
            batch: batch(),
            reason: AbortReason::ByHand,
            detail: "a typo".into(),
        };
        assert_eq!(Abort::decode(&abort.encode()).unwrap(), abort);
    }

    #[test]
    fn only_the_committed_share_opens_a_commitment() {
        let share = AggregateShare {
            batch: batch(),
            share: vec![1; 32],
            nonce: [9; 32],
        };
        let promised = ShareCommitment {
            batch: batch(),
            transcript: ContentHash::of(b"t"),
            commitment: commitment(batch(), &share.share, &share.nonce),
        };
        assert_eq!(AggregateShare::decode(&share.encode()).unwrap(), share);
        assert_eq!(ShareCommitment::decode(&promised.encode()).unwrap(), promised);
        assert!(share.opens(&promised));
        let other = AggregateShare {
            share: vec![2; 32],
            ..share
        };
        assert!(!other.opens(&promised));
    }

    #[test]
    fn repeated_rejection_reasons_are_refused() {
        let wire = wire::Transcript {
            task: vec![1; 32],
            report_root: vec![2; 32],
            rejections: vec![wire::Rejection { reason: 5, count: 1 }; 2],
            ..Default::default()
        };
        assert_eq!(
            Transcript::decode(&wire.encode_to_vec()),
            Err(AggregationError::Rejections)
        );
    }

    #[test]
    fn a_share_of_broken_field_elements_is_refused() {
        let share = AggregateShare {
            batch: batch(),
            share: vec![1; 33],
            nonce: [9; 32],
        };
        assert_eq!(
            AggregateShare::decode(&share.encode()),
            Err(AggregationError::Share(33))
        );
    }
}
