//! From the outcomes of records to the measured vector.
//!
//! A record's contribution depends on that record alone: rounding is per record and there is no
//! normalisation over the batch. Sums are exact integers, so their order does not matter.

use super::block::{Family, Part, SQUARE_STEPS, STEPS, SUM_STEPS, score_steps};
use super::outcome::{Details, RecordOutcome, ViewOutcome};
use super::{Block, CONFIDENCE_MAX, EntryKind, LOG_LOSS_MAX, Schema, ScoreKind};
use thiserror::Error;

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

    /// Adds what a record contributes to the tables of one part.
    fn add_part(&self, part: Part, block: &Block, details: &Details, values: &mut [u64]) {
        let tables = usize::from(self.slices_of(part));
        for copy in 0..block.copies {
            let (model, table) = (copy / tables, copy % tables);
            let slices = if tables == 1 {
                0..self.slices()
            } else {
                table..table + 1
            };
            let views = slices.filter_map(|slice| details.view(model, slice));
            let start = copy * block.cells;
            let Some(cells) = values.get_mut(start..start + block.cells) else {
                continue;
            };
            if part.is_sum() {
                if let Some(sum) = cells.first_mut() {
                    *sum += quantised_sum(part, details, views);
                }
            } else {
                for view in views {
                    let placed = place(part, details, view, block.cells);
                    if let Some((cell, amount)) = placed.and_then(|(at, n)| Some((cells.get_mut(at)?, n))) {
                        *cell += amount;
                    }
                }
            }
        }
    }
}

/// A sum's contribution: the mean over the record's views in steps, half way where there is none.
fn quantised_sum<'v>(part: Part, details: &Details, views: impl Iterator<Item = &'v ViewOutcome>) -> u64 {
    let target = details.target.unwrap_or(0.5);
    let of_view = |view: &ViewOutcome| match part {
        Part::Brier => view.brier / 2.0,
        Part::LogLoss => view.log_loss / LOG_LOSS_MAX,
        Part::Error => (1.0 + view.error) / 2.0,
        Part::SquaredError => view.error * view.error,
        Part::AbsoluteError => libm::fabs(view.error),
        Part::Target => target,
        _ => target * target,
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for view in views {
        sum += of_view(view);
        count += 1.0;
    }
    if count > 0.0 {
        steps_of(sum / count, SUM_STEPS)
    } else {
        u64::from(SUM_STEPS / 2)
    }
}

/// The cell of a table that a view falls into, and by how much.
fn place(part: Part, details: &Details, view: &ViewOutcome, cells: usize) -> Option<(usize, u64)> {
    let truth = usize::from(details.positive.unwrap_or(false));
    Some(match part {
        Part::Confusion => {
            let classes = cells.isqrt();
            let (truth, answer) = (usize::from(details.class?), usize::from(view.answer?));
            (truth * classes + answer, 1)
        }
        Part::BinViews => (bin_of(view.confidence, cells), 1),
        Part::BinConfidence => (bin_of(view.confidence, cells), steps_of(view.confidence, STEPS)),
        Part::BinCorrect => (bin_of(view.confidence, cells), u64::from(view.correct)),
        Part::Histogram => (truth * (cells / 2) + bin_of(view.positive, cells / 2), 1),
        Part::GroupConfusion => {
            let group = usize::from(details.group?);
            (4 * group + 2 * truth + usize::from(view.flagged), 1)
        }
        Part::Drift => match view.answer {
            Some(answer) => (usize::from(answer), 1),
            None => (bin_of(view.place, cells), 1),
        },
        _ => return None,
    })
}

/// A number in 0..1 (clamped) in steps, rounded half up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the steps; what is not a number saturates to zero"
)]
fn steps_of(value: f64, steps: u32) -> u64 {
    libm::floor(value.clamp(0.0, 1.0) * f64::from(steps) + 0.5) as u64
}

/// The bin of a number in 0..1, the last one closed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the bins; what is not a number saturates to zero"
)]
fn bin_of(value: f64, bins: usize) -> usize {
    (libm::floor(value.clamp(0.0, 1.0) * bins as f64) as usize).min(bins.saturating_sub(1))
}

/// Per model, what the entries of one record are made of.
struct Summary {
    /// Steps by model and slice.
    scores: Vec<Vec<u64>>,
    /// Sum of a model's steps over the slices.
    totals: Vec<u64>,
    confidences: Vec<u64>,
    /// Slices in which the record has views.
    present: Vec<bool>,
    /// Most that a total can be, where squares are of quantised means; 0 where they are exact.
    total_max: u64,
}

