//! Which records of a data source entered which window of a recurring series: each enters exactly one.
//!
//! The register is written in the same durable batch as the charge of the window's report
//! ([`enter`]), so after a crash either both are there or neither. A window's set is written once; a
//! later try with the same records changes nothing, one with other records is refused.
//!
//! Layout in the column `datasets`, under a first byte that no dataset's name can have:
//! `0x02 ‖ length of the source's name u8 ‖ name ‖ series (32 bytes) ‖ window u64 ‖ part u32`, integers
//! big-endian, → `version u8 = 1 ‖ records × 8 bytes`, records strictly ascending, at most
//! [`PART_RECORDS`] in a part. A record takes 8 bytes. It is the head of a hash, so two records may fall
//! together, once in about 2⁶⁴ pairs; the second then enters no window, which is the safe side.

use std::collections::BTreeMap;

use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};

/// Records in one value of the register: 512 KiB.
pub const PART_RECORDS: usize = 1 << 16;

const TAG: u8 = 2;
const VERSION: u8 = 1;

/// A series of windows, such as a model's recurring feedback.
pub type Series = [u8; 32];

/// A record as the register knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey(u64);

impl RecordKey {
    /// The key of a record by its id, which must be the same in every window.
    #[must_use]
    pub fn of(record_id: &str) -> Self {
        let [a, b, c, d, e, f, g, h, ..] =
            blake3::derive_key("fieldmark/v1/window-record", record_id.as_bytes());
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// Why records cannot enter a window. Nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// Some entered another window of the series.
    #[error("{count} of the records entered another window before, one of them window {window}")]
    Elsewhere {
        /// How many.
        count: usize,
        /// A window that one of them entered.
        window: u64,
    },
    /// The window's records were fixed before, and are others.
    #[error("the records of window {window} are fixed, and these are others")]
    Fixed {
        /// The window.
        window: u64,
    },
}

/// Which records of a source entered which window of a series.
///
/// # Errors
/// [`StoreError`] when the store fails, is damaged, or was written by a newer program.
pub fn entered(
    store: &dyn Read,
    source: &str,
    series: &Series,
) -> Result<BTreeMap<RecordKey, u64>, StoreError> {
    let prefix = prefix(source, series);
    let mut entered = BTreeMap::new();
    for (key, value) in store.scan_all(Column::Datasets, &prefix)? {
        let damaged = |what: &str| StoreError::damaged(Column::Datasets, &key, what);
        let window = key
            .get(prefix.len()..)
            .and_then(|rest| rest.first_chunk())
            .map(|bytes| u64::from_be_bytes(*bytes))
            .ok_or_else(|| damaged("the key of a window is too short"))?;
        let Some((&version, records)) = value.split_first() else {
            return Err(damaged("a window has no version"));
        };
        if version > VERSION {
            let what = format!("a window of format version {version}");
            return Err(StoreError::newer(Column::Datasets, &key, what));
        }
        let (records, rest) = records.as_chunks::<8>();
        if version != VERSION || !rest.is_empty() || !records.is_sorted_by(|a, b| a < b) {
            return Err(damaged("a window is not a sorted list of records"));
        }
        entered.extend(
            records
                .iter()
                .map(|record| (RecordKey(u64::from_be_bytes(*record)), window)),
        );
    }
    Ok(entered)
}

/// Those of `records` that may enter a window: they entered none of the series, or this very one.
///
/// # Errors
/// As [`entered`].
pub fn fresh(
    store: &dyn Read,
    source: &str,
    series: &Series,
    window: u64,
    records: &[RecordKey],
) -> Result<Vec<RecordKey>, StoreError> {
    let entered = entered(store, source, series)?;
    let is_fresh = |record: &&RecordKey| entered.get(record).is_none_or(|&at| at == window);
    Ok(records.iter().filter(is_fresh).copied().collect())
}

/// Lets records enter a window: adds the writes to `batch`, which the caller persists together with
/// the window's charge. Returns how many entered; none when this was done before.
///
/// # Errors
/// [`StoreError`] as [`entered`]; inside, [`EnterError`] when a record would enter two windows.
pub fn enter(
    store: &dyn Read,
    batch: &mut Batch,
    source: &str,
    series: &Series,
    window: u64,
    records: &[RecordKey],
) -> Result<Result<usize, EnterError>, StoreError> {
    let mut records = records.to_vec();
    records.sort_unstable();
    records.dedup();
    let entered = entered(store, source, series)?;
    let elsewhere = |record: &RecordKey| entered.get(record).copied().filter(|&at| at != window);
    let others: Vec<u64> = records.iter().filter_map(elsewhere).collect();
    if let Some(&other) = others.first() {
        return Ok(Err(EnterError::Elsewhere {
            count: others.len(),
            window: other,
        }));
    }
    let held: Vec<RecordKey> = entered
        .into_iter()
        .filter(|(_, at)| *at == window)
        .map(|(record, _)| record)
        .collect();
    if !held.is_empty() {
        let same = held == records;
        return Ok(if same {
            Ok(0)
        } else {
            Err(EnterError::Fixed { window })
        });
    }
    for (part, records) in (0u32..).zip(records.chunks(PART_RECORDS)) {
        let mut key = prefix(source, series);
        key.extend(window.to_be_bytes());
        key.extend(part.to_be_bytes());
        let mut value = vec![VERSION];
        value.extend(records.iter().flat_map(|record| record.0.to_be_bytes()));
        batch.put(Column::Datasets, key, value);
    }
    Ok(Ok(records.len()))
}

fn prefix(source: &str, series: &Series) -> Vec<u8> {
    // Names of sources have at most 64 bytes.
    let length = u8::try_from(source.len()).unwrap_or(u8::MAX);
    [&[TAG, length], source.as_bytes(), series.as_slice()].concat()
}

#[cfg(test)]
mod tests;
