//! Budgets: never overspent, charged exactly once by who took part, and given back only for an abort.

use fieldmark_fl::budget::{Charge, ChargeState, Filter};
use fieldmark_fl::privacy::Rho;
use fieldmark_ledger::batch::{BatchView, Phase};
use fieldmark_node_core::contributor::{Contribution, State, charge_id, contributions};
use fieldmark_node_core::params;
use fieldmark_protocol::machine::{Column, Read, StoreError};

use super::{Evidence, Violations, Witness};
use crate::part::Role;

/// Every filter of every node holds exactly the charges it must.
pub(super) fn are_kept(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some((task, view)) = evidence.outcome()? else {
        return Ok(violations);
    };
    let Ok(cost) = params::check(&task) else {
        return Ok(vec!["the task's parameters do not hold".to_owned()]);
    };
    for company in evidence.with(|role| matches!(role, Role::Company(_))) {
        let identity = company.part.identity();
        let reported = evidence.uploads.values().any(|whose| *whose == identity);
        let mut found = company_violations(company, &view, cost, reported)?;
        if view.phase == Phase::Shares && !withheld(evidence, &view) && has_refund(company, &view)? {
            found.push("it was given back what a public share spent".to_owned());
        }
        violations.extend(
            found
                .into_iter()
                .map(|what| format!("{}: {what}", company.part.name)),
        );
    }
    Ok(violations)
}

/// Whether an honest aggregator aborted and keeps its share, without which those of the others are noise:
/// who saw its abort before the first share was given its charge back, and rightly.
fn withheld(evidence: &Evidence, view: &BatchView) -> bool {
    let honest = view.seats.iter().filter(|seat| seat.share.is_none());
    honest.map(|seat| seat.aggregator.identity).any(|identity| {
        !evidence.is_adversary(&identity) && view.aborts.iter().any(|abort| abort.author == identity)
    })
}

fn has_refund(company: &Witness, view: &BatchView) -> Result<bool, StoreError> {
    let budgets = company.store.scan_all(Column::Budgets, &[])?;
    let charges = budgets
        .iter()
        .filter_map(|(_, bytes)| Filter::decode(bytes).ok()?.charge(&charge_id(view.batch)));
    Ok(charges
        .into_iter()
        .any(|charge| charge.state == ChargeState::Refunded))
}

fn company_violations(
    company: &Witness,
    view: &BatchView,
    cost: Rho,
    reported: bool,
) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let mut filters = 0;
    let mut charge = None;
    for (_, bytes) in company.store.scan_all(Column::Budgets, &[])? {
        filters += 1;
        // A filter that is overspent does not decode.
        match Filter::decode(&bytes) {
            Ok(filter) => {
                charge = filter.charge(&charge_id(view.batch));
                if filter.spent() > filter.limit() || filter.charges().count() > 1 {
                    violations.push("more was charged than one batch".to_owned());
                }
            }
            Err(error) => violations.push(format!("its budget does not decode: {error}")),
        }
    }
    if filters != 1 {
        violations.push(format!("it has {filters} budgets and one data source"));
    }
    let contribution = contributions(&company.store)?
        .into_iter()
        .find(|c| c.task == view.batch.task);
    violations.extend(charge_violation(
        contribution.as_ref(),
        charge,
        view.phase,
        cost,
        reported,
    ));
    Ok(violations)
}

/// What is wrong with the charge of one contribution.
fn charge_violation(
    contribution: Option<&Contribution>,
    charge: Option<Charge>,
    phase: Phase,
    cost: Rho,
    reported: bool,
) -> Option<String> {
    if charge.is_some_and(|charge| charge.rho != cost) {
        return Some("it was charged another amount than the task costs".to_owned());
    }
    let state = charge.map(|charge| charge.state);
    if reported && state.is_none() {
        return Some("it reported and was not charged".to_owned());
    }
    if phase == Phase::Released && state == Some(ChargeState::Refunded) {
        return Some("it was given back what a released batch spent".to_owned());
    }
    if phase == Phase::Shares && matches!(state, Some(ChargeState::Reserved)) {
        return Some(format!("a share is public and its charge is {state:?}"));
    }
    let Some(contribution) = contribution else {
        return state.map(|_| "it was charged and took no part".to_owned());
    };
    match (&contribution.state, state) {
        (State::Counted, Some(ChargeState::Committed)) => None,
        (State::Refunded, Some(ChargeState::Refunded) | None) => None,
        (State::Failed, None) => None,
        (State::Failed, Some(ChargeState::Committed)) if phase == Phase::Released => None,
        (_, Some(ChargeState::Committed) | None) if phase == Phase::Shares => None,
        (State::Counted | State::Refunded | State::Failed, _) => Some(format!(
            "its contribution ended {:?} with the charge {state:?}",
            contribution.state
        )),
        (other, _) => Some(format!("its contribution did not end: {other:?}")),
    }
}
