//! What people look at: which served predictions wait for a truth, and how many have one.

use std::collections::BTreeMap;

use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::{RecordId, ServedId};
use serde::{Deserialize, Serialize};

use super::{PREDICTION, Prediction, key};

const ENTERED: u8 = b'e';

/// In which order predictions are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Order {
    /// Those that count for the field score first, oldest first, then the others.
    #[default]
    Field,
    /// The least certain first. A local aid: these truths never enter a report.
    Uncertain,
}

/// How much of what a release served has a truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Predictions kept.
    pub served: u64,
    /// Those that count for the field score.
    pub counted: u64,
    /// Those that count and have a truth that may be reported.
    pub labelled: u64,
    /// Those that count and have none: reported as unlabelled.
    pub unlabelled: u64,
    /// Of the labelled, those answered correctly.
    pub correct: u64,
    /// Truths given in the least-certain-first order.
    pub local: u64,
}

/// Whether a prediction entered a window's report.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn entered(store: &dyn Read, id: &ServedId) -> Result<bool, StoreError> {
    Ok(store.get(Column::Served, &entered_key(id))?.is_some())
}

/// Where it is written which window's report a prediction entered.
pub(crate) fn entered_key(id: &ServedId) -> Vec<u8> {
    key(ENTERED, &[id.as_bytes()])
}

/// Every prediction kept, oldest first, of one release or all.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn predictions(store: &dyn Read, release: Option<&RecordId>) -> Result<Vec<Prediction>, StoreError> {
    let mut found = Vec::new();
    for (at, value) in store.scan_all(Column::Served, &[PREDICTION])? {
        let kept: Prediction =
            serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Served, &at, e))?;
        if release.is_none_or(|wanted| kept.release == *wanted) {
            found.push(kept);
        }
    }
    Ok(found)
}

/// Up to `limit` predictions that wait for a truth.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn waiting(
    store: &dyn Read,
    release: Option<&RecordId>,
    order: Order,
    limit: usize,
) -> Result<Vec<Prediction>, StoreError> {
    let mut found = predictions(store, release)?;
    found.retain(|kept| kept.truth.is_none());
    // Stable: equals stay oldest first.
    match order {
        Order::Field => found.sort_by_key(|kept| !kept.counted),
        Order::Uncertain => found.sort_by(|a, b| a.certainty().total_cmp(&b.certainty())),
    }
    found.truncate(limit);
    Ok(found)
}

/// Tallies by release.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn tallies(store: &dyn Read) -> Result<BTreeMap<RecordId, Tally>, StoreError> {
    let mut tallies: BTreeMap<RecordId, Tally> = BTreeMap::new();
    for kept in predictions(store, None)? {
        let tally = tallies.entry(kept.release).or_default();
        tally.served += 1;
        tally.local += u64::from(kept.truth.as_ref().is_some_and(|truth| truth.local));
        if kept.counted {
            tally.counted += 1;
            match kept.reported_truth() {
                Some(truth) => {
                    tally.labelled += 1;
                    tally.correct += u64::from(truth.label == kept.answer);
                }
                None => tally.unlabelled += 1,
            }
        }
    }
    Ok(tallies)
}
