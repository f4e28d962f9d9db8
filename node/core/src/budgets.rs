//! Privacy budgets: the filter of each data source, and the one of the whole organisation.
//!
//! A source's filter is one value under its name; every charge is written there in the same durable
//! batch as what it pays for. The organisation's budget, which its owner may set, is one more filter
//! over all sources. Its state is what the sources' filters hold, read together, so that the two
//! cannot disagree after any crash: only its promise is stored, under a key that no source can have.
//!
//! Nothing here knows the time, so clocks that jump change nothing. A budget written by a newer
//! program ends the node with an error that says so; nothing is spent then.

use fieldmark_fl::budget::{Accounting, BudgetError, ChargeId, ChargeState, DecodeError, Filter, Order};
use fieldmark_fl::privacy::{Delta, EPSILON_MAX, Epsilon, Relation, Rho};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use serde::Serialize;

use crate::context::Context;
use crate::datasets::datasets;
use crate::io::{CommandError, Reply};

/// Key of the organisation's promise: names of sources start with a letter or digit.
const ORGANISATION: &[u8] = b"\0organisation";

/// The promise of a new data source's budget. It is checked when the source is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceBudget {
    /// ε, above 0 and at most 100.
    pub epsilon: f64,
    /// δ, above 0 and below 1.
    pub delta: f64,
    /// The Rényi order that losses are added up at, above 1 and at most 10⁶; `None` for zCDP, which holds at
    /// every order. It is fixed when the source is made.
    pub order: Option<f64>,
}

impl SourceBudget {
    fn accounting(&self) -> Result<Accounting, CommandError> {
        let order = self.order.map(Order::new).transpose();
        let order = order.map_err(|error| CommandError::new("invalid", error.to_string()))?;
        Ok(order.map_or(Accounting::Zcdp, Accounting::Renyi))
    }

    /// The filter of a new source.
    fn filter(&self) -> Result<Filter, CommandError> {
        let invalid = |error: String| CommandError::new("invalid", error);
        let accounting = self.accounting()?;
        let epsilon = Epsilon::new(self.epsilon).map_err(|e| invalid(e.to_string()))?;
        let delta = Delta::new(self.delta).map_err(|e| invalid(e.to_string()))?;
        let relation = Relation::AddOrRemoveOneRecord;
        Filter::with_accounting(relation, accounting, epsilon, delta).map_err(|error| match accounting {
            Accounting::Renyi(order) => invalid(format!(
                "order {order} leaves nothing of epsilon {} at delta {:e}: choose a higher order, or none",
                self.epsilon, self.delta
            )),
            _ => invalid(error.to_string()),
        })
    }
}

