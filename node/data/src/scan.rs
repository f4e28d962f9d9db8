//! What is learnt from reading all rows once: the summary, and the index by which records are read
//! again in the order of their ids. The checks that need several rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Place, shortened};
use crate::row::Row;

/// Most rows of a file.
pub const ROWS_MAX: u64 = 50_000_000;
/// Most features of a row.
pub const FEATURES_MAX: usize = 1 << 20;
/// Most distinct labels of a file; more means that the column holds no classes.
pub const LABELS_MAX: usize = 1024;
/// Most distinct slices of a file.
const SLICES_MAX: usize = 1024;
/// Incomplete records that an error names.
const EXAMPLES_MAX: usize = 3;

/// What a dataset file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Source records.
    pub records: u64,
    /// Rows: views of records.
    pub rows: u64,
    /// Slices found, sorted.
    pub slices: Vec<String>,
    /// Features of each row.
    pub features: u64,
    /// Labels found, sorted.
    pub labels: Vec<String>,
    /// BLAKE3 of the file, in hex.
    pub version: String,
}

/// Where the views of one record are.
#[derive(Debug, Clone)]
pub(crate) struct RecordIndex {
    pub(crate) label: u32,
    /// In the order of the file.
    pub(crate) views: Vec<ViewIndex>,
}

/// Where one view is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewIndex {
    pub(crate) slice: u32,
    pub(crate) locator: u64,
    pub(crate) place: Place,
}

/// Everything learnt from one pass.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) summary: Summary,
    pub(crate) records: BTreeMap<String, RecordIndex>,
    /// Slices in the order in which they were found; `ViewIndex::slice` points here.
    pub(crate) slices: Vec<String>,
    /// Labels in the order in which they were found.
    pub(crate) labels: Vec<String>,
}

/// Texts with numbers, in the order in which they were found.
#[derive(Debug, Default)]
struct Names {
    numbers: BTreeMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    /// The number of a text; `None` when it would be one more than `limit`.
    fn number(&mut self, text: &str, limit: usize) -> Option<u32> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        if self.names.len() >= limit {
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.numbers.insert(text.to_owned(), number);
        self.names.push(text.to_owned());
        Some(number)
    }

    fn name(&self, number: u32) -> String {
        let at = usize::try_from(number).ok();
        at.and_then(|at| self.names.get(at)).cloned().unwrap_or_default()
    }
}

/// Takes rows one by one.
#[derive(Debug)]
pub(crate) struct Scan {
    path: PathBuf,
    rows: u64,
    features: usize,
    slices: Names,
    labels: Names,
    records: BTreeMap<String, RecordIndex>,
}

impl Scan {
    pub(crate) fn new(path: &Path, features: usize) -> Self {
        let (slices, labels) = (Names::default(), Names::default());
        Self {
            path: path.to_owned(),
            rows: 0,
            features,
            slices,
            labels,
            records: BTreeMap::new(),
        }
    }

    /// Checks a row against those before it and remembers where it is.
    pub(crate) fn take(&mut self, row: &Row) -> Result<(), DataError> {
        row.check(&self.path)?;
        if self.rows >= ROWS_MAX {
            return Err(self.too_many("rows", ROWS_MAX));
        }
        let slice = self.slices.number(&row.slice, SLICES_MAX);
        let slice = slice.ok_or_else(|| self.too_many("slices", SLICES_MAX as u64))?;
        let label = self.labels.number(&row.label, LABELS_MAX);
        let label = label.ok_or_else(|| self.too_many("distinct labels", LABELS_MAX as u64))?;
        let view = ViewIndex {
            slice,
            locator: row.locator,
            place: row.place,
        };
        self.rows += 1;
        let Some(record) = self.records.get_mut(&row.record_id) else {
            self.records.insert(
                row.record_id.clone(),
                RecordIndex {
                    label,
                    views: vec![view],
                },
            );
            return Ok(());
        };
        if let Some(first) = record.views.iter().find(|v| v.slice == slice) {
            return Err(DataError::Duplicate {
                path: self.path.clone(),
                place: row.place,
                first: first.place,
                record: shortened(&row.record_id),
                slice: row.slice.clone(),
            });
        }
        if record.label != label {
            let (first, expected) = (record.views.first().map_or(row.place, |v| v.place), record.label);
            return Err(DataError::Label {
                path: self.path.clone(),
                place: row.place,
                first,
                record: shortened(&row.record_id).into(),
                found: row.label.as_str().into(),
                expected: self.labels.name(expected).into(),
            });
        }
        record.views.push(view);
        Ok(())
    }

    /// Checks that every record has every slice.
    pub(crate) fn finish(self, version: String) -> Result<Index, DataError> {
        if self.rows == 0 {
            return Err(DataError::Empty { path: self.path });
        }
        self.check_complete()?;
        let sorted = |names: &Names| names.numbers.keys().cloned().collect();
        let summary = Summary {
            records: self.records.len() as u64,
            rows: self.rows,
            slices: sorted(&self.slices),
            features: self.features as u64,
            labels: sorted(&self.labels),
            version,
        };
        let (slices, labels) = (self.slices.names, self.labels.names);
        Ok(Index {
            summary,
            records: self.records,
            slices,
            labels,
        })
    }

    fn check_complete(&self) -> Result<(), DataError> {
        let all = self.slices.names.len();
        let incomplete = || {
            self.records
                .iter()
                .filter(|(_, record)| record.views.len() != all)
        };
        let count = incomplete().count() as u64;
        if count == 0 {
            return Ok(());
        }
        let example = |(id, record): (&String, &RecordIndex)| {
            let has: BTreeSet<u32> = record.views.iter().map(|v| v.slice).collect();
            let lacks = self
                .slices
                .numbers
                .iter()
                .filter(|(_, number)| !has.contains(number));
            let lacks: Vec<&str> = lacks.map(|(name, _)| name.as_str()).take(8).collect();
            format!("record '{}' lacks {}", shortened(id), lacks.join(", "))
        };
        let examples = incomplete().take(EXAMPLES_MAX).map(example).collect();
        let records = self.records.len() as u64;
        Err(DataError::MissingViews {
            path: self.path.clone(),
            count,
            records,
            examples,
        })
    }

    fn too_many(&self, what: &'static str, limit: u64) -> DataError {
        DataError::TooMany {
            path: self.path.clone(),
            what,
            limit,
        }
    }
}
