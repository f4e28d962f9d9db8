//! The table of a challenge, a pure function of its aggregate.
//!
//! Numbers are fixed-point and rounded once, rows stand in the order of the challenge's models,
//! and nothing of the machine that computes it goes in, so two nodes with the same aggregate have
//! byte-identical tables. Sorting for display is the reader's choice.

use crate::interval::{
    Estimate, Interval, Micro, NotEstimable, Release, ReleaseError, Score, Weights, calibration_gap,
    estimable, field_interval, field_score, slice_score,
};
use crate::normal::Z95;
use crate::rank::{Comparison, RankSet, Ranking, rank};
use crate::schema::{Schema, SchemaError, SchemaParams};
use libm::sqrt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod change;
mod groups;
mod series;

use change::across_deviations;
pub use change::{Direction, FieldChange, field_change};
pub use groups::{Group, without_each};
pub use series::{Series, SeriesTable, SeriesWindow, WindowScores};

/// Everything a table is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardInput {
    /// Names of the models, in the task's order.
    pub models: Vec<String>,
    /// Names of the slices, in the task's order.
    pub slices: Vec<String>,
    /// Layout of the vector.
    pub schema: SchemaParams,
    /// The sum of all aggregators' shares.
    pub aggregate: Vec<i128>,
    /// Noise of one aggregator.
    pub sigma_squared: u64,
    /// Number of aggregators, each of whom added noise.
    pub aggregators: u8,
    /// Accepted reports.
    pub contributors: u64,
}

/// Why there is no table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BoardError {
    /// The layout is invalid.
    #[error("the layout is invalid")]
    Schema(#[from] SchemaError),
    /// The vector cannot be read.
    #[error("the aggregate cannot be read")]
    Release(#[from] ReleaseError),
    /// The number of names is not the layout's.
    #[error("{found} names of {axis}, the layout has {expected}")]
    Names {
        /// `models` or `slices`.
        axis: &'static str,
        /// Number in the layout.
        expected: usize,
        /// Names given.
        found: usize,
    },
}

/// A model's score on one slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceScore {
    /// Name of the slice.
    pub slice: String,
    /// The score.
    pub score: Score,
}

/// Mean confidence minus field score, with its noise-only interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationGap {
    /// Positive: over-confident.
    pub value: Micro,
    /// 95% interval for what these records would show without noise.
    pub noise: Interval,
}

/// One model's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the model.
    pub model: String,
    /// Mean over slices.
    pub field: Score,
    /// One per slice, in the task's order.
    pub slices: Vec<SliceScore>,
    /// Index of the slice with the lowest point estimate (the first of equals) among those shown.
    pub worst_slice: Option<usize>,
    /// Ranks that the model can have.
    pub rank: RankSet,
    /// Interval of the field score for comparisons with other windows; see [`field_change`].
    pub across: Option<Interval>,
    /// If the task collects calibration.
    pub calibration: Option<CalibrationGap>,
}

/// The number of records, known up to noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoisyCount {
    /// Point estimate, at least zero.
    pub value: Micro,
    /// 95% interval, at least zero.
    pub interval: Interval,
}

/// The table of a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreTable {
    /// In the order of the challenge's models.
    pub rows: Vec<Row>,
    /// All pairwise differences of field scores.
    pub comparisons: Vec<Comparison>,
    /// Whether any two models are separated.
    pub separable: bool,
    /// Records in all reports together.
    pub records: NoisyCount,
    /// Accepted reports.
    pub contributors: u64,
    /// The most by which one contributor can have moved any score: its largest share cap/n of
    /// the records, 1 at most; nothing if scores are not estimable.
    pub influence: Option<Micro>,
}

/// Makes the table.
///
/// # Errors
/// An invalid layout, the wrong number of names, or a vector that cannot be a complete sum.
pub fn board(input: &BoardInput) -> Result<ScoreTable, BoardError> {
    weighted_board(input, &Weights::equals(input.slices.len()))
}

