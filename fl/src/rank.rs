//! Rank sets: which ranks a model can have, given what is known.
//!
//! For every pair of models the difference of field scores gets an interval from noise and paired
//! sampling variance, at a level such that all intervals hold together with 95% (Bonferroni over
//! the pairs). From intervals that all hold, a model's rank is at least one more than the number
//! of models significantly better and at most M minus the number significantly worse (Mogstad,
//! Romano, Shaikh and Wilhelm 2024). A single-step correction is used rather than Holm's, because
//! it yields intervals, and so the directions of the differences are covered too.
//!
//! A pair is compared by h = Σ(x_a − x_b) over records against zero, where the record count and
//! its noise drop out; sampling variance is E[(x_a − x_b)²], its value under no difference, from
//! the squared differences, raised for the noise in it as a score's variance is. Without them the
//! worst case (√V_a + √V_b)² is used.

use crate::interval::{
    Estimate, Interval, Micro, Ratio, Release, Sampling, VarianceEstimate, Weights, design_effect, estimable,
    raised, weighted_deviation,
};
use crate::normal::upper_quantile;
use libm::sqrt;
use serde::{Deserialize, Serialize};

/// Probability with which any rank set may be wrong.
pub const FAMILY_ERROR: f64 = 0.05;

/// The ranks that a model can have, 1 being best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankSet {
    /// Best possible rank.
    pub best: u16,
    /// Worst possible rank.
    pub worst: u16,
}

/// The comparison of two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Index of the first model.
    pub first: u16,
    /// Index of the second model.
    pub second: u16,
    /// Field score of the first minus that of the second.
    pub difference: Micro,
    /// Simultaneous interval of the difference; the pair is separated if it excludes zero.
    pub interval: Interval,
    /// Whether the worst-case correlation was assumed, for want of squared differences or because of
    /// the reader's weights.
    pub conservative: bool,
}

/// Rank sets of all models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// One per model.
    pub sets: Vec<RankSet>,
    /// All pairs that could be compared, in order; empty when there are too few records.
    pub comparisons: Vec<Comparison>,
    /// Whether any pair is separated; if not, the models are not yet separable.
    pub separable: bool,
}

/// Compares all pairs and derives the rank sets.
pub fn rank(release: &Release) -> Ranking {
    let models = release.schema().params().models;
    let pairs: Vec<_> = (0..models)
        .flat_map(|first| (first + 1..models).map(move |second| (first, second)))
        .collect();
    let z = upper_quantile(FAMILY_ERROR / (2.0 * pairs.len().max(1) as f64));
    let compared = pairs
        .iter()
        .filter_map(|&(first, second)| compare(release, first, second, z));
    let comparisons: Vec<_> = compared.collect();
    let sets = (0..models)
        .map(|model| rank_set(model, models, &comparisons))
        .collect();
    let separable = comparisons.iter().any(|comparison| better(comparison).is_some());
    Ranking {
        sets,
        comparisons,
        separable,
    }
}

/// The model that is significantly better, if either is.
fn better(comparison: &Comparison) -> Option<u16> {
    if comparison.interval.low > Micro(0) {
        Some(comparison.first)
    } else if comparison.interval.high < Micro(0) {
        Some(comparison.second)
    } else {
        None
    }
}

fn rank_set(model: u16, models: u16, comparisons: &[Comparison]) -> RankSet {
    let mut set = RankSet {
        best: 1,
        worst: models,
    };
    let with_model = |c: &&Comparison| c.first == model || c.second == model;
    for winner in comparisons.iter().filter(with_model).filter_map(better) {
        if winner == model {
            set.worst -= 1
        } else {
            set.best += 1
        }
    }
    set
}

fn compare(release: &Release, first: u16, second: u16, z: f64) -> Option<Comparison> {
    let records = release.records();
    (estimable(&records) && release.estimable_slices()).then_some(())?;
    let (one, other) = (release.field(first), release.field(second));
    let numerator = Estimate {
        value: one.value - other.value,
        variance: one.variance + other.variance,
    };
    let (variance, conservative) = pair_variance(release, first, second, &numerator, z);
    let ratio = Ratio {
        numerator,
        denominator: records,
    };
    let bounds = ratio.bounds(z, Sampling::Fixed { variance })?;
    let clamp = |value: f64| Micro::from_f64(value.clamp(-1.0, 1.0));
    Some(Comparison {
        first,
        second,
        difference: clamp(ratio.value()),
        interval: Interval {
            low: clamp(bounds.0),
            high: clamp(bounds.1),
        },
        conservative,
    })
}

/// E[(x_a − x_b)²] per record and whether the worst case stands in for it.
fn pair_variance(release: &Release, first: u16, second: u16, numerator: &Estimate, z: f64) -> (f64, bool) {
    let records = release.records();
    let n = records.value;
    let least = (numerator.value / n) * (numerator.value / n);
    let spread = sqrt(score_variance(release, first, z)) + sqrt(score_variance(release, second, z));
    if release.schema().has_missing_views() {
        // Per record of all, of which a slice may have few: it can exceed 1.
        return (least + spread * spread, true);
    }
    let worst = (least + spread * spread).min(1.0);
    if let Some(weights) = release.weights() {
        return (
            weighted_pair(release, first, second, weights, worst).max(least.min(worst)),
            true,
        );
    }
    match release.differences(first, second) {
        None => (worst, true),
        Some(squares) => {
            let mean = squares.value / n;
            let noise = squares.variance + mean * mean * records.variance;
            let variance = VarianceEstimate {
                value: 0.5 + mean,
                deviation: sqrt(noise) / n,
                most: worst,
            };
            (
                raised(&variance, numerator.variance, n, z)
                    .value
                    .max(least.min(worst)),
                false,
            )
        }
    }
}

/// A bound on E[(x_a − x_b)²] for weighted scores: from the squared differences of the plain means
/// where they are there, and from how often two models can disagree on a slice at most.
fn weighted_pair(release: &Release, first: u16, second: u16, weights: &Weights, worst: f64) -> f64 {
    let n = release.records().value;
    let rate = |model, slice| (0.5 + release.cell(model, slice).value / n).clamp(0.0, 1.0);
    let disagree = |slice| {
        let both = rate(first, slice) + rate(second, slice);
        sqrt(both.min(2.0 - both))
    };
    let each: Vec<f64> = (0..).take(release.schema().slices()).map(disagree).collect();
    let mean = release.differences(first, second).map_or(1.0, |squares| {
        let noise = sqrt(squares.variance) / n;
        sqrt((0.5 + squares.value / n + noise).clamp(0.0, 1.0))
    });
    let deviation = weighted_deviation(weights, mean, &each);
    (deviation * deviation).min(worst)
}

/// Variance of a model's per-record score, from above.
fn score_variance(release: &Release, model: u16, z: f64) -> f64 {
    let theta = (release.field(model).value / release.records().value).clamp(-0.5, 0.5);
    design_effect(release, model, z).fraction * (0.25 - theta * theta)
}

#[cfg(test)]
mod tests;
