//! From the outcomes of records to the measured vector.
//!
//! A record's contribution depends on that record alone: rounding is per record and there is no
//! normalisation over the batch. Sums are exact integers, so their order does not matter.

use super::{CONFIDENCE_MAX, EntryKind, Schema};
use thiserror::Error;

/// What every model made of every view of one source record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordOutcome {
    /// `correct[model][slice]`.
    pub correct: Vec<Vec<bool>>,
    /// `confidence[model][slice]`, the model's confidence in its answer, 0 to 1 (values outside
    /// are clamped). May be empty when the schema collects no calibration.
    pub confidence: Vec<Vec<f32>>,
}

/// A measured vector within its bounds: `0 ≤ v ≤ per_record_max · n` and `n ≤ cap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    values: Vec<u64>,
}

/// Why outcomes or values do not make a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// More records than the task's cap.
    #[error("{found} records, the task's cap is {cap}")]
    TooManyRecords {
        /// Records given.
        found: u64,
        /// The task's cap.
        cap: u32,
    },
    /// A record's table has the wrong shape.
    #[error("record {record}: {table} has {found} {axis}, expected {expected}")]
    Shape {
        /// Index of the record.
        record: usize,
        /// `correct` or `confidence`.
        table: &'static str,
        /// `models` or `slices`.
        axis: &'static str,
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// A confidence is not a finite number.
    #[error("record {record}: confidence of model {model} in slice {slice} is not finite")]
    Confidence {
        /// Index of the record.
        record: usize,
        /// Index of the model.
        model: usize,
        /// Index of the slice.
        slice: usize,
    },
    /// A vector of the wrong length.
    #[error("vector has {found} values, the schema has {expected}")]
    Length {
        /// Entries of the schema.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A value above its bound.
    #[error("value {entry} is {found}, its bound is {limit}")]
    OutOfRange {
        /// Index of the entry.
        entry: usize,
        /// The value given.
        found: u64,
        /// `per_record_max · n`.
        limit: u64,
    },
}

impl Measurement {
    /// Checks values against the schema's bounds.
    ///
    /// # Errors
    /// A wrong length, more records than the cap, or a value above `per_record_max · n`.
    pub fn new(schema: &Schema, values: Vec<u64>) -> Result<Self, MeasureError> {
        let records = match values.first() {
            Some(&records) if values.len() == schema.len() => records,
            _ => {
                return Err(MeasureError::Length {
                    expected: schema.len(),
                    found: values.len(),
                });
            }
        };
        if records > u64::from(schema.cap()) {
            return Err(MeasureError::TooManyRecords {
                found: records,
                cap: schema.cap(),
            });
        }
        for (index, (entry, &found)) in schema.entries().iter().zip(&values).enumerate() {
            let limit = u64::from(entry.per_record_max) * records;
            if found > limit {
                return Err(MeasureError::OutOfRange {
                    entry: index,
                    found,
                    limit,
                });
            }
        }
        Ok(Self { values })
    }

    /// The values, unweighted, in the schema's order.
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// Number of records measured.
    pub fn records(&self) -> u64 {
        self.values.first().copied().unwrap_or(0)
    }
}

impl Schema {
    /// Sums the contributions of records.
    ///
    /// # Errors
    /// More records than the cap, a table of the wrong shape or a confidence that is not finite,
    /// naming the record.
    pub fn measure(&self, outcomes: &[RecordOutcome]) -> Result<Measurement, MeasureError> {
        let found = outcomes.len() as u64;
        if found > u64::from(self.cap()) {
            return Err(MeasureError::TooManyRecords {
                found,
                cap: self.cap(),
            });
        }
        let mut values = vec![0u64; self.len()];
        for (record, outcome) in outcomes.iter().enumerate() {
            self.check(record, outcome)?;
            let summary = Summary::of(outcome, self.params().statistics.calibration);
            for (value, entry) in values.iter_mut().zip(self.entries()) {
                *value += summary.contribution(outcome, entry.kind);
            }
        }
        Measurement::new(self, values)
    }

    fn check(&self, record: usize, outcome: &RecordOutcome) -> Result<(), MeasureError> {
        self.check_shape(record, "correct", &outcome.correct)?;
        if !self.params().statistics.calibration {
            return Ok(());
        }
        self.check_shape(record, "confidence", &outcome.confidence)?;
        for (model, row) in outcome.confidence.iter().enumerate() {
            if let Some(slice) = row.iter().position(|confidence| !confidence.is_finite()) {
                return Err(MeasureError::Confidence { record, model, slice });
            }
        }
        Ok(())
    }

    fn check_shape<T>(
        &self,
        record: usize,
        table: &'static str,
        rows: &[Vec<T>],
    ) -> Result<(), MeasureError> {
        let same = |axis, expected, found| {
            if expected == found {
                Ok(())
            } else {
                Err(MeasureError::Shape {
                    record,
                    table,
                    axis,
                    expected,
                    found,
                })
            }
        };
        same("models", self.models(), rows.len())?;
        rows.iter()
            .try_for_each(|row| same("slices", self.slices(), row.len()))
    }
}

/// Per model, what the entries of one record are made of.
struct Summary {
    correct_slices: Vec<u64>,
    confidences: Vec<u64>,
}

impl Summary {
    fn of(outcome: &RecordOutcome, calibration: bool) -> Self {
        let count = |row: &Vec<bool>| row.iter().map(|&correct| u64::from(correct)).sum();
        let confidences = if calibration {
            outcome.confidence.iter().map(|row| quantised_mean(row)).collect()
        } else {
            Vec::new()
        };
        Self {
            correct_slices: outcome.correct.iter().map(count).collect(),
            confidences,
        }
    }

    fn contribution(&self, outcome: &RecordOutcome, kind: EntryKind) -> u64 {
        match kind {
            EntryKind::Records => 1,
            EntryKind::Correct { model, slice } => {
                let row = outcome.correct.get(usize::from(model));
                u64::from(row.and_then(|row| row.get(usize::from(slice))) == Some(&true))
            }
            EntryKind::Square { model } => self.slices_of(model).pow(2),
            EntryKind::Difference { first, second } => {
                self.slices_of(first).abs_diff(self.slices_of(second)).pow(2)
            }
            EntryKind::Confidence { model } => self.confidences.get(usize::from(model)).copied().unwrap_or(0),
        }
    }

    fn slices_of(&self, model: u16) -> u64 {
        self.correct_slices.get(usize::from(model)).copied().unwrap_or(0)
    }
}

/// Mean of the confidences, clamped to 0..1 and rounded half up to steps of 1/[`CONFIDENCE_MAX`].
fn quantised_mean(confidences: &[f32]) -> u64 {
    let sum: f64 = confidences
        .iter()
        .map(|&confidence| f64::from(confidence.clamp(0.0, 1.0)))
        .sum();
    let steps = sum * f64::from(CONFIDENCE_MAX);
    let views = confidences.len() as f64;
    // Counting the half-way marks that were passed rounds without a float-to-integer cast.
    (0..CONFIDENCE_MAX)
        .map(|step| u64::from(steps >= (f64::from(step) + 0.5) * views))
        .sum()
}
