//! Bradley–Terry strengths with intervals, from noisy paired win counts.
//!
//! Model a beats model b with probability 1/(1 + e^−(s_a − s_b)) (Bradley and Terry 1952); strengths
//! sum to zero and a difference of ln 3 means three wins to one loss. Ties are left out. The counts
//! carry noise of known variance, so strengths solve the likelihood's equations with the noisy
//! counts in them, which stay unbiased because they are linear in the counts: for every model a,
//!
//! `Σ_b [(1 − p_ab)·wins_ab − p_ab·losses_ab] = λ·s_a`
//!
//! by Newton's method. Intervals come from the sandwich J⁻¹ΣJ⁻¹: J is the equations' slope, and Σ
//! adds up per pair the sampling variance n·p(1 − p) and the noise (1 − p)²V_wins + p²V_losses.
//!
//! Two things that ordinary tables do not have:
//! - *Dependence.* Pairs judged on the same records are not independent. Their covariances are not
//!   known, so the worst case is taken: standard deviations are added, and the result is marked
//!   conservative.
//! - *Separation.* A model that never lost (or a group that never lost to the rest) has no finite
//!   strength. A normal prior of deviation [`PRIOR_DEVIATION`] (λ = 1/25) keeps it finite; it is worth
//!   less than a sixth of one comparison, so where there is data it changes nothing that is shown.
//!   Models whose bounds lean on the prior alone are marked `separated`.
//!
//! Rank sets are those of [`crate::rank`]: simultaneous intervals of all differences (Bonferroni).
//! Time grows with the fourth power of the number of models: about 10 ms for fifty.

use crate::interval::{Estimate, Interval, Micro, RECORDS_SIGMAS_MIN};
use crate::normal::{Z95, upper_quantile};
use crate::rank::{FAMILY_ERROR, RankSet};
use libm::{exp, sqrt};
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod counts;
mod graph;
mod matrix;

pub use counts::of_release;

use matrix::Matrix;

/// Standard deviation of the prior on a strength: e⁵ wins to one loss.
pub const PRIOR_DEVIATION: f64 = 5.0;
/// Most models in one fit.
pub const MODELS_MAX: usize = 512;

/// Newton steps after which a fit is given up.
const STEPS_MAX: u32 = 100;
/// Largest change of a strength in one step.
const STEP_MAX: f64 = 2.0;
/// A step below this ends the iteration.
const STEP_DONE: f64 = 1e-10;

/// How often two models won against each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairCount {
    /// Index of the first model.
    pub first: u16,
    /// Index of the second model.
    pub second: u16,
    /// Comparisons that the first won, with the variance of the noise in the count.
    pub wins: Estimate,
    /// Comparisons that the second won, with the variance of the noise in the count; its noise is
    /// independent of that in `wins`.
    pub losses: Estimate,
}

/// What is known of the dependence between the comparisons of different pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// Every comparison is of its own record.
    Independent,
    /// Different pairs are compared on the same records: the worst case is assumed.
    SharedRecords,
}

/// Why counts are not usable at all.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum FitError {
    /// No model, or too many.
    #[error("{found} models, must be between 1 and {MODELS_MAX}")]
    Models {
        /// Number given.
        found: usize,
    },
    /// A pair of a model with itself, of one that does not exist, or a second count of a pair.
    #[error("pair {index}: models {first} and {second} make no pair of their own among {models}")]
    Pair {
        /// Index of the pair.
        index: usize,
        /// First model.
        first: u16,
        /// Second model.
        second: u16,
        /// Number of models.
        models: usize,
    },
    /// A count or a variance is not finite, or the variance is negative.
    #[error("pair {index}: a count is not a finite number with a variance of at least zero")]
    Count {
        /// Index of the pair.
        index: usize,
    },
}

/// Why there are no strengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
#[non_exhaustive]
pub enum NotEstimable {
    /// Some model's number of comparisons drowns in its noise.
    TooFewComparisons {
        /// Index of the first such model.
        model: u16,
    },
    /// Some models were never compared with the others, not even by way of third ones.
    NotConnected {
        /// Index of a model that the first one cannot be compared with.
        model: u16,
    },
    /// The noise in the counts leaves the equations without a solution.
    Drowned,
}

/// One model's strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strength {
    /// Logarithm of the odds against an average model.
    pub value: Micro,
    /// Its 95% interval.
    pub interval: Interval,
    /// Ranks that the model can have.
    pub rank: RankSet,
    /// Whether it never clearly lost to, or never clearly won against, some group of models, so that
    /// one end of its interval leans on the prior.
    pub separated: bool,
}