/// Makes the table with field scores, rank sets and their intervals as the reader weights the
/// slices.
///
/// # Errors
/// As [`board`], and weights that are not one per slice.
pub fn weighted_board(input: &BoardInput, weights: &Weights) -> Result<ScoreTable, BoardError> {
    names("weights", input.slices.len(), weights.len())?;
    let schema = Schema::new(&input.schema)?;
    names("models", schema.models(), input.models.len())?;
    names("slices", schema.slices(), input.slices.len())?;
    let release =
        Release::new(&schema, &input.aggregate, input.sigma_squared, input.aggregators)?.weighted(weights);
    Ok(tabulate(&release, input))
}

/// The table of a release.
fn tabulate(release: &Release, input: &BoardInput) -> ScoreTable {
    let ranking = ranking(release);
    let rows = (0..).zip(input.models.iter().zip(&ranking.sets));
    ScoreTable {
        rows: rows
            .map(|(model, (name, rank))| row(release, input, model, name, *rank))
            .collect(),
        comparisons: ranking.comparisons,
        separable: ranking.separable,
        records: count(&release.records()),
        contributors: input.contributors,
        influence: influence(release),
    }
}

/// The rank sets; of models whose field scores are hidden every rank is possible.
fn ranking(release: &Release) -> Ranking {
    if release.shows_any() {
        return rank(release);
    }
    let models = release.schema().params().models;
    Ranking {
        sets: (0..models)
            .map(|_| RankSet {
                best: 1,
                worst: models,
            })
            .collect(),
        comparisons: Vec::new(),
        separable: false,
    }
}

/// The score, unless it is of too few records to be shown.
fn shown(shows: bool, score: Score) -> Score {
    if shows {
        score
    } else {
        Score::NotEstimable {
            reason: NotEstimable::TooFewRecords,
        }
    }
}

fn row(release: &Release, input: &BoardInput, model: u16, name: &str, rank: RankSet) -> Row {
    let slices: Vec<_> = (0..)
        .zip(&input.slices)
        .map(|(slice, name)| SliceScore {
            slice: name.clone(),
            score: shown(release.shows(slice), slice_score(release, model, slice)),
        })
        .collect();
    let estimated = slices
        .iter()
        .enumerate()
        .filter_map(|(at, slice)| Some((slice.score.value()?, at)));
    let worst_slice = estimated.min().map(|(_, at)| at);
    let calibration = calibration_gap(release, model).map(|(value, noise)| CalibrationGap { value, noise });
    Row {
        model: name.to_owned(),
        field: shown(release.shows_any(), field_score(release, model)),
        slices,
        worst_slice,
        rank,
        across: field_interval(
            release,
            model,
            across_deviations(release.schema().params().models),
        ),
        calibration,
    }
}

/// A count with its 95% interval, both at least zero.
#[must_use]
pub fn count(records: &Estimate) -> NoisyCount {
    let half = Z95 * sqrt(records.variance);
    let count = |value: f64| Micro::from_f64(value.max(0.0));
    NoisyCount {
        value: count(records.value),
        interval: Interval {
            low: count(records.value - half),
            high: count(records.value + half),
        },
    }
}

fn influence(release: &Release) -> Option<Micro> {
    // Where records lack views, the slice with the fewest is the easiest to move.
    let counts = (0..release.schema().params().slices).map(|slice| release.views(slice));
    let fewest = counts.min_by(|a, b| a.value.total_cmp(&b.value))?;
    let largest = f64::from(release.schema().cap()) / fewest.value;
    estimable(&fewest).then(|| Micro::from_f64(largest.min(1.0)))
}

fn names(axis: &'static str, expected: usize, found: usize) -> Result<(), BoardError> {
    if expected == found {
        Ok(())
    } else {
        Err(BoardError::Names {
            axis,
            expected,
            found,
        })
    }
}

#[cfg(test)]
mod tests;
