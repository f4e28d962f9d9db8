//! The committee on a board: whom the reader trusts, and who failed it, by name.

use fieldmark_ledger::batch::{BatchView, Phase};
use fieldmark_ledger::board::BoardInputs;
use fieldmark_ledger::identity;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{Kind, PublicKey};
use serde::Serialize;

/// A member of the committee.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seat {
    /// Who answers for it.
    pub identity: PublicKey,
    /// Its published name.
    pub name: Option<String>,
    /// Whether the reader's policy names it.
    pub trusted: bool,
    /// Whether its share is missing while others are public.
    pub silent: bool,
    /// What it did that an honest aggregator does not, in words; empty for most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Seat {
    /// Its name, or the start of its key.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.identity.short())
    }
}

/// The seats, leader first.
pub(super) fn seats(
    store: &dyn Read,
    inputs: &BoardInputs,
    sum: Option<&[i128]>,
    policy: &TrustPolicy,
) -> Result<Vec<Seat>, StoreError> {
    let silent = inputs.batch.silent();
    let committee = inputs.task.task.committee.iter().enumerate();
    let seat = |(at, aggregator): (usize, &fieldmark_protocol::task::Aggregator)| {
        Ok(Seat {
            identity: aggregator.identity,
            name: identity::name(store, &aggregator.identity)?,
            trusted: policy.aggregators.contains(&aggregator.identity),
            silent: silent.contains(&at),
            faults: faults(inputs, at, sum),
        })
    };
    committee.map(seat).collect()
}

fn faults(inputs: &BoardInputs, at: usize, sum: Option<&[i128]>) -> Vec<String> {
    let batch = &inputs.batch;
    let mut faults = Vec::new();
    if batch.silent().contains(&at) {
        faults.push("fell silent: its share is missing while others are public".to_owned());
    }
    let contradictions = batch.contradictions.iter().filter(|found| found.seat == at);
    faults.extend(contradictions.map(|found| format!("published two {} that differ", plural(found.kind))));
    let key = batch.seats.get(at).map(|seat| seat.aggregator.node_key);
    if inputs.forks.iter().any(|(log, _)| Some(*log) == key) {
        faults.push("signed two records for one place in its log".to_owned());
    }
    if misadded(batch, at, sum) {
        faults.push("published an aggregate that is not the sum of the shares".to_owned());
    }
    faults
}

/// Whether a seat's aggregate is another than what anyone computes from the shares.
fn misadded(batch: &BatchView, at: usize, sum: Option<&[i128]>) -> bool {
    let (Some(sum), Some(seat)) = (sum, batch.seats.get(at)) else {
        return false;
    };
    let wrong = |values: &[i64]| {
        !values
            .iter()
            .map(|value| i128::from(*value))
            .eq(sum.iter().copied())
    };
    let own = batch
        .aggregates
        .iter()
        .filter(|held| held.author == seat.aggregator.identity);
    batch.phase == Phase::Void && own.into_iter().any(|held| wrong(&held.value.values))
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Transcript => "transcripts",
        Kind::ShareCommitment => "commitments",
        Kind::AggregateShare => "shares",
        _ => "aggregates",
    }
}

/// What the faults mean for the board, by name.
pub(super) fn notices(seats: &[Seat], batch: &BatchView) -> Vec<String> {
    let mut notices: Vec<String> = seats
        .iter()
        .flat_map(|seat| {
            seat.faults
                .iter()
                .map(|fault| format!("Aggregator {} {fault}.", seat.label()))
        })
        .collect();
    if batch.phase == Phase::Disagreement {
        let mut signed: Vec<(&_, Vec<String>)> = Vec::new();
        for (seat, view) in seats.iter().zip(&batch.seats) {
            let Some(held) = &view.transcript else { continue };
            match signed.iter_mut().find(|(value, _)| *value == &held.value) {
                Some((_, names)) => names.push(seat.label()),
                None => signed.push((&held.value, vec![seat.label()])),
            }
        }
        let groups: Vec<String> = signed.iter().map(|(_, names)| names.join(" and ")).collect();
        notices.push(format!("The transcripts of {} differ.", groups.join(" and of ")));
    }
    notices
}
