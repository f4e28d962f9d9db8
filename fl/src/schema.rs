//! The statistics of a task as one bounded integer vector.
//!
//! A *record* is one source item (an image) together with all its views, one per slice, and every
//! model evaluated on each view. Its contribution is fixed by the record alone, so the vector of a
//! contributor is the sum over its records and the sensitivity under "add or remove one record"
//! is the largest norm that one record's contribution can have.
//!
//! Two choices keep the noise small:
//! - **Weights.** All entries receive noise of the same scale, so the released value of an entry
//!   is its sum times an integer weight; a larger weight buys a more precise entry at the price of
//!   sensitivity.
//! - **Centring.** Every entry but the record count is released as `2v − max·n`. A bit then
//!   contributes ±1 instead of 0 or 2, which halves the sensitivity of the same information.
//!
//! This file owns the layout, the weights and the sensitivity; `schema/measure.rs` turns outcomes
//! into values. Reading a released vector is the business of [`crate::interval`].

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod measure;
#[cfg(test)]
mod tests;

pub use measure::{MeasureError, Measurement, RecordOutcome};

/// Most models in one task.
pub const MODELS_MAX: u16 = 16;
/// Most slices in one task.
pub const SLICES_MAX: u16 = 32;
/// Most source records in one report.
pub const CAP_MAX: u32 = 1_000_000;
/// Highest value of a record's quantised mean confidence.
pub const CONFIDENCE_MAX: u32 = 10;

/// Share of the sensitivity (in hundredths of its square) that all squares together may take.
const SQUARES_SHARE_PERCENT: u64 = 7;
/// Share of the sensitivity (in hundredths of its square) that all differences together may take.
const DIFFERENCES_SHARE_PERCENT: u64 = 13;

/// Which statistics a task collects beyond the counts. Each raises the noise on all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Squared per-record scores and squared differences per pair of models: without them the
    /// worst-case correlation is assumed. Costs about a tenth of the noise.
    pub paired: bool,
    /// Mean confidence per model, for the calibration gap.
    pub calibration: bool,
}

/// Everything that fixes the layout of a task's vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaParams {
    /// Number of models, 1 to [`MODELS_MAX`].
    pub models: u16,
    /// Number of slices, 1 to [`SLICES_MAX`].
    pub slices: u16,
    /// Most source records in one report, 1 to [`CAP_MAX`]; also the bound on one contributor's
    /// influence.
    pub cap: u32,
    /// Statistics beyond the counts.
    pub statistics: Statistics,
}

/// What an entry of the vector counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntryKind {
    /// 1 per record.
    Records,
    /// 1 per record whose view in `slice` the model judged correctly.
    Correct {
        /// Index of the model.
        model: u16,
        /// Index of the slice.
        slice: u16,
    },
    /// Square of the number of slices in which the model was correct on the record.
    Square {
        /// Index of the model.
        model: u16,
    },
    /// Square of the difference of two models' numbers of correct slices on the record.
    Difference {
        /// Index of the first model.
        first: u16,
        /// Index of the second model, larger than `first`.
        second: u16,
    },
    /// The model's mean confidence over the record's views, in steps of 1/[`CONFIDENCE_MAX`].
    Confidence {
        /// Index of the model.
        model: u16,
    },
}

/// One entry of the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it counts.
    pub kind: EntryKind,
    /// The most that one record adds to the measured value.
    pub per_record_max: u32,
    /// Multiplier in the released vector; the released amplitude of one record is
    /// `weight · per_record_max`.
    pub weight: u64,
    /// Whether the released value is `weight · (2v − per_record_max · n)` instead of `weight · v`.
    pub centred: bool,
}

impl Entry {
    /// The most that one record can add to the released value, in absolute terms.
    pub fn amplitude(&self) -> u64 {
        self.weight.saturating_mul(u64::from(self.per_record_max))
    }
}