impl Summary {
    fn of(schema: &Schema, record: usize, outcome: &RecordOutcome) -> Result<Self, MeasureError> {
        let params = schema.params();
        let calibration = params.statistics.calibration;
        let steps = score_steps(&params);
        let (scores, present, confidences) = match &outcome.details {
            None if schema.needs_details() => {
                return Err(MeasureError::Missing {
                    record,
                    what: "details",
                });
            }
            None => {
                schema.check_plain(record, outcome)?;
                let row = |row: &Vec<bool>| row.iter().map(|&correct| u64::from(correct)).collect();
                let scores: Vec<Vec<u64>> = outcome.correct.iter().map(row).collect();
                (scores, vec![true; schema.slices()], outcome.confidence.clone())
            }
            Some(details) => {
                let present = present(schema, record, details)?;
                let kind = params.statistics.extra.score;
                let cell = |model, slice| match details.score(kind, model, slice) {
                    Some(score) => steps_of(score, steps),
                    None => u64::from(steps / 2),
                };
                let row = |model| (0..schema.slices()).map(|slice| cell(model, slice)).collect();
                let scores = (0..schema.models()).map(row).collect();
                (scores, present, confidences(details))
            }
        };
        let exact = steps == 1;
        let total = |row: &Vec<u64>| row.iter().sum();
        Ok(Self {
            totals: scores.iter().map(total).collect(),
            scores,
            confidences: if calibration {
                confidences.iter().map(|row| quantised_mean(row)).collect()
            } else {
                Vec::new()
            },
            present,
            total_max: if exact {
                0
            } else {
                u64::from(steps) * schema.slices() as u64
            },
        })
    }

    fn contribution(&self, outcome: &RecordOutcome, kind: EntryKind) -> u64 {
        match kind {
            EntryKind::Records => 1,
            EntryKind::Correct { model, slice } => {
                let row = self.scores.get(usize::from(model));
                row.and_then(|row| row.get(usize::from(slice)))
                    .copied()
                    .unwrap_or(0)
            }
            EntryKind::Square { model } => self.squared(self.total(model)),
            EntryKind::Difference { first, second } => {
                self.squared(self.total(first).abs_diff(self.total(second)))
            }
            EntryKind::Confidence { model } => self.confidences.get(usize::from(model)).copied().unwrap_or(0),
            EntryKind::Views { slice } => u64::from(self.present.get(usize::from(slice)) == Some(&true)),
            EntryKind::Wins { winner, loser } => {
                let details = outcome.details.as_ref();
                details.and_then(|d| d.wins(winner, loser)).unwrap_or(0)
            }
            EntryKind::Cell { .. } => 0,
        }
    }

    fn total(&self, model: u16) -> u64 {
        self.totals.get(usize::from(model)).copied().unwrap_or(0)
    }

    /// The square of a total, or of its part of the most in [`SQUARE_STEPS`], rounded half up.
    fn squared(&self, total: u64) -> u64 {
        let rounded = (2 * total * u64::from(SQUARE_STEPS) + self.total_max).checked_div(2 * self.total_max);
        rounded.unwrap_or(total).pow(2)
    }
}

/// Slices in which the record has views: all, unless the task lets views be missing. A view that
/// only some models have is refused, because its count would be wrong for the others.
fn present(schema: &Schema, record: usize, details: &Details) -> Result<Vec<bool>, MeasureError> {
    let slices = schema.slices();
    if details.views.is_empty() && details.preferred.is_some() {
        return Ok(vec![true; slices]);
    }
    schema.check_shape(record, "views", &details.views)?;
    let mut present = vec![false; slices];
    for (slice, present) in present.iter_mut().enumerate() {
        let mut lacking = (0..schema.models()).filter(|model| details.view(*model, slice).is_none());
        match lacking.next() {
            None => *present = true,
            Some(model) => {
                let none = lacking.count() + 1 == schema.models();
                if !(schema.has_missing_views() && none) {
                    return Err(MeasureError::NoView { record, model, slice });
                }
            }
        }
    }
    Ok(present)
}

/// Confidences by model and view.
fn confidences(details: &Details) -> Vec<Vec<f32>> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a confidence has single precision"
    )]
    let narrow = |view: &ViewOutcome| view.confidence as f32;
    let row = |row: &Vec<Option<ViewOutcome>>| row.iter().flatten().map(narrow).collect();
    details.views.iter().map(row).collect()
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
