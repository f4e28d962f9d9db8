//! What privacy budgets have spent and may spend, as they are shown.

use fieldmark_fl::budget::{ChargeState, Filter};
use fieldmark_protocol::machine::{Read, StoreError};
use serde::Serialize;

use crate::budgets::{filters, organisation_promise, over_sources};
use crate::datasets::datasets;

/// What a budget has spent and may spend. Sums are in ρ, which adds up; ε does not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetView {
    /// The data source; empty for the organisation's budget.
    pub source: String,
    /// Datasets drawn from it.
    pub datasets: Vec<String>,
    /// ε spent so far by the odometer, reserved charges included: holds whenever it is read.
    pub epsilon_spent: f64,
    /// ε that the filter promises never to exceed.
    pub epsilon_limit: f64,
    /// δ of both.
    pub delta: f64,
    /// How it is accounted.
    pub accounting: String,
    /// Charges that were not refunded.
    pub charges: usize,
    /// ρ it may spend in all.
    pub rho_limit: f64,
    /// ρ set aside for batches that have not ended.
    pub rho_reserved: f64,
    /// ρ of batches that were released.
    pub rho_committed: f64,
    /// ρ given back.
    pub rho_refunded: f64,
    /// ρ that can still be spent.
    pub rho_remaining: f64,
}

impl BudgetView {
    fn of(source: String, datasets: Vec<String>, filter: &Filter) -> Self {
        let total = |state| filter.total(state).value();
        Self {
            source,
            datasets,
            epsilon_spent: filter.odometer(),
            epsilon_limit: filter.epsilon().value(),
            delta: filter.delta().value(),
            accounting: format!("filter {}, {}", filter.accounting(), filter.relation()),
            charges: filter
                .charges()
                .filter(|(_, charge)| charge.state != ChargeState::Refunded)
                .count(),
            rho_limit: filter.limit().value(),
            rho_reserved: total(ChargeState::Reserved),
            rho_committed: total(ChargeState::Committed),
            rho_refunded: total(ChargeState::Refunded),
            rho_remaining: filter.remaining().value(),
        }
    }
}

/// The budgets, by source.
///
/// # Errors
/// [`StoreError`] when the store fails, is damaged, or was written by a newer program.
pub fn budgets(store: &dyn Read) -> Result<Vec<BudgetView>, StoreError> {
    let datasets = datasets(store)?;
    let view = |(source, filter): (String, Filter)| {
        let of = datasets.iter().filter(|d| d.source == source);
        let names = of.map(|d| d.name.clone()).collect();
        BudgetView::of(source, names, &filter)
    };
    Ok(filters(store)?.into_iter().map(view).collect())
}

/// The organisation's budget, if its owner set one.
///
/// # Errors
/// As [`budgets`].
pub fn organisation_budget(store: &dyn Read) -> Result<Option<BudgetView>, StoreError> {
    let Some(promise) = organisation_promise(store)? else {
        return Ok(None);
    };
    let names = datasets(store)?.into_iter().map(|d| d.name).collect();
    let whole = over_sources(&promise, &filters(store)?);
    // It was checked at every charge; should it not fit all the same, the promise alone is shown.
    let whole = whole.unwrap_or(promise);
    Ok(Some(BudgetView::of(String::new(), names, &whole)))
}