/// A parameter outside its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A count is outside its limits.
    #[error("{field} is {found}, must be between {least} and {most}")]
    OutOfRange {
        /// Name of the parameter.
        field: &'static str,
        /// The value given.
        found: u32,
        /// Least allowed value.
        least: u32,
        /// Greatest allowed value.
        most: u32,
    },
}

/// The layout of a task's vector: entries in fixed order, their bounds and weights.
///
/// ```
/// use fieldmark_fl::schema::{Schema, SchemaParams, Statistics};
/// let statistics = Statistics { paired: true, calibration: false };
/// let schema = Schema::new(&SchemaParams { models: 3, slices: 5, cap: 400, statistics })?;
/// assert_eq!(schema.len(), 1 + 3 * 5 + 3 + 3);
/// # Ok::<(), fieldmark_fl::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    params: SchemaParams,
    entries: Vec<Entry>,
}

impl Schema {
    /// Lays out the vector: `n`, then `correct[m][s]` model by model, then (if paired, and only
    /// with more than one slice) `square[m]`, (if paired) `difference[a][b]` for a < b, and (if
    /// calibration) `confidence[m]`.
    ///
    /// # Errors
    /// A parameter outside its limits is named with its limits.
    pub fn new(params: &SchemaParams) -> Result<Self, SchemaError> {
        in_range("models", u32::from(params.models), 1, u32::from(MODELS_MAX))?;
        in_range("slices", u32::from(params.slices), 1, u32::from(SLICES_MAX))?;
        in_range("cap", params.cap, 1, CAP_MAX)?;
        let weights = Weights::of(params);
        let mut entries = vec![Entry {
            kind: EntryKind::Records,
            per_record_max: 1,
            weight: weights.records,
            centred: false,
        }];
        entries.extend(kinds(params).map(|kind| weights.entry(kind, u32::from(params.slices))));
        Ok(Self {
            params: *params,
            entries,
        })
    }

    /// The parameters it was made from.
    pub fn params(&self) -> SchemaParams {
        self.params
    }

    /// Number of models.
    pub fn models(&self) -> usize {
        usize::from(self.params.models)
    }

    /// Number of slices.
    pub fn slices(&self) -> usize {
        usize::from(self.params.slices)
    }

    /// Most source records in one report.
    pub fn cap(&self) -> u32 {
        self.params.cap
    }

    /// The entries in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of entries.
    #[expect(clippy::len_without_is_empty, reason = "a schema always has the record count")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Position of an entry, if the schema has it.
    pub fn position(&self, kind: EntryKind) -> Option<usize> {
        self.entries.iter().position(|entry| entry.kind == kind)
    }

    /// The exact squared L2 sensitivity of the released vector under "add or remove one record".
    ///
    /// A record adds at most `weight · per_record_max` in absolute terms to each entry: the
    /// count's value is 1, and a centred `2v − max` with `0 ≤ v ≤ max` lies in `[−max, max]`. The
    /// sum of these squares is therefore an upper bound, and it is attained: the record on which
    /// every model is correct in every slice with full confidence has every centred value at
    /// `±max` at once (squares at +max, differences at −max). A unit test enumerates every record
    /// of small schemas against it.
    pub fn l2_sensitivity_squared(&self) -> u64 {
        self.entries.iter().map(|entry| entry.amplitude().pow(2)).sum()
    }

    /// The released vector of a measurement before noise: what truncation of a verified share
    /// gives, and what an aggregate holds apart from noise.
    pub fn release(&self, measurement: &Measurement) -> Vec<i128> {
        let records = i128::from(measurement.records());
        let released = |(entry, &value): (&Entry, &u64)| {
            let value = i128::from(value);
            let weight = i128::from(entry.weight);
            if entry.centred {
                weight * (2 * value - i128::from(entry.per_record_max) * records)
            } else {
                weight * value
            }
        };
        self.entries
            .iter()
            .zip(measurement.values())
            .map(released)
            .collect()
    }
}

