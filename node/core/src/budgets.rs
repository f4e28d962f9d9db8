//! Privacy budgets: the filter of each data source, and the one of the whole organisation.
//!
//! A source's filter is one value under its name; every charge is written there in the same durable
//! batch as what it pays for. The organisation's budget, which its owner may set, is one more filter
//! over all sources. Its state is what the sources' filters hold, read together, so that the two
//! cannot disagree after any crash: only its promise is stored, under a key that no source can have.
//!
//! Nothing here knows the time, so clocks that jump change nothing. A budget written by a newer
//! program ends the node with an error that says so; nothing is spent then.

use fieldmark_fl::budget::{Accounting, BudgetError, ChargeId, DecodeError, Filter, Order};
use fieldmark_fl::privacy::{Delta, EPSILON_MAX, Epsilon, Relation, Rho};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};

use crate::context::Context;
use crate::io::{CommandError, Reply, SourceBudget};

/// Key of the organisation's promise: names of sources start with a letter or digit.
const ORGANISATION: &[u8] = b"\0organisation";

/// ε of a source's budget where none is stated.
pub const EPSILON_DEFAULT: f64 = 4.0;
/// δ of a source's budget where none is stated.
pub const DELTA_DEFAULT: f64 = 1e-6;

/// How a new source's losses are added up.
fn accounting(budget: &SourceBudget) -> Result<Accounting, CommandError> {
    let order = budget.order.map(Order::new).transpose();
    let order = order.map_err(|error| CommandError::new("invalid", error.to_string()))?;
    Ok(order.map_or(Accounting::Zcdp, Accounting::Renyi))
}

/// The filter of a new source.
fn fresh(budget: &SourceBudget) -> Result<Filter, CommandError> {
    let invalid = |error: String| CommandError::new("invalid", error);
    let accounting = accounting(budget)?;
    let (epsilon, delta) = (
        budget.epsilon.unwrap_or(EPSILON_DEFAULT),
        budget.delta.unwrap_or(DELTA_DEFAULT),
    );
    let epsilon = Epsilon::new(epsilon).map_err(|e| invalid(e.to_string()))?;
    let delta = Delta::new(delta).map_err(|e| invalid(e.to_string()))?;
    let relation = Relation::AddOrRemoveOneRecord;
    Filter::with_accounting(relation, accounting, epsilon, delta).map_err(|error| match accounting {
        Accounting::Renyi(order) => invalid(format!(
            "order {order} leaves nothing of epsilon {} at delta {:e}: choose a higher order, or none",
            epsilon.value(),
            delta.value()
        )),
        _ => invalid(error.to_string()),
    })
}

/// The filter that a source has or gets, and whether it is there already.
pub(crate) fn of_source(
    store: &dyn Read,
    source: &str,
    budget: &SourceBudget,
) -> Result<Result<(Filter, bool), CommandError>, StoreError> {
    let accounting = match accounting(budget) {
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
        let (epsilon, delta) = (known.epsilon().value(), known.delta().value());
        let differs = |stated: Option<f64>, has: f64| stated.is_some_and(|stated| stated != has);
        if differs(budget.epsilon, epsilon) || differs(budget.delta, delta) {
            let message = format!(
                "the budget of source '{source}' is epsilon {epsilon} at delta {delta:e}, which was fixed when it was \
                 made; leave --epsilon and --delta away"
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
    Ok(fresh(budget).map(|filter| (filter, false)))
}

/// The filter of a data source.
///
/// # Errors
/// [`StoreError`] when the store fails, is damaged, or was written by a newer program.
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
        let (epsilon, delta) = (charged.epsilon().value(), charged.delta().value());
        return no(format!(
            "data source '{source}', promised epsilon {epsilon} at delta {delta:e}: {error}; `fieldmark budget` shows \
             what is reserved, committed and left"
        ));
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
pub(crate) fn filters(store: &dyn Read) -> Result<Vec<(String, Filter)>, StoreError> {
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
pub(crate) fn organisation_promise(store: &dyn Read) -> Result<Option<Filter>, StoreError> {
    read(store, ORGANISATION)
}

pub(crate) fn over_sources(promise: &Filter, sources: &[(String, Filter)]) -> Result<Filter, BudgetError> {
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