/// The filter that a source has or gets, and whether it is there already.
pub(crate) fn of_source(
    store: &dyn Read,
    source: &str,
    budget: &SourceBudget,
) -> Result<Result<(Filter, bool), CommandError>, StoreError> {
    let accounting = match budget.accounting() {
        Ok(accounting) => accounting,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(known) = filter(store, source)? {
        if budget.order.is_some() && known.accounting() != accounting {
            let message = format!(
                "the budget of source '{source}' is kept {}, which was fixed when it was made; leave --order away",
                known.accounting()
            );
            return Ok(Err(CommandError::new("conflict", message)));
        }
        return Ok(Ok((known, true)));
    }
    if budget.order.is_some() && organisation_promise(store)?.is_some() {
        let message = "the organisation's budget adds up zCDP, which a source at one order cannot be added to; \
                       leave --order away";
        return Ok(Err(CommandError::new("conflict", message)));
    }
    Ok(budget.filter().map(|fresh| (fresh, false)))
}

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

/// The filter of a data source.
///
/// # Errors
/// As [`budgets`].
pub fn filter(store: &dyn Read, source: &str) -> Result<Option<Filter>, StoreError> {
    read(store, source.as_bytes())
}

/// Writes the filter of a data source.
pub(crate) fn put_filter(batch: &mut Batch, source: &str, filter: &Filter) {
    batch.put(Column::Budgets, source.as_bytes(), filter.encode());
}

/// The source's filter with a charge set aside, if it and the organisation's budget can pay. The caller
/// writes it in the same batch as what it pays for.
pub(crate) fn charged(
    store: &dyn Read,
    source: &str,
    id: ChargeId,
    relation: Relation,
    rho: Rho,
) -> Result<Result<Filter, CommandError>, StoreError> {
    let no = |message: String| Ok(Err(CommandError::new("budget", message)));
    let Some(mut charged) = filter(store, source)? else {
        let message = format!("data source '{source}' has no budget");
        return Ok(Err(CommandError::new("not-found", message)));
    };
    if let Err(error) = charged.reserve_under(id, relation, rho) {
        return no(format!("data source '{source}': {error}"));
    }
    let Some(charge) = charged.charge(&id) else {
        return no(format!("data source '{source}' lost the charge"));
    };
    if let Some(promise) = organisation_promise(store)? {
        let whole = over_sources(&promise, &filters(store)?).and_then(|mut whole| {
            let id = organisation_charge(source, &id);
            whole.reserve_under(id, charged.relation(), charge.rho)
        });
        if let Err(error) = whole {
            return no(format!(
                "the organisation's budget: {error}; `fieldmark budget` shows it"
            ));
        }
    }
    Ok(Ok(charged))
}

/// Sets the organisation's budget. Nothing is changed unless everything spent so far fits.
pub(crate) fn set_organisation_limit(
    ctx: &mut Context<'_>,
    epsilon: f64,
    delta: f64,
    raise: bool,
) -> Result<Result<Reply, CommandError>, StoreError> {
    let invalid = |error: String| Ok(Err(CommandError::new("invalid", error)));
    let parts = Epsilon::new(epsilon).and_then(|epsilon| Ok((epsilon, Delta::new(delta)?)));
    let (epsilon, delta) = match parts {
        Ok(parts) => parts,
        Err(error) => return invalid(error.to_string()),
    };
    let promise = match Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta) {
        Ok(promise) => promise,
        Err(error) => return invalid(error.to_string()),
    };
    let before = organisation_promise(&ctx.view)?;
    if let Some(before) = before
        && promise.limit() > before.limit()
        && !raise
    {
        let message = format!(
            "this raises the organisation's limit from epsilon {} at delta {:e}: what is released from then on may \
             tell more about a record than was promised so far; add --raise to do it",
            before.epsilon().value(),
            before.delta().value()
        );
        return Ok(Err(CommandError::new("refused", message)));
    }
    if let Err(error) = fits(&promise, &filters(&ctx.view)?) {
        let message = format!(
            "epsilon {} at delta {:e}: {error}",
            epsilon.value(),
            delta.value()
        );
        return Ok(Err(CommandError::new("budget", message)));
    }
    let mut batch = Batch::new();
    batch.put(Column::Budgets, ORGANISATION, promise.encode());
    ctx.persist(batch);
    Ok(Ok(Reply::Limited))
}

/// The filters of all data sources, by name.
fn filters(store: &dyn Read) -> Result<Vec<(String, Filter)>, StoreError> {
    let mut filters = Vec::new();
    for (key, value) in store.scan_all(Column::Budgets, &[])? {
        if key != ORGANISATION {
            let filter = decode(&key, &value)?;
            filters.push((String::from_utf8_lossy(&key).into_owned(), filter));
        }
    }
    Ok(filters)
}

/// The organisation's promise, as a filter without charges.
fn organisation_promise(store: &dyn Read) -> Result<Option<Filter>, StoreError> {
    read(store, ORGANISATION)
}

fn over_sources(promise: &Filter, sources: &[(String, Filter)]) -> Result<Filter, BudgetError> {
    let sources = sources.iter().map(|(name, filter)| (name.as_str(), filter));
    promise.over(sources, organisation_charge)
}

/// Whether everything spent so far is within a promise.
fn fits(promise: &Filter, sources: &[(String, Filter)]) -> Result<(), BudgetError> {
    let (epsilon, delta) = (promise.epsilon(), promise.delta());
    // Added up under the widest promise, so that the error can say what the sum is.
    let widest = Epsilon::new(EPSILON_MAX).unwrap_or(epsilon);
    let widest = promise.with_promise(widest, delta)?;
    over_sources(&widest, sources)?.with_promise(epsilon, delta)?;
    Ok(())
}

/// A charge of a source in the organisation's filter. One batch may be charged to two sources, when the
/// first try failed after its charge, and both count.
fn organisation_charge(source: &str, id: &ChargeId) -> ChargeId {
    let parts = [
        b"fieldmark/v1/organisation-charge\0".as_slice(),
        id,
        source.as_bytes(),
    ];
    *ContentHash::of(&parts.concat()).as_bytes()
}

fn read(store: &dyn Read, key: &[u8]) -> Result<Option<Filter>, StoreError> {
    match store.get(Column::Budgets, key)? {
        Some(bytes) => decode(key, &bytes).map(Some),
        None => Ok(None),
    }
}

fn decode(key: &[u8], bytes: &[u8]) -> Result<Filter, StoreError> {
    Filter::decode(bytes).map_err(|error| match error {
        DecodeError::FutureVersion { .. } => StoreError::newer(Column::Budgets, key, error),
        error => StoreError::damaged(Column::Budgets, key, error),
    })
}

#[cfg(test)]
mod tests;
