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
//! - **Centring.** Every sum but the counts is released as `2v − max·n`. A bit then contributes ±1
//!   instead of 0 or 2, which halves the sensitivity of the same information.
//!
//!
//! The vector is a row of blocks (`schema/block.rs`), each with its bound, weight and exact part of
//! the squared sensitivity. Beyond counts of right answers a task chooses how views are scored and
//! which further statistics it collects (`schema/choice.rs`).
//!
//! This file owns the layout and the sensitivity; `schema/measure.rs` turns outcomes into values.
//! Reading a released vector is the business of [`crate::interval`] and [`crate::metrics`].

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod block;
mod choice;
mod measure;
mod outcome;
#[cfg(test)]
mod tests;

pub use block::{Block, Family, LOG_LOSS_MAX, Part, SQUARE_STEPS, STEPS, SUM_STEPS};
pub use choice::{BINS_MAX, CLASSES_MAX, Collected, Extra, GROUPS_MAX, ScoreKind, Statistic};
pub use measure::{MeasureError, Measurement};
pub use outcome::{Details, Preferred, RecordOutcome, ViewOutcome};

/// Most models in one task.
pub const MODELS_MAX: u16 = 16;
/// Most slices in one task.
pub const SLICES_MAX: u16 = 32;
/// Most source records in one report.
pub const CAP_MAX: u32 = 1_000_000;
/// Highest value of a record's quantised mean confidence.
pub const CONFIDENCE_MAX: u32 = 10;
/// Most entries: an aggregate share of 16 bytes each fits a ledger record of 31 KiB.
pub const ENTRIES_MAX: usize = 1_900;
/// Most bits of a measurement: the leader's sealed share of 16 bytes each stays under 1 MiB.
pub const BITS_MAX: u64 = 60_000;

/// Which statistics a task collects beyond the scores. Each raises the noise on all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Squared per-record scores and squared differences per pair of models: without them the
    /// worst-case correlation is assumed. Costs about a tenth of the noise.
    pub paired: bool,
    /// Mean confidence per model, for the calibration gap.
    pub calibration: bool,
    /// How views are scored, and statistics beyond that.
    pub extra: Extra,
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
    /// The model's score on the record's view in `slice`: 1 if right where scores are right or
    /// wrong, elsewhere in steps.
    Correct {
        /// Index of the model.
        model: u16,
        /// Index of the slice.
        slice: u16,
    },
    /// Square of the number of slices in which the model was correct on the record; elsewhere of
    /// its mean score in steps of 1/[`SQUARE_STEPS`].
    Square {
        /// Index of the model.
        model: u16,
    },
    /// Square of the difference of two models' numbers of correct slices on the record; elsewhere
    /// of their mean scores in steps of 1/[`SQUARE_STEPS`].
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
    /// 1 per record with a view in the slice, where records may lack views.
    Views {
        /// Index of the slice.
        slice: u16,
    },
    /// 2 per record on which one model beat another, 1 per tie.
    Wins {
        /// Index of the better model.
        winner: u16,
        /// Index of the other.
        loser: u16,
    },
    /// A cell of a statistic beyond scores.
    Cell {
        /// Which table.
        part: Part,
        /// Index of the model; 0 where models share the table.
        model: u16,
        /// Index of the slice; 0 where slices share the table.
        slice: u16,
        /// Index in the table.
        cell: u16,
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

/// Parameters that make no layout.
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
    /// A statistic that needs every view of every record.
    #[error(
        "{what} need every record to have a view in every slice; leave them out, or the slices that records lack"
    )]
    NeedsEveryView {
        /// The statistic.
        what: &'static str,
    },
    /// The statistics together do not fit a share.
    #[error(
        "models, slices and statistics make {entries} numbers of {bits} bits in all, a share has room for {ENTRIES_MAX} \
         numbers and {BITS_MAX} bits; collect fewer statistics, classes, bins or slices"
    )]
    TooLarge {
        /// Entries of the vector.
        entries: usize,
        /// Bits of a measurement with its proofs' slack.
        bits: u64,
    },
}

/// The layout of a task's vector: entries in fixed order, their bounds and weights.
///
/// ```
/// use fieldmark_fl::schema::{Schema, SchemaParams, Statistics};
/// let statistics = Statistics { paired: true, ..Statistics::default() };
/// let schema = Schema::new(&SchemaParams { models: 3, slices: 5, cap: 400, statistics })?;
/// assert_eq!(schema.len(), 1 + 3 * 5 + 3 + 3);
/// # Ok::<(), fieldmark_fl::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    params: SchemaParams,
    blocks: Vec<Block>,
    entries: Vec<Entry>,
}