/// Strengths of all models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// One per model.
    pub strengths: Vec<Strength>,
    /// Whether any two models are told apart; if not, they are not yet separable.
    pub separable: bool,
    /// Whether the worst-case dependence was assumed.
    pub conservative: bool,
}

/// Fits strengths to counts.
///
/// ```
/// use fieldmark_fl::bradley_terry::{Dependence, PairCount, fit};
/// use fieldmark_fl::interval::Estimate;
/// let count = |value| Estimate { value, variance: 0.0 };
/// let pair = PairCount { first: 0, second: 1, wins: count(300.0), losses: count(100.0) };
/// let fit = fit(2, &[pair], Dependence::Independent)?.expect("two models with 400 comparisons");
/// let difference = fit.strengths[0].value.to_f64() - fit.strengths[1].value.to_f64();
/// assert!((difference - 3f64.ln()).abs() < 1e-3);
/// assert!(fit.separable);
/// # Ok::<(), fieldmark_fl::bradley_terry::FitError>(())
/// ```
///
/// # Errors
/// [`FitError`] when the counts are no counts of pairs. Counts that say too little are no error: the
/// inner result says why.
pub fn fit(
    models: usize,
    pairs: &[PairCount],
    dependence: Dependence,
) -> Result<Result<Fit, NotEstimable>, FitError> {
    check(models, pairs)?;
    Ok(estimable(models, pairs).and_then(|()| {
        let (strengths, slope) = solve(models, pairs).ok_or(NotEstimable::Drowned)?;
        let inverse = slope.inverse().ok_or(NotEstimable::Drowned)?;
        let spread = Spread::new(pairs, &strengths, inverse, dependence);
        Ok(read(models, pairs, &strengths, &spread, dependence))
    }))
}

fn check(models: usize, pairs: &[PairCount]) -> Result<(), FitError> {
    if models == 0 || models > MODELS_MAX {
        return Err(FitError::Models { found: models });
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, pair) in pairs.iter().enumerate() {
        let (first, second) = (pair.first, pair.second);
        let known = usize::from(first.max(second)) < models;
        if first == second || !known || !seen.insert((first.min(second), first.max(second))) {
            return Err(FitError::Pair {
                index,
                first,
                second,
                models,
            });
        }
        let sound =
            |count: Estimate| count.value.is_finite() && (0.0..f64::INFINITY).contains(&count.variance);
        if !sound(pair.wins) || !sound(pair.losses) {
            return Err(FitError::Count { index });
        }
    }
    Ok(())
}

/// Whether every model has comparisons beyond their noise, and all hang together.
fn estimable(models: usize, pairs: &[PairCount]) -> Result<(), NotEstimable> {
    if models == 1 {
        return Ok(());
    }
    let index = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    if let Some(at) = graph::unreachable(models, pairs) {
        return Err(NotEstimable::NotConnected { model: index(at) });
    }
    for at in 0..models {
        let model = index(at);
        let of = |pair: &&PairCount| pair.first == model || pair.second == model;
        let (value, variance) = pairs
            .iter()
            .filter(of)
            .fold((0.0, 0.0), |(value, variance), pair| {
                (
                    value + pair.wins.value + pair.losses.value,
                    variance + pair.wins.variance + pair.losses.variance,
                )
            });
        if value < 1.0 || value < RECORDS_SIGMAS_MIN * sqrt(variance) {
            return Err(NotEstimable::TooFewComparisons { model });
        }
    }
    Ok(())
}

/// Strengths and the slope of the equations there; nothing if there is no solution.
fn solve(models: usize, pairs: &[PairCount]) -> Option<(Vec<f64>, Matrix)> {
    let prior = 1.0 / (PRIOR_DEVIATION * PRIOR_DEVIATION);
    let mut strengths = vec![0.0; models];
    for _ in 0..STEPS_MAX {
        let mut score: Vec<f64> = strengths.iter().map(|strength| -prior * strength).collect();
        let mut slope = Matrix::diagonal(models, prior);
        for pair in pairs {
            let (a, b) = (usize::from(pair.first), usize::from(pair.second));
            let p = chance(&strengths, pair);
            let residual = (1.0 - p) * pair.wins.value - p * pair.losses.value;
            if let (Some(own), Some(weight)) = (score.get_mut(a), Some(p * (1.0 - p))) {
                *own += residual;
                slope.add_pair(a, b, weight * (pair.wins.value + pair.losses.value));
            }
            if let Some(other) = score.get_mut(b) {
                *other -= residual;
            }
        }
        let step = slope.solve(&score)?;
        let largest = step.iter().fold(0.0f64, |most, change| most.max(change.abs()));
        let scale = (STEP_MAX / largest.max(1e-300)).min(1.0);
        for (strength, change) in strengths.iter_mut().zip(&step) {
            *strength += scale * change;
        }
        if largest < STEP_DONE {
            return Some((strengths, slope));
        }
    }
    None
}

