//! Datasets a node was told of, and the privacy filter of each data source.

use fieldmark_fl::budget::Filter;
use fieldmark_fl::privacy::{Delta, Epsilon, Relation};
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::text;
use serde::Serialize;

use crate::context::Context;
use crate::io::{CommandError, Dataset, Reply};

/// The datasets, by name.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn datasets(store: &dyn Read) -> Result<Vec<Dataset>, StoreError> {
    let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
        serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Datasets, &key, e))
    };
    store
        .scan_all(Column::Datasets, &[])?
        .into_iter()
        .map(decode)
        .collect()
}

/// The dataset with this name.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn dataset(store: &dyn Read, name: &str) -> Result<Option<Dataset>, StoreError> {
    Ok(datasets(store)?.into_iter().find(|d| d.name == name))
}

/// What a data source has spent and may spend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetView {
    /// The data source.
    pub source: String,
    /// Datasets drawn from it.
    pub datasets: Vec<String>,
    /// ε spent so far, reserved charges included.
    pub epsilon_spent: f64,
    /// ε that the filter promises never to exceed.
    pub epsilon_limit: f64,
    /// δ of both.
    pub delta: f64,
    /// How it is accounted.
    pub accounting: &'static str,
    /// Charges that were not refunded.
    pub charges: usize,
}

/// The budgets, by source.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn budgets(store: &dyn Read) -> Result<Vec<BudgetView>, StoreError> {
    let datasets = datasets(store)?;
    let mut views = Vec::new();
    for (key, value) in store.scan_all(Column::Budgets, &[])? {
        let filter = Filter::decode(&value).map_err(|e| StoreError::damaged(Column::Budgets, &key, e))?;
        let source = String::from_utf8_lossy(&key).into_owned();
        let of = datasets.iter().filter(|d| d.source == source);
        views.push(BudgetView {
            datasets: of.map(|d| d.name.clone()).collect(),
            source,
            epsilon_spent: filter.epsilon_spent(),
            epsilon_limit: filter.epsilon().value(),
            delta: filter.delta().value(),
            accounting: "zCDP filter, add or remove one source record",
            charges: filter
                .charges()
                .filter(|(_, c)| c.state != fieldmark_fl::budget::ChargeState::Refunded)
                .count(),
        });
    }
    Ok(views)
}

/// The filter of a data source.
pub(crate) fn filter(store: &dyn Read, source: &str) -> Result<Option<Filter>, StoreError> {
    let Some(bytes) = store.get(Column::Budgets, source.as_bytes())? else {
        return Ok(None);
    };
    let filter = Filter::decode(&bytes);
    Ok(Some(filter.map_err(|e| {
        StoreError::damaged(Column::Budgets, source.as_bytes(), e)
    })?))
}

pub(crate) fn put_filter(batch: &mut Batch, source: &str, filter: &Filter) {
    batch.put(Column::Budgets, source.as_bytes(), filter.encode());
}

/// Takes note of a dataset. A new version of a known source goes on with its budget.
pub(crate) fn add(
    ctx: &mut Context<'_>,
    dataset: &Dataset,
    epsilon: f64,
    delta: f64,
) -> Result<Result<Reply, CommandError>, StoreError> {
    for (what, name) in [
        ("the dataset's name", &dataset.name),
        ("the data source's name", &dataset.source),
    ] {
        if let Err(error) = text::name(what, name) {
            return Ok(Err(CommandError::new("invalid", error.to_string())));
        }
    }
    let mut source = dataset.source.clone();
    for known in datasets(&ctx.view)? {
        if known.name == dataset.name && known.source != dataset.source {
            let message = format!(
                "dataset '{}' belongs to source '{}'; give the new data another name, or the same source",
                known.name, known.source
            );
            return Ok(Err(CommandError::new("conflict", message)));
        }
        // The same content under another source would be a second budget for the same records.
        if known.version == dataset.version {
            source = known.source;
        }
    }
    let dataset = Dataset {
        source,
        ..dataset.clone()
    };
    let known_source = filter(&ctx.view, &dataset.source)?.is_some();
    let mut batch = Batch::new();
    if !known_source {
        let parts = Epsilon::new(epsilon).and_then(|e| Ok((e, Delta::new(delta)?)));
        let new = match parts.map(|(e, d)| Filter::new(Relation::AddOrRemoveOneRecord, e, d)) {
            Ok(Ok(new)) => new,
            Ok(Err(error)) => return Ok(Err(CommandError::new("invalid", error.to_string()))),
            Err(error) => return Ok(Err(CommandError::new("invalid", error.to_string()))),
        };
        put_filter(&mut batch, &dataset.source, &new);
    }
    let json = serde_json::to_vec(&dataset).unwrap_or_default();
    batch.put(Column::Datasets, dataset.name.as_bytes(), json);
    ctx.persist(batch);
    Ok(Ok(Reply::DatasetAdded { known_source }))
}
