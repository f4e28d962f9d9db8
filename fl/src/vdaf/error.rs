//! What can go wrong between a measurement and its aggregate.

use super::{AGGREGATORS_MAX, AGGREGATORS_MIN, CTX_BYTES_MAX};
use crate::noise::NoiseError;
use prio::codec::CodecError;
use prio::flp::FlpError;
use thiserror::Error;

/// What went wrong with a report, a message or a share.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VdafError {
    /// The number of aggregators is out of range.
    #[error("{found} aggregators, must be between {AGGREGATORS_MIN} and {AGGREGATORS_MAX}")]
    Aggregators {
        /// The number given.
        found: u8,
    },
    /// An aggregator's index is not below k.
    #[error("aggregator index {found}, there are {aggregators}")]
    Index {
        /// The index given.
        found: u8,
        /// Number of aggregators.
        aggregators: u8,
    },
    /// The context string is too long.
    #[error("context has {found} bytes, the most is {CTX_BYTES_MAX}")]
    Context {
        /// Length given.
        found: usize,
    },
    /// The measurement does not belong to the schema.
    #[error("the measurement does not fit the schema")]
    Measurement(#[source] FlpError),
    /// The proof could not be made.
    #[error("the proof could not be made")]
    Proof(#[source] FlpError),
    /// A message has the wrong length.
    #[error("{what} has {found} bytes, expected {expected}")]
    Bytes {
        /// Kind of message.
        what: &'static str,
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// A message holds something that is not a field element.
    #[error("{what} cannot be read")]
    Codec {
        /// Kind of message.
        what: &'static str,
        /// What the codec says.
        #[source]
        source: CodecError,
    },
    /// The report is invalid: its proof fails, or its parts do not belong together.
    #[error("the report is rejected at {step}")]
    Rejected {
        /// `verify`, `combine` or `finish`.
        step: &'static str,
        /// What the verifier says.
        #[source]
        source: prio::vdaf::VdafError,
    },
    /// The number of shares is not k.
    #[error("{found} {what}, all {expected} are needed")]
    Incomplete {
        /// Kind of share.
        what: &'static str,
        /// Shares needed.
        expected: usize,
        /// Shares given.
        found: usize,
    },
    /// A share has another number of entries.
    #[error("share has {found} entries, expected {expected}")]
    Entries {
        /// Entries expected.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// Noise could not be drawn.
    #[error("noise could not be drawn")]
    Noise(#[from] NoiseError),
}
