//! A board over many windows of one layout: each window's scores, and those of all pooled.
//!
//! The view is kept as windows arrive, in any order: a window's scores are computed once, and the
//! pool is a sum of integers, so adding one window costs two tables whatever the number of windows
//! before it, and the view equals the one computed from scratch, byte for byte.

use super::{BoardError, BoardInput, NoisyCount, ScoreTable, names, tabulate, weighted_board};
use crate::interval::{Interval, Release, Score, Weights};
use crate::rank::RankSet;
use crate::schema::{Schema, SchemaParams};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One window's aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesWindow {
    /// The sum of all aggregators' shares.
    pub aggregate: Vec<i128>,
    /// Noise of one aggregator.
    pub sigma_squared: u64,
    /// Number of aggregators.
    pub aggregators: u8,
    /// Accepted reports.
    pub contributors: u64,
}

/// What a window adds to a trend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowScores {
    /// Field score of each model.
    pub fields: Vec<Score>,
    /// `slices[model][slice]`.
    pub slices: Vec<Vec<Score>>,
    /// Ranks that each model can have.
    pub ranks: Vec<RankSet>,
    /// Interval of each field score for comparisons with other windows.
    pub across: Vec<Option<Interval>>,
    /// Records in all reports together.
    pub records: NoisyCount,
    /// Accepted reports.
    pub contributors: u64,
}

impl From<ScoreTable> for WindowScores {
    fn from(table: ScoreTable) -> Self {
        let scores = |row: &super::Row| row.slices.iter().map(|slice| slice.score).collect();
        Self {
            fields: table.rows.iter().map(|row| row.field).collect(),
            slices: table.rows.iter().map(scores).collect(),
            ranks: table.rows.iter().map(|row| row.rank).collect(),
            across: table.rows.iter().map(|row| row.across).collect(),
            records: table.records,
            contributors: table.contributors,
        }
    }
}

/// The view: windows in the order of their keys, and all of them pooled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesTable<'a, K: Ord> {
    /// Each window's scores.
    pub windows: &'a BTreeMap<K, WindowScores>,
    /// The table of the sum of all windows; nothing before the first.
    pub pooled: Option<ScoreTable>,
}

/// Windows of one layout, kept as they arrive. Memory grows by about 2 KB a window for three models
/// and five slices.
///
/// ```
/// use fieldmark_fl::board::{Series, SeriesWindow};
/// use fieldmark_fl::schema::{Schema, SchemaParams, Statistics};
/// let schema = SchemaParams { models: 1, slices: 1, cap: 100, statistics: Statistics::default() };
/// let mut series = Series::new(vec!["hare".into()], vec!["clean".into()], schema)?;
/// let weight = i128::from(Schema::new(&schema)?.entries()[0].weight);
/// let window = SeriesWindow { aggregate: vec![500 * weight, 0], sigma_squared: 10, aggregators: 3, contributors: 5 };
/// assert!(series.insert(1u64, &window)?);
/// assert!(!series.insert(1u64, &window)?);
/// assert_eq!(series.view().windows.len(), 1);
/// # Ok::<(), fieldmark_fl::board::BoardError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Series<K: Ord> {
    schema: Schema,
    template: BoardInput,
    weights: Weights,
    windows: BTreeMap<K, WindowScores>,
    sum: Vec<i128>,
    noise_variance: u128,
    contributors: u64,
}

impl<K: Ord> Series<K> {
    /// No windows yet.
    ///
    /// # Errors
    /// An invalid layout or the wrong number of names.
    pub fn new(models: Vec<String>, slices: Vec<String>, schema: SchemaParams) -> Result<Self, BoardError> {
        let layout = Schema::new(&schema)?;
        names("models", layout.models(), models.len())?;
        names("slices", layout.slices(), slices.len())?;
        Ok(Self {
            weights: Weights::equals(slices.len()),
            sum: vec![0; layout.len()],
            template: BoardInput {
                models,
                slices,
                schema,
                aggregate: Vec::new(),
                sigma_squared: 0,
                aggregators: 0,
                contributors: 0,
            },
            schema: layout,
            windows: BTreeMap::new(),
            noise_variance: 0,
            contributors: 0,
        })
    }

    /// Adds a window; whether it was new. A key that is there already changes nothing.
    ///
    /// # Errors
    /// A vector that does not fit the layout, which changes nothing either.
    pub fn insert(&mut self, key: K, window: &SeriesWindow) -> Result<bool, BoardError> {
        if self.windows.contains_key(&key) {
            return Ok(false);
        }
        let input = BoardInput {
            aggregate: window.aggregate.clone(),
            sigma_squared: window.sigma_squared,
            aggregators: window.aggregators,
            contributors: window.contributors,
            ..self.template.clone()
        };
        let scores = WindowScores::from(weighted_board(&input, &self.weights)?);
        for (sum, value) in self.sum.iter_mut().zip(&window.aggregate) {
            *sum = sum.saturating_add(*value);
        }
        self.noise_variance += u128::from(window.sigma_squared) * u128::from(window.aggregators);
        self.contributors = self.contributors.saturating_add(window.contributors);
        self.windows.insert(key, scores);
        Ok(true)
    }

    /// The scores of a window that was added.
    pub fn window(&self, key: &K) -> Option<&WindowScores> {
        self.windows.get(key)
    }

    /// The windows and the pool. Costs one table.
    pub fn view(&self) -> SeriesTable<'_, K> {
        let release = Release::with_noise(&self.schema, &self.sum, self.noise_variance).ok();
        let input = BoardInput {
            contributors: self.contributors,
            ..self.template.clone()
        };
        SeriesTable {
            windows: &self.windows,
            pooled: release
                .filter(|_| !self.windows.is_empty())
                .map(|release| tabulate(&release.weighted(&self.weights), &input)),
        }
    }
}

#[cfg(test)]
mod tests;