/// The chance that the first model of a pair wins.
fn chance(strengths: &[f64], pair: &PairCount) -> f64 {
    let of = |model: u16| strengths.get(usize::from(model)).copied().unwrap_or(0.0);
    1.0 / (1.0 + exp(of(pair.second) - of(pair.first)))
}

/// What the standard deviation of any combination of strengths follows from.
struct Spread {
    inverse: Matrix,
    /// Per pair: both models, sampling and noise variance of the pair's residual.
    pairs: Vec<(usize, usize, f64, f64)>,
    dependence: Dependence,
}

impl Spread {
    fn new(pairs: &[PairCount], strengths: &[f64], inverse: Matrix, dependence: Dependence) -> Self {
        let variances = |pair: &PairCount| {
            let p = chance(strengths, pair);
            let count = (pair.wins.value + pair.losses.value).max(0.0);
            let noise = (1.0 - p) * (1.0 - p) * pair.wins.variance + p * p * pair.losses.variance;
            let models = (usize::from(pair.first), usize::from(pair.second));
            (models.0, models.1, count * p * (1.0 - p), noise)
        };
        Self {
            inverse,
            pairs: pairs.iter().map(variances).collect(),
            dependence,
        }
    }

    /// Standard deviation of the strength of `a` less, if given, that of `b`.
    fn deviation(&self, a: usize, b: Option<usize>) -> f64 {
        let row = |model: usize| self.inverse.row(model);
        let weights: Vec<f64> = match b {
            None => row(a).to_vec(),
            Some(b) => row(a)
                .iter()
                .zip(row(b))
                .map(|(one, other)| one - other)
                .collect(),
        };
        let weight = |model: usize| weights.get(model).copied().unwrap_or(0.0);
        let (mut independent, mut added, mut noise) = (0.0, 0.0, 0.0);
        for &(first, second, sampling, of_noise) in &self.pairs {
            let factor = weight(first) - weight(second);
            independent += factor * factor * sampling;
            added += factor.abs() * sqrt(sampling);
            noise += factor * factor * of_noise;
        }
        let sampling = match self.dependence {
            Dependence::Independent => independent,
            Dependence::SharedRecords => added * added,
        };
        sqrt(sampling + noise)
    }

    /// The deviation of a strength that leans on the prior is at least the prior's own part.
    fn with_prior(&self, model: usize, deviation: f64) -> f64 {
        let own = self.inverse.row(model).get(model).copied().unwrap_or(0.0);
        deviation.max(sqrt(own.max(0.0)))
    }
}

fn read(
    models: usize,
    pairs: &[PairCount],
    strengths: &[f64],
    spread: &Spread,
    dependence: Dependence,
) -> Fit {
    let separated = graph::separated(models, pairs);
    let count = models * models.saturating_sub(1) / 2;
    let z = upper_quantile(FAMILY_ERROR / (2.0 * count.max(1) as f64));
    let last = u16::try_from(models).unwrap_or(u16::MAX);
    let mut ranks = vec![RankSet { best: 1, worst: last }; models];
    let mut separable = false;
    for (a, &one) in strengths.iter().enumerate() {
        for (b, &other) in strengths.iter().enumerate().skip(a + 1) {
            if (one - other).abs() > z * spread.deviation(a, Some(b)) {
                separable = true;
                let (winner, loser) = if one > other { (a, b) } else { (b, a) };
                if let Some(set) = ranks.get_mut(winner) {
                    set.worst -= 1;
                }
                if let Some(set) = ranks.get_mut(loser) {
                    set.best += 1;
                }
            }
        }
    }
    let rows = strengths.iter().zip(ranks).zip(separated).enumerate();
    Fit {
        strengths: rows
            .map(|(model, ((&value, rank), separated))| {
                let deviation = spread.deviation(model, None);
                let half = Z95
                    * if separated {
                        spread.with_prior(model, deviation)
                    } else {
                        deviation
                    };
                Strength {
                    value: Micro::from_f64(value),
                    interval: Interval {
                        low: Micro::from_f64(value - half),
                        high: Micro::from_f64(value + half),
                    },
                    rank,
                    separated,
                }
            })
            .collect(),
        separable,
        conservative: dependence == Dependence::SharedRecords,
    }
}

#[cfg(test)]
mod tests;