/// The integer weights of a schema, in units chosen so that a square's weight stays an integer.
struct Weights {
    records: u64,
    correct: u64,
    square: u64,
    difference: u64,
    confidence: u64,
}

impl Weights {
    /// Chooses the weights from the parameters by integer arithmetic alone.
    ///
    /// With a cell of amplitude 1, a score p = ½ + θ has the noise variance
    /// (Δ²/n²)·(1/4 + θ²/r²) for a record count of amplitude r, where Δ² = r² + M·S. For a single
    /// slice the best r² is 2θ√(MS), for the mean over slices 2θS√M. The count takes the geometric
    /// mean of the two at p = 0.8: r² = 0.6·√M·S^¾, about twice the weight of a cell for 3 models
    /// and 5 slices. Squares and differences share a fixed part of the squared sensitivity, so
    /// they cost less than a tenth of the noise; confidence has half a cell's amplitude.
    fn of(params: &SchemaParams) -> Self {
        let models = u64::from(params.models);
        let slices = u64::from(params.slices);
        let square_max = slices * slices;
        let correct = 2 * u64::from(CONFIDENCE_MAX) * square_max;
        let records = records_weight(models, slices, correct);
        let counts = records * records + models * slices * correct * correct;
        let pairs = (models * (models - 1) / 2).max(1);
        let share =
            |percent: u64, parts: u64| ((counts * percent / (100 * parts)).isqrt() / square_max).max(1);
        Self {
            records,
            correct,
            square: share(SQUARES_SHARE_PERCENT, models),
            difference: share(DIFFERENCES_SHARE_PERCENT, pairs),
            confidence: square_max,
        }
    }

    fn entry(&self, kind: EntryKind, slices: u32) -> Entry {
        let (per_record_max, weight) = match kind {
            EntryKind::Records => (1, self.records),
            EntryKind::Correct { .. } => (1, self.correct),
            EntryKind::Square { .. } => (slices * slices, self.square),
            EntryKind::Difference { .. } => (slices * slices, self.difference),
            EntryKind::Confidence { .. } => (CONFIDENCE_MAX, self.confidence),
        };
        Entry {
            kind,
            per_record_max,
            weight,
            centred: kind != EntryKind::Records,
        }
    }
}

/// `correct · r` with r⁴ = 0.36·M·S^1.5, by integer square roots.
fn records_weight(models: u64, slices: u64, correct: u64) -> u64 {
    let root_slices_milli = (slices * 1_000_000).isqrt();
    let fourth_power = 36 * models * slices * root_slices_milli;
    let correct_squared = u128::from(correct * correct);
    let squared = (u128::from(fourth_power) * correct_squared * correct_squared / 100_000).isqrt();
    u64::try_from(squared.isqrt()).unwrap_or(u64::MAX).max(1)
}

/// The kinds after the record count, in the order of the vector.
fn kinds(params: &SchemaParams) -> impl Iterator<Item = EntryKind> + use<> {
    let SchemaParams {
        models,
        slices,
        statistics,
        ..
    } = *params;
    let cells =
        (0..models).flat_map(move |model| (0..slices).map(move |slice| EntryKind::Correct { model, slice }));
    let squares = (0..if statistics.paired && slices > 1 {
        models
    } else {
        0
    })
        .map(|model| EntryKind::Square { model });
    let differences = (0..if statistics.paired { models } else { 0 }).flat_map(move |first| {
        (first + 1..models).map(move |second| EntryKind::Difference { first, second })
    });
    let confidences =
        (0..if statistics.calibration { models } else { 0 }).map(|model| EntryKind::Confidence { model });
    cells.chain(squares).chain(differences).chain(confidences)
}

fn in_range(field: &'static str, found: u32, least: u32, most: u32) -> Result<(), SchemaError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(SchemaError::OutOfRange {
            field,
            found,
            least,
            most,
        })
    }
}
