//! What a dataset holds, column by column, and what is worth knowing before it is used.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::columns::Columns;
use crate::options::ReadOptions;
use crate::row::Row;
use crate::source::{TargetKind, View};
use crate::summary::Summary;

/// Columns that a warning names.
const NAMED_MAX: usize = 5;

/// Least, greatest and mean value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Rows without a value, or with one that could not be read.
    pub missing: u64,
    /// Of the rows with a number; `None`: there are none.
    pub spread: Option<Spread>,
}

/// What a dataset holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Rows that were refused, or that contradict another.
    pub refused: u64,
    /// Records with the same view and label as another.
    pub identical: u64,
    /// Records by label; empty when labels are numbers.
    pub labels: BTreeMap<String, u64>,
    /// Of the labels, when they are numbers.
    pub target: Option<Spread>,
    /// Records by group.
    pub groups: BTreeMap<String, u64>,
    /// The features; for images one column with all pixels.
    pub features: Vec<ColumnProfile>,
    /// The attributes.
    pub attributes: Vec<ColumnProfile>,
    /// What is worth knowing; nothing of it keeps the dataset from being used.
    pub warnings: Vec<String>,
}

/// Counts that the scan knows.
pub(crate) struct Counts {
    pub(crate) identical: u64,
    pub(crate) refused: u64,
    pub(crate) labels: BTreeMap<String, u64>,
    pub(crate) groups: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Sums {
    min: f64,
    max: f64,
    sum: f64,
    count: f64,
}

impl Sums {
    const NONE: Self = Self {
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        sum: 0.0,
        count: 0.0,
    };

    fn take(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1.0;
    }

    fn spread(&self) -> Option<Spread> {
        (self.count > 0.0).then(|| Spread {
            min: self.min,
            max: self.max,
            mean: self.sum / self.count,
        })
    }
}

/// Takes rows one by one.
#[derive(Debug)]
pub(crate) struct Profiler {
    features: Vec<(usize, String)>,
    attributes: Vec<(usize, String)>,
    feature_sums: Vec<Sums>,
    attribute_sums: Vec<Sums>,
    target: Sums,
}

impl Profiler {
    pub(crate) fn new(columns: &Columns) -> Self {
        let mut features = columns.features.clone();
        if features.is_empty() && !columns.is_text() {
            features.push((usize::MAX, "pixels".to_owned()));
        }
        Self {
            feature_sums: vec![Sums::NONE; features.len()],
            features,
            attribute_sums: vec![Sums::NONE; columns.attributes.len()],
            attributes: columns.attributes.clone(),
            target: Sums::NONE,
        }
    }

    pub(crate) fn take(&mut self, row: &Row) {
        if let View::Numbers(numbers) = &row.view {
            if let [pixels] = self.feature_sums.as_mut_slice() {
                numbers.iter().for_each(|number| pixels.take(f64::from(*number)));
            } else {
                let pairs = self.feature_sums.iter_mut().zip(numbers);
                pairs.for_each(|(sums, number)| sums.take(f64::from(*number)));
            }
        }
        for (sums, value) in self.attribute_sums.iter_mut().zip(&row.attributes) {
            let number = value.as_ref().and_then(|v| v.parse::<f64>().ok());
            if let Some(number) = number.filter(|n| n.is_finite()) {
                sums.take(number);
            }
        }
        if let Some(value) = row.target.value() {
            self.target.take(value);
        }
    }
}

impl Profile {
    pub(crate) fn new(
        from: Profiler,
        summary: &Summary,
        options: &ReadOptions,
        missing: &[u64],
        counts: Counts,
    ) -> Self {
        let columns = |columns: Vec<(usize, String)>, sums: &[Sums]| {
            let column = |((at, name), sums): ((usize, String), &Sums)| ColumnProfile {
                name,
                missing: missing.get(at).copied().unwrap_or(0),
                spread: sums.spread(),
            };
            columns.into_iter().zip(sums).map(column).collect::<Vec<_>>()
        };
        let mut profile = Self {
            refused: counts.refused,
            identical: counts.identical,
            labels: if summary.target == TargetKind::Value {
                BTreeMap::new()
            } else {
                counts.labels
            },
            target: from.target.spread(),
            groups: counts.groups,
            features: columns(from.features, &from.feature_sums),
            attributes: columns(from.attributes, &from.attribute_sums),
            warnings: Vec::new(),
        };
        profile.warnings = profile.found(summary, options);
        profile
    }

    fn found(&self, summary: &Summary, options: &ReadOptions) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (TargetKind::Class, [only]) = (summary.target, summary.labels.as_slice()) {
            warnings.push(format!(
                "all records have the label '{only}': accuracy will say nothing about others"
            ));
        }
        let absent = options
            .labels
            .iter()
            .filter(|label| !summary.labels.contains(label));
        let absent: Vec<&str> = absent.map(String::as_str).take(NAMED_MAX).collect();
        if !absent.is_empty() && summary.target == TargetKind::Class {
            warnings.push(format!("no record has the label {}", absent.join(", ")));
        }
        let constant = |column: &&ColumnProfile| column.spread.is_some_and(|s| s.min >= s.max);
        if summary.records > 1 {
            named(
                &mut warnings,
                self.features.iter().filter(constant),
                "never change",
            );
        }
        let filled = self.features.iter().filter(|column| column.missing > 0);
        named(&mut warnings, filled, "have missing values");
        let unknown = self.attributes.iter().filter(|column| column.missing > 0);
        named(&mut warnings, unknown, "(attributes) have missing values");
        for (slice, count) in summary.slices.iter().zip(&summary.slice_records) {
            if *count == 0 {
                warnings.push(format!("slice '{slice}' holds no record"));
            } else if *count < summary.records && summary.file_slices.contains(slice) {
                let lacking = summary.records - count;
                warnings.push(format!(
                    "slice '{slice}': {lacking} of {} records are absent from it",
                    summary.records
                ));
            }
        }
        if self.identical > 0 {
            let text =
                "records have the same view and label as another record; if they are copies, remove them";
            warnings.push(format!("{} {text}", self.identical));
        }
        warnings
    }
}

/// A warning about columns, of which the first few are named.
fn named<'c>(warnings: &mut Vec<String>, columns: impl Iterator<Item = &'c ColumnProfile>, what: &str) {
    let columns: Vec<&ColumnProfile> = columns.collect();
    let names: Vec<&str> = columns.iter().take(NAMED_MAX).map(|c| c.name.as_str()).collect();
    if !columns.is_empty() {
        let more = if columns.len() > names.len() { ", …" } else { "" };
        warnings.push(format!(
            "{} columns {what}: {}{more}",
            columns.len(),
            names.join(", ")
        ));
    }
}
