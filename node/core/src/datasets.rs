//! Datasets a node was told of, and which data source each is drawn from.
//!
//! A source owns a budget ([`crate::budgets`]), so what counts as one source decides how much a
//! record can lose. A new version of a source goes on with its budget. So does a copy: data whose
//! content hash is known, or that shares records with a known source ([`SHARED_MIN`]). Each source keeps a
//! sketch of all records ever added to it, under a key that no dataset can have:
//! `0x01 ‖ name of the source`.

use fieldmark_fl::budget::{DecodeError, RecordSketch};
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::text;

use crate::budgets;
use crate::context::Context;
use crate::io::{CommandError, Dataset, Reply, SourceBudget};

/// Share of the smaller of two sources from which on they count as one: shared records would lose the sum
/// of both budgets. Below it, two sources may have a record in common by chance, such as an empty one.
pub const SHARED_MIN: f64 = 0.05;

const SKETCH: u8 = 1;

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
        .filter(|(key, _)| key.first().is_some_and(|first| first.is_ascii_graphic()))
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

/// Takes note of a dataset. A new version of a known source goes on with its budget.
pub(crate) fn add(
    ctx: &mut Context<'_>,
    dataset: &Dataset,
    sketch: &RecordSketch,
    budget: &SourceBudget,
) -> Result<Result<Reply, CommandError>, StoreError> {
    for (what, name) in [
        ("the dataset's name", &dataset.name),
        ("the data source's name", &dataset.source),
    ] {
        if let Err(error) = text::name(what, name) {
            return Ok(Err(CommandError::new("invalid", error.to_string())));
        }
    }
    let asked = &dataset.source;
    let mut source = asked.clone();
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
    let dataset = match copied(&ctx.view, &dataset, sketch)? {
        Ok(Some(source)) => Dataset { source, ..dataset },
        Ok(None) => dataset,
        Err(error) => return Ok(Err(error)),
    };
    let (filter, known_source) = match budgets::of_source(&ctx.view, &dataset.source, budget)? {
        Ok(found) => found,
        Err(error) if dataset.source != *asked => {
            let message = format!(
                "the data shares records with source '{}': {}",
                dataset.source, error.message
            );
            return Ok(Err(CommandError::new(error.code, message)));
        }
        Err(error) => return Ok(Err(error)),
    };
    let mut batch = Batch::new();
    if !known_source {
        budgets::put_filter(&mut batch, &dataset.source, &filter);
    }
    if !sketch.is_empty() {
        let mut whole = self::sketch(&ctx.view, &dataset.source)?;
        whole.merge(sketch);
        batch.put(Column::Datasets, sketch_key(&dataset.source), whole.encode());
    }
    let json = serde_json::to_vec(&dataset).unwrap_or_default();
    batch.put(Column::Datasets, dataset.name.as_bytes(), json);
    ctx.persist(batch);
    Ok(Ok(Reply::DatasetAdded { known_source }))
}

/// The other source that a dataset's records belong to, if they do.
fn copied(
    store: &dyn Read,
    dataset: &Dataset,
    sketch: &RecordSketch,
) -> Result<Result<Option<String>, CommandError>, StoreError> {
    let mut sharing = Vec::new();
    for (key, value) in store.scan_all(Column::Datasets, &[SKETCH])? {
        let source = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        let share = decode_sketch(&key, &value)?.overlap(sketch).share();
        if source != dataset.source && share >= SHARED_MIN {
            sharing.push((source, share));
        }
    }
    let known = budgets::filter(store, &dataset.source)?.is_some();
    Ok(match sharing.as_slice() {
        [] => Ok(None),
        [(source, _)] if !known => Ok(Some(source.clone())),
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|(source, share)| format!("{:.0}% with '{source}'", share * 100.0))
                .collect();
            let own = if known {
                format!(" and is to be added to '{}'", dataset.source)
            } else {
                String::new()
            };
            let message = format!(
                "the data shares records with other sources ({}){own}: its records would be counted in more than \
                 one budget; add it under the source it shares with, without the records of the others",
                list.join(", ")
            );
            Err(CommandError::new("conflict", message))
        }
    })
}

/// The sketch of all records ever added to a source.
fn sketch(store: &dyn Read, source: &str) -> Result<RecordSketch, StoreError> {
    let key = sketch_key(source);
    match store.get(Column::Datasets, &key)? {
        Some(bytes) => decode_sketch(&key, &bytes),
        None => Ok(RecordSketch::default()),
    }
}

fn sketch_key(source: &str) -> Vec<u8> {
    [&[SKETCH], source.as_bytes()].concat()
}

fn decode_sketch(key: &[u8], bytes: &[u8]) -> Result<RecordSketch, StoreError> {
    RecordSketch::decode(bytes).map_err(|error| match error {
        DecodeError::FutureVersion { .. } => StoreError::newer(Column::Datasets, key, error),
        error => StoreError::damaged(Column::Datasets, key, error),
    })
}

#[cfg(test)]
mod tests;
