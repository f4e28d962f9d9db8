//! Adversaries in a committee: who spoilt a share is named, nobody honest is, and who is silent is either an
//! adversary or has said that it aborted. Nobody else holds a measurement.

use fieldmark_ledger::batch::Phase;
use fieldmark_node_core::contributor::{State, contributions};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::aggregation::AbortReason;
use fieldmark_protocol::machine::StoreError;

use super::aggregation::concluded;
use super::{Evidence, Violations};
use crate::part::Role;
use crate::scenario::Deed;

/// A malformed verifier share ends the batch with its seat and report named, and only culprits are named.
pub(super) fn culprits_are_named(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some((_, view)) = evidence.outcome()? else {
        return Ok(violations);
    };
    let spoilers: Vec<&PublicKey> = evidence.who(Deed::MalformedShare).collect();
    if !spoilers.is_empty() && view.transcript().is_some() {
        violations.push("a batch with a malformed verifier share was concluded".to_owned());
    }
    for abort in &view.aborts {
        if abort.value.reason != AbortReason::Misbehaviour || evidence.is_adversary(&abort.author) {
            continue;
        }
        let detail = &abort.value.detail;
        let named = spoilers
            .iter()
            .any(|spoiler| detail.contains(&spoiler.to_string()));
        if !named || !detail.contains("report") || !detail.contains("seat") {
            violations.push(format!("an abort blames somebody else, or nobody: {detail}"));
        }
    }
    Ok(violations)
}

/// Where a batch is stuck in mid-reveal, every silent seat has a reason that the board can show.
pub(super) fn silence_has_a_reason(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some((task, view)) = evidence.outcome()? else {
        return Ok(violations);
    };
    if view.phase != Phase::Shares {
        return Ok(violations);
    }
    for seat in view.silent() {
        let Some(aggregator) = task.committee.get(seat) else {
            continue;
        };
        let aborted = view
            .aborts
            .iter()
            .any(|abort| abort.author == aggregator.identity);
        if !aborted && !evidence.is_adversary(&aggregator.identity) {
            violations.push(format!("the honest aggregator in seat {seat} is silent for ever"));
        }
    }
    Ok(violations)
}

/// What a contributor believes of its report is so: counted exactly when it is among the accepted ones.
pub(super) fn contributors_know(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some((_, view)) = evidence.outcome()? else {
        return Ok(violations);
    };
    if view.phase != Phase::Released {
        return Ok(violations);
    }
    let honest = evidence.with(|role| matches!(role, Role::Aggregator(_))).next();
    let Some(accepted) = honest
        .map(|aggregator| concluded(&aggregator.store, view.batch))
        .transpose()?
        .flatten()
        .map(|[accepted, _]| accepted)
    else {
        return Ok(violations);
    };
    let counted: Vec<PublicKey> = accepted
        .iter()
        .filter_map(|id| evidence.uploads.get(id).copied())
        .collect();
    for company in evidence.with(|role| matches!(role, Role::Company(_))) {
        let identity = company.part.identity();
        for contribution in contributions(&company.store)? {
            let believes = contribution.state == State::Counted;
            if believes != counted.contains(&identity) {
                violations.push(format!(
                    "{} believes {:?} of its report, which was {}",
                    company.part.name,
                    contribution.state,
                    if believes { "not counted" } else { "counted" }
                ));
            }
        }
    }
    Ok(violations)
}

/// No honest node holds a measurement of another.
pub(super) fn nobody_learns_a_report(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    for witness in evidence.witnesses.iter().chain(&evidence.others) {
        if let Some(found) = evidence
            .secrets
            .in_store(&witness.store, &witness.part.identity())?
        {
            violations.push(format!("{} holds {found}", witness.part.name));
        }
    }
    Ok(violations)
}
