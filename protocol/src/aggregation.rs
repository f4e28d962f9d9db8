//! What a committee publishes about a batch (design §7.3): Transcript, ShareCommitment,
//! AggregateShare, Aggregate, Abort.

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::{ContentHash, IdError};
use crate::record::PAYLOAD_BYTES_MAX;
use crate::task::COMMITTEE_MAX;
use crate::text::TextError;
use crate::{RecordId, wire};

mod abort;
mod rejection;

pub use abort::{Abort, AbortReason};
pub use rejection::RejectionReason;

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

/// What all aggregators must agree on before any of them commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The batch.
    pub batch: BatchId,
    /// Accepted reports.
    pub count: u64,
    /// Merkle root of their ids: sorted, or in the order of the draw where there are replicate groups.
    pub report_root: ContentHash,
    /// What the replicate groups were drawn from; `None` where there are none.
    pub group_seed: Option<ContentHash>,
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
            group_seed: match wire.group_seed.as_slice() {
                [] => None,
                seed => Some(ContentHash::from_slice(seed).map_err(id("the seed of the groups"))?),
            },
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
            group_seed: self.group_seed.map(ContentHash::to_vec).unwrap_or_default(),
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
    /// Field elements, little endian; of one replicate group after the other where there are several.
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
    /// The noisy sum in weighted units, in the schema's order; of one replicate group after the other where
    /// there are several.
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

#[cfg(test)]
mod tests;
