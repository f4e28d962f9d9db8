//! What watchers of a node get to know.

use fieldmark_ledger::batch::Phase;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::{PublicKey, RecordId, ReportId};
use serde::{Deserialize, Serialize};

use crate::news::item::News;

/// What watchers of a node get to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A record took its place in the ledger.
    Record {
        /// Its id.
        id: RecordId,
        /// Its kind.
        kind: String,
    },
    /// A log forked.
    Fork {
        /// The key that signed twice.
        log: PublicKey,
        /// At which position.
        seq: u64,
    },
    /// A release's artifacts are all here.
    Pulled {
        /// The release.
        release: RecordId,
    },
    /// Fetching an artifact failed; it is tried again.
    PullFailed {
        /// The release.
        release: RecordId,
        /// Why.
        detail: String,
    },
    /// This node's contribution moved on.
    Contribution {
        /// The task.
        task: RecordId,
        /// `joined`, `evaluated`, `charged`, `uploaded`, `counted`, `refunded`, `failed`.
        state: String,
        /// More for people.
        detail: String,
    },
    /// An aggregator of a batch that this node leads broke the protocol.
    Misbehaviour {
        /// The task.
        task: RecordId,
        /// Its seat; 0 leads.
        seat: u64,
        /// Who answers for it.
        identity: PublicKey,
        /// The report that it happened at, if it was at one.
        report: Option<ReportId>,
        /// What it did.
        detail: String,
    },
    /// Something happened to a model that this node subscribes to.
    News {
        /// Which subscription.
        subscription: ContentHash,
        /// What.
        news: Box<News>,
    },
    /// A webhook acknowledged an item.
    Delivered {
        /// Which subscription.
        subscription: ContentHash,
        /// Which item.
        item: ContentHash,
    },
    /// A webhook did not take an item; it is tried again.
    DeliveryFailed {
        /// Which subscription.
        subscription: ContentHash,
        /// Which item.
        item: ContentHash,
        /// Why.
        detail: String,
        /// When, in milliseconds from now.
        again_in_ms: u64,
    },
    /// A batch this node aggregates moved on.
    Batch {
        /// The task.
        task: RecordId,
        /// Its phase.
        phase: String,
        /// Reports received or accepted so far.
        reports: u64,
    },
}

/// Name of a phase in output.
#[must_use]
pub fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Open => "open",
        Phase::Transcripts => "verifying",
        Phase::Commitments => "committing",
        Phase::Shares => "revealing",
        Phase::Released => "released",
        Phase::Aborted => "aborted",
        Phase::Void => "void",
        Phase::Disagreement => "disagreement",
        _ => "unknown",
    }
}
