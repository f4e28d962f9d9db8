//! Seats of a committee that published two values where one is due.
//!
//! A batch goes on with the first in log order. The second proves that its signer is not honest, so it is
//! named wherever the result is shown.

use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::{Kind, RecordId};

use super::{BatchView, of_seat};
use crate::effect::Effects;
use crate::payload::Body;

/// Two values of one seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Index of the seat.
    pub seat: usize,
    /// What there are two of.
    pub kind: Kind,
    /// The records: the one that counts, and the first that differs.
    pub records: [RecordId; 2],
}

/// The first contradiction of each seat and kind.
pub(super) fn contradictions(
    effects: &Effects<'_>,
    view: &BatchView,
) -> Result<Vec<Contradiction>, StoreError> {
    let mut found = Vec::new();
    for (at, seat) in view.seats.iter().enumerate() {
        for kind in [
            Kind::Transcript,
            Kind::ShareCommitment,
            Kind::AggregateShare,
            Kind::Aggregate,
        ] {
            let said = of_seat(effects, view.batch, &seat.aggregator, kind, value)?;
            let Some((first, rest)) = said.split_first() else {
                continue;
            };
            let other = rest.iter().find(|other| other.value != first.value);
            found.extend(other.map(|other| Contradiction {
                seat: at,
                kind,
                records: [first.id, other.id],
            }));
        }
    }
    Ok(found)
}

/// The bytes of what a seat said. An aggregate may be signed again over other records of the same shares.
fn value(body: Body) -> Option<Vec<u8>> {
    match body {
        Body::Transcript(transcript) => Some(transcript.encode()),
        Body::Commitment(commitment) => Some(commitment.encode()),
        Body::Share(share) => Some(share.encode()),
        Body::Aggregate(aggregate) => Some(aggregate.values.iter().flat_map(|v| v.to_be_bytes()).collect()),
        _ => None,
    }
}