impl Schema {
    /// Lays out the vector: `n`, then `correct[m][s]` model by model, then (if paired, and only
    /// with more than one slice or step) `square[m]`, (if paired) `difference[a][b]` for a < b,
    /// (if calibration) `confidence[m]`, (if views may be missing) `views[s]`, (if collected)
    /// `wins[a][b]` and `wins[b][a]` for a < b, then the tables of [`Part::ALL`] that are
    /// collected, each model by model, slice by slice, cell by cell.
    ///
    /// # Errors
    /// A parameter outside its limits is named with its limits; statistics that do not fit
    /// together or do not fit a share are named.
    pub fn new(params: &SchemaParams) -> Result<Self, SchemaError> {
        check(params)?;
        let blocks = block::blocks(params);
        let entries: Vec<Entry> = blocks.iter().flat_map(|block| entries(block, params)).collect();
        let schema = Self {
            params: *params,
            blocks,
            entries,
        };
        let (entries, bits) = (schema.len(), schema.measurement_bits());
        if entries > ENTRIES_MAX || bits > BITS_MAX {
            return Err(SchemaError::TooLarge { entries, bits });
        }
        Ok(schema)
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

    /// The blocks in their order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The block of a family, if the schema has it.
    pub fn block(&self, family: Family) -> Option<&Block> {
        self.blocks.iter().find(|block| block.family == family)
    }

    /// Steps of a view's score: 1 where it is right or wrong.
    pub fn score_steps(&self) -> u32 {
        block::score_steps(&self.params)
    }

    /// Whether records may lack views, so that every slice has a count of its own.
    pub fn has_missing_views(&self) -> bool {
        self.params.statistics.extra.missing_views
    }

    /// Slices of a part's tables: all of them, or one for all together.
    pub fn slices_of(&self, part: Part) -> u16 {
        if part.by_slice(&self.params) {
            self.params.slices
        } else {
            1
        }
    }

    /// Position of an entry, if the schema has it.
    pub fn position(&self, kind: EntryKind) -> Option<usize> {
        let (models, slices) = (self.models(), self.slices());
        let inside = |index: u16, count: usize| Some(usize::from(index)).filter(|index| *index < count);
        let (family, copy, cell) = match kind {
            EntryKind::Records => (Family::Records, 0, 0),
            EntryKind::Correct { model, slice } => {
                let (model, slice) = (inside(model, models)?, inside(slice, slices)?);
                (Family::Scores, model * slices + slice, 0)
            }
            EntryKind::Square { model } => (Family::Squares, inside(model, models)?, 0),
            EntryKind::Difference { first, second } => (Family::Differences, pair(first, second, models)?, 0),
            EntryKind::Confidence { model } => (Family::Confidence, inside(model, models)?, 0),
            EntryKind::Views { slice } => (Family::Views, inside(slice, slices)?, 0),
            EntryKind::Wins { winner, loser } => {
                let copy = pair(winner.min(loser), winner.max(loser), models)?;
                (Family::Wins, copy, usize::from(winner > loser))
            }
            EntryKind::Cell {
                part,
                model,
                slice,
                cell,
            } => {
                let tables = usize::from(self.slices_of(part));
                let model = inside(model, if part.is_shared() { 1 } else { models })?;
                let copy = model * tables + inside(slice, tables)?;
                (Family::Part(part), copy, usize::from(cell))
            }
        };
        let block = self.block(family)?;
        (cell < block.cells).then_some(block.start + copy * block.cells + cell)
    }

    /// The exact squared L2 sensitivity of the released vector under "add or remove one record":
    /// the sum over blocks.
    ///
    /// A record adds at most `weight · per_record_max` in absolute terms to each sum: the count's
    /// value is 1, and a centred `2v − max` with `0 ≤ v ≤ max` lies in `[−max, max]`. To each table
    /// its views add `per_record_max` in all, which has its largest norm in a single cell. The sum
    /// of these squares is therefore an upper bound, and for plain statistics it is attained: the
    /// record on which every model is correct in every slice with full confidence has every centred
    /// value at `±max` at once (squares at +max, differences at −max). A unit test enumerates every
    /// record of small schemas against it.
    pub fn l2_sensitivity_squared(&self) -> u64 {
        self.blocks
            .iter()
            .fold(0u64, |sum, block| sum.saturating_add(block.l2_squared()))
    }

    /// Bits of an encoded measurement: of the record count, and twice (value and slack) of every
    /// other entry's bound.
    fn measurement_bits(&self) -> u64 {
        let cap = u64::from(self.cap());
        let bits = |max: u64| u64::from(max.max(1).ilog2()) + 1;
        let entries = self.entries.iter().skip(1);
        bits(cap)
            + entries
                .map(|e| 2 * bits(u64::from(e.per_record_max) * cap))
                .sum::<u64>()
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

/// The entries of a block, in order.
fn entries(block: &Block, params: &SchemaParams) -> Vec<Entry> {
    let narrow = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
    let slices = usize::from(params.slices);
    let kind = |copy: usize, cell: usize| match block.family {
        Family::Records => EntryKind::Records,
        Family::Scores => EntryKind::Correct {
            model: narrow(copy / slices),
            slice: narrow(copy % slices),
        },
        Family::Squares => EntryKind::Square { model: narrow(copy) },
        Family::Confidence => EntryKind::Confidence { model: narrow(copy) },
        Family::Views => EntryKind::Views { slice: narrow(copy) },
        Family::Differences => {
            let (first, second) = pair_at(copy, params.models);
            EntryKind::Difference { first, second }
        }
        Family::Wins => {
            let (first, second) = pair_at(copy, params.models);
            let (winner, loser) = if cell == 0 {
                (first, second)
            } else {
                (second, first)
            };
            EntryKind::Wins { winner, loser }
        }
        Family::Part(part) => {
            let tables = if part.by_slice(params) { slices } else { 1 };
            EntryKind::Cell {
                part,
                model: narrow(copy / tables),
                slice: narrow(copy % tables),
                cell: narrow(cell),
            }
        }
    };
    let entry = |kind| Entry {
        kind,
        per_record_max: block.per_record_max,
        weight: block.weight,
        centred: block.centred,
    };
    let places = (0..block.copies).flat_map(|copy| (0..block.cells).map(move |cell| (copy, cell)));
    places.map(|(copy, cell)| entry(kind(copy, cell))).collect()
}

/// Number of pairs of different models.
pub(crate) fn pairs(models: usize) -> usize {
    models * models.saturating_sub(1) / 2
}

/// Index of a pair of models, the smaller first.
fn pair(first: u16, second: u16, models: usize) -> Option<usize> {
    let (first, second) = (usize::from(first), usize::from(second));
    (first < second && second < models).then(|| first * (2 * models - first - 1) / 2 + second - first - 1)
}

/// The pair of an index.
fn pair_at(index: usize, models: u16) -> (u16, u16) {
    let mut all = (0..models).flat_map(|first| (first + 1..models).map(move |second| (first, second)));
    all.nth(index).unwrap_or((0, 0))
}

fn check(params: &SchemaParams) -> Result<(), SchemaError> {
    in_range("models", u32::from(params.models), 1, u32::from(MODELS_MAX))?;
    in_range("slices", u32::from(params.slices), 1, u32::from(SLICES_MAX))?;
    in_range("cap", params.cap, 1, CAP_MAX)?;
    let statistics = &params.statistics;
    let extra = &statistics.extra;
    if extra.missing_views && (statistics.paired || statistics.calibration) {
        let what = if statistics.paired {
            "paired squares"
        } else {
            "mean confidences"
        };
        return Err(SchemaError::NeedsEveryView { what });
    }
    let has = |statistic| extra.collected.has(statistic);
    let least = |needed: bool, least: u32| if needed { least } else { 0 };
    let classes = least(has(Statistic::Confusion), 2);
    in_range("classes", extra.classes.into(), classes, CLASSES_MAX.into())?;
    let binned = has(Statistic::CalibrationBins)
        || has(Statistic::ScoreHistogram)
        || (has(Statistic::Drift) && extra.classes == 0);
    in_range("bins", extra.bins.into(), least(binned, 2), BINS_MAX.into())?;
    let groups = least(has(Statistic::GroupConfusion), 2);
    in_range("groups", extra.groups.into(), groups, GROUPS_MAX.into())
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
