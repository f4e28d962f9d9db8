//! The signed end of a batch without a release, and its reasons by stable numbers.

use prost::Message;

use super::{AggregationError, BatchId};
use crate::record::PAYLOAD_BYTES_MAX;
use crate::{decode, text, wire};

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
