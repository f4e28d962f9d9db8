//! From the outcomes of records to the measured vector.
//!
//! A record's contribution depends on that record alone: rounding is per record and there is no
//! normalisation over the batch. Sums are exact integers, so their order does not matter.

use super::block::{Family, Part};
use super::outcome::{Details, RecordOutcome};
use super::{Schema, ScoreKind};
use thiserror::Error;

mod summary;
mod tables;

use summary::Summary;

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
        /// `correct`, `confidence` or `views`.
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
    /// A view that a task without missing views needs, or that one model has and another lacks.
    #[error("record {record}: model {model} has no outcome in slice {slice}")]
    NoView {
        /// Index of the record.
        record: usize,
        /// Index of the model.
        model: usize,
        /// Index of the slice.
        slice: usize,
    },
    /// A statistic needs something that the record does not have.
    #[error("record {record} has no {what}, which the task's statistics need")]
    Missing {
        /// Index of the record.
        record: usize,
        /// What is missing.
        what: &'static str,
    },
    /// A class, group or model outside the task's.
    #[error("record {record}: {what} {found} is outside the task's {most}")]
    Outside {
        /// Index of the record.
        record: usize,
        /// What.
        what: &'static str,
        /// The index given.
        found: u16,
        /// How many the task has.
        most: u16,
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
    /// More records than the cap, a table of the wrong shape, a number that is not finite, or
    /// something that a statistic needs and a record lacks, naming the record.
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
            self.add(record, outcome, &mut values)?;
        }
        Measurement::new(self, values)
    }

    /// Adds one record's contribution to the sums, which have this schema's length.
    ///
    /// # Errors
    /// As [`Schema::measure`], naming the record by the given index; nothing is added then.
    pub fn add(&self, record: usize, outcome: &RecordOutcome, sums: &mut [u64]) -> Result<(), MeasureError> {
        let summary = Summary::of(self, record, outcome)?;
        if let Some(details) = &outcome.details {
            self.check_details(record, details)?;
        }
        for block in self.blocks() {
            let Some(values) = sums.get_mut(block.start..block.start + block.entries()) else {
                continue;
            };
            if let (Family::Part(part), Some(details)) = (block.family, &outcome.details) {
                self.add_part(part, block, details, values);
                continue;
            }
            let entries = self.entries().iter().skip(block.start);
            for (value, entry) in values.iter_mut().zip(entries) {
                *value += summary.contribution(outcome, entry.kind);
            }
        }
        Ok(())
    }

    /// Whether the vector is made of details rather than of plain tables.
    fn needs_details(&self) -> bool {
        let extra = &self.params().statistics.extra;
        extra.missing_views || extra.score != ScoreKind::Correct || !extra.collected.is_empty()
    }

    fn check_plain(&self, record: usize, outcome: &RecordOutcome) -> Result<(), MeasureError> {
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

    fn check_details(&self, record: usize, details: &Details) -> Result<(), MeasureError> {
        let params = self.params();
        let extra = &params.statistics.extra;
        let inside = |what, found: Option<u16>, most: u16| match found {
            Some(found) if most > 0 && found >= most => Err(MeasureError::Outside {
                record,
                what,
                found,
                most,
            }),
            _ => Ok(()),
        };
        inside("class", details.class, extra.classes)?;
        inside("group", details.group, extra.groups)?;
        for model in details.preferred.iter().flat_map(|p| [p.first, p.second]) {
            inside("model", Some(model), params.models)?;
        }
        for view in details.views.iter().flatten().flatten() {
            inside("answer", view.answer, extra.classes)?;
        }
        let missing = |what| Err(MeasureError::Missing { record, what });
        let has = |part| self.block(Family::Part(part)).is_some();
        if has(Part::Confusion) && details.class.is_none() {
            return missing("class among the task's");
        }
        if (has(Part::Histogram) || has(Part::GroupConfusion)) && details.positive.is_none() {
            return missing("truth for the positive class");
        }
        if has(Part::Error) && details.target.is_none() {
            return missing("target value");
        }
        if extra.score == ScoreKind::Preference && details.preferred.is_none() {
            return missing("preference");
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
