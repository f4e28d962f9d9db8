//! Scores with intervals, from a released vector.
//!
//! A score is a ratio of two noisy numbers: with h = Σ(x − ½) over records and n their number, a
//! model's rate is ½ + h/n. Both carry noise of known variance, so intervals are Fieller's: the
//! set of all θ for which h − θn is within z standard deviations of zero, which handles the noise
//! in the denominator exactly. Two intervals are given:
//! - *noise*: what the contributors' records would show without noise;
//! - *full*: the rate of the population that the records are drawn from (these contributors'
//!   distributions). The sampling variance of a cell is that of a Bernoulli variable, of a field
//!   score (the mean over slices, whose views share a record) a fraction of it that is estimated
//!   from the squared per-record scores. As in Wilson's interval it is taken at the θ under test,
//!   so the interval behaves near 0 and 1.
//!
//! Without squares the fraction is taken as 1, its largest possible value, and the score is
//! marked conservative. Estimated variances carry noise themselves, which makes a normal interval
//! cover too little; see [`raised`] for the correction. A score one of whose intervals ends at 0 or
//! 1 is marked so, because such an interval covers more than it says. How often intervals cover is
//! in `docs/coverage.md`. Numbers are computed in a fixed order with `libm` and rounded once, to
//! 1e-6.
//!
//! Level: 95% for one score by itself. Comparing scores is the business of [`crate::rank`].

use crate::normal::{Z95, cdf};
use libm::{exp, sqrt};
use serde::{Deserialize, Serialize};

mod agreement;
mod fieller;
mod micro;
mod plan;
mod release;
mod weights;

pub use agreement::{Agreement, view_correlation};
pub(crate) use fieller::{Ratio, Sampling};
pub use micro::Micro;
pub use plan::{Expected, HalfWidth, Typical, VIEW_CORRELATION, expected_half_width};
pub use release::{Estimate, Release, ReleaseError};
pub(crate) use weights::weighted_deviation;
pub use weights::{WEIGHT_MAX, Weights, WeightsError};

/// A score is not estimable unless the noisy record count is this many standard deviations of its
/// noise above zero.
pub const RECORDS_SIGMAS_MIN: f64 = 5.0;

/// A cell is hidden unless the whole 95% interval of its count of records lies at or above this: a rate of 20
/// records has a sampling half-width of up to 0.2 without any noise, and one record moves it by 0.05.
pub const CELL_RECORDS_MIN: f64 = 20.0;

/// A margin is much from this part of the whole variance on: 2.5% of an interval's width.
const VARIANCE_RAISE_MUCH: f64 = 0.05;

/// Bounds of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound.
    pub low: Micro,
    /// Upper bound.
    pub high: Micro,
}

/// Why a score cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NotEstimable {
    /// The number of records drowns in its noise: too few took part for this ε.
    TooFewRecords,
}

/// A rate between 0 and 1 with its intervals, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Score {
    /// The score could be estimated.
    Estimated {
        /// Point estimate, clamped to 0..1.
        value: Micro,
        /// 95% interval for what these records would show without noise.
        noise: Interval,
        /// 95% interval for the population, from sampling and noise together.
        full: Interval,
        /// Whether the intervals are wider than the 95% ask for, to be safe: the worst-case
        /// correlation was assumed for want of squared scores, or an estimated variance or the
        /// record count is so noisy that the margin for it widens an interval by more than 2.5%.
        conservative: bool,
        /// Whether an end of one of the intervals is 0 or 1: it may then cover more than 95%.
        bound: bool,
    },
    /// The score could not be estimated.
    NotEstimable {
        /// Why.
        reason: NotEstimable,
    },
}

impl Score {
    /// The point estimate, if there is one.
    pub fn value(&self) -> Option<Micro> {
        match self {
            Self::Estimated { value, .. } => Some(*value),
            Self::NotEstimable { .. } => None,
        }
    }

    /// Whether an interval may cover more than 95%: it ends at 0 or 1, or is conservative.
    pub fn marked(&self) -> bool {
        match self {
            Self::Estimated {
                conservative, bound, ..
            } => *conservative || *bound,
            Self::NotEstimable { .. } => false,
        }
    }

    /// The full interval, if there is one.
    pub fn full(&self) -> Option<Interval> {
        match self {
            Self::Estimated { full, .. } => Some(*full),
            Self::NotEstimable { .. } => None,
        }
    }

    /// The noise-only interval, if there is one.
    pub fn noise(&self) -> Option<Interval> {
        match self {
            Self::Estimated { noise, .. } => Some(*noise),
            Self::NotEstimable { .. } => None,
        }
    }
}

/// A model's rate on one slice.
pub fn slice_score(release: &Release, model: u16, slice: u16) -> Score {
    score(&release.cell(model, slice), &release.views(slice), 1.0, false)
}

/// A model's field score: the mean of its rates over all slices.
pub fn field_score(release: &Release, model: u16) -> Score {
    if !release.estimable_slices() {
        return Score::NotEstimable {
            reason: NotEstimable::TooFewRecords,
        };
    }
    let effect = design_effect(release, model, Z95);
    score(
        &release.field(model),
        &release.records(),
        effect.fraction,
        effect.conservative,
    )
}

/// The full interval of a model's field score at z standard deviations, for statements about several scores
/// together; nothing where the score is not shown.
pub fn field_interval(release: &Release, model: u16, z: f64) -> Option<Interval> {
    if !(release.shows_any() && release.estimable_slices()) {
        return None;
    }
    let effect = design_effect(release, model, z);
    let (sum, records) = (release.field(model), release.records());
    score_at(&sum, &records, effect.fraction, effect.conservative, z).full()
}

/// The gap between a model's mean confidence and its field score (positive: over-confident), with
/// its noise-only 95% interval. Nothing without calibration statistics or with too few records.
pub fn calibration_gap(release: &Release, model: u16) -> Option<(Micro, Interval)> {
    let records = release.records();
    let (confidence, field) = (release.confidence(model)?, release.field(model));
    let gap = Estimate {
        value: confidence.value - field.value,
        variance: confidence.variance + field.variance,
    };
    estimable(&records).then_some(())?;
    let ratio = Ratio {
        numerator: gap,
        denominator: records,
    };
    let bounds = ratio.bounds(Z95, Sampling::None)?;
    let clamp = |value: f64| Micro::from_f64(value.clamp(-1.0, 1.0));
    let interval = Interval {
        low: clamp(bounds.0),
        high: clamp(bounds.1),
    };
    Some((clamp(ratio.value()), interval))
}

/// The mean of numbers between 0 and 1 from Σ(x − ½) and their count, with the largest sampling
/// variance that a mean allows.
pub(crate) fn bounded_mean(half_sum: &Estimate, count: &Estimate) -> Score {
    score(half_sum, count, 1.0, true)
}

/// Whether ratios over the record count make sense.
pub(crate) fn estimable(records: &Estimate) -> bool {
    records.value >= 1.0 && records.value >= RECORDS_SIGMAS_MIN * sqrt(records.variance)
}

/// Whether a cell over so many records says enough to be shown: ratios over the count make sense, and the
/// lower end of the count's 95% interval is at least [`CELL_RECORDS_MIN`].
pub(crate) fn showable(records: &Estimate) -> bool {
    estimable(records) && records.value - Z95 * sqrt(records.variance) >= CELL_RECORDS_MIN
}

fn score(half_sum: &Estimate, records: &Estimate, fraction: f64, conservative: bool) -> Score {
    score_at(half_sum, records, fraction, conservative, Z95)
}

fn score_at(half_sum: &Estimate, records: &Estimate, fraction: f64, conservative: bool, z: f64) -> Score {
    let not_estimable = Score::NotEstimable {
        reason: NotEstimable::TooFewRecords,
    };
    if !estimable(records) {
        return not_estimable;
    }
    let ratio = Ratio {
        numerator: *half_sum,
        denominator: *records,
    };
    let noise = ratio.bounds(z, Sampling::None);
    let full = ratio.within_half().bounds(z, Sampling::Bernoulli { fraction });
    let (Some(noise), Some(full)) = (noise, full) else {
        return not_estimable;
    };
    let rate = |theta: f64| Micro::from_f64((0.5 + theta).clamp(0.0, 1.0));
    let between = |low, high| Interval {
        low: rate(low),
        high: rate(high),
    };
    let full = between(full.0.min(noise.0), full.1.max(noise.1));
    Score::Estimated {
        value: rate(ratio.value()),
        noise: between(noise.0, noise.1),
        full,
        conservative: conservative || ratio.doubtful(z),
        bound: full.low <= Micro(0) || full.high >= Micro(Micro::ONE),
    }
}

/// The sampling variance of a model's per-record score as a fraction of the Bernoulli variance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DesignEffect {
    /// Between 0 and 1.
    pub(crate) fraction: f64,
    /// Whether 1 was assumed for want of squares, or the margin is large.
    pub(crate) conservative: bool,
}

/// Estimates the fraction from the squared per-record scores: Var(x) = E[x²] − E[x]², where the
/// noise in E[x] biases its square by its variance, [`raised`] for intervals of z deviations.
/// Scores lie in 0..1, so the variance is at most the Bernoulli variance F(1 − F).
///
/// Of a mean with other than equal weights only bounds are known; see [`weighted_deviation`].
pub(crate) fn design_effect(release: &Release, model: u16, z: f64) -> DesignEffect {
    if release.schema().has_missing_views() {
        return uneven_design_effect(release, model);
    }
    let equal = equal_design_effect(release, model, z);
    let Some(weights) = release.weights() else {
        return equal;
    };
    let n = release.records().value.max(1.0);
    let bernoulli = |sum: Estimate| {
        let theta = (sum.value / n).clamp(-0.5, 0.5);
        0.25 - theta * theta
    };
    let mean = sqrt(equal.fraction * bernoulli(release.equal_field(model)));
    let slices = (0..).take(release.schema().slices());
    let each: Vec<f64> = slices
        .map(|slice| sqrt(bernoulli(release.cell(model, slice))))
        .collect();
    let deviation = weighted_deviation(weights, mean, &each);
    let most = bernoulli(release.field(model)).max(1e-6);
    DesignEffect {
        fraction: (deviation * deviation / most).min(1.0),
        conservative: true,
    }
}

/// Where slices have counts of their own, how their scores agree is not measured: the standard
/// deviations of the slices' means, each √(b/n_s) for a Bernoulli variance b, are added up. The result is
/// per record of all, so a fraction above 1 says that slices have few of the records.
fn uneven_design_effect(release: &Release, model: u16) -> DesignEffect {
    let n = release.records().value.max(1.0);
    let slices = release.schema().slices();
    let shares = release.weights().map(Weights::shares);
    let shares = shares.unwrap_or_else(|| vec![1.0 / slices as f64; slices]);
    let bernoulli = |half_sum: f64, count: f64| {
        let theta = (half_sum / count).clamp(-0.5, 0.5);
        0.25 - theta * theta
    };
    let deviation = |slice: u16| {
        let views = release.views(slice).value.max(1.0);
        sqrt(bernoulli(release.cell(model, slice).value, views) * n / views)
    };
    let sum: f64 = (0..)
        .zip(&shares)
        .map(|(slice, share)| share * deviation(slice))
        .sum();
    let most = bernoulli(release.field(model).value, n).max(1e-6);
    DesignEffect {
        fraction: sum * sum / most,
        conservative: true,
    }
}

fn equal_design_effect(release: &Release, model: u16, z: f64) -> DesignEffect {
    if release.schema().slices() == 1 && release.schema().score_steps() == 1 {
        return DesignEffect {
            fraction: 1.0,
            conservative: false,
        };
    }
    let Some(squares) = release.squares(model) else {
        return DesignEffect {
            fraction: 1.0,
            conservative: true,
        };
    };
    let (records, field) = (release.records(), release.equal_field(model));
    let n = records.value.max(1.0);
    let theta = (field.value / n).clamp(-0.5, 0.5);
    let bernoulli = 0.25 - theta * theta;
    let (rate, square) = (0.5 + theta, 0.5 + squares.value / n);
    let noise = field.variance + theta * theta * records.variance;
    let through_records = square - 0.5 - 2.0 * rate * theta;
    let spread = squares.variance
        + 4.0 * rate * rate * field.variance
        + through_records * through_records * records.variance;
    let variance = VarianceEstimate {
        value: square - rate * rate + noise / (n * n),
        deviation: sqrt(spread) / n,
        most: bernoulli,
    };
    let raised = raised(&variance, noise, n, z);
    DesignEffect {
        fraction: if bernoulli > 1e-6 {
            raised.value / bernoulli
        } else {
            1.0
        },
        conservative: raised.much,
    }
}

/// An estimated variance of one record's contribution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VarianceEstimate {
    /// The estimate, which noise may have pushed outside its range.
    pub(crate) value: f64,
    /// Standard deviation of the noise in it.
    pub(crate) deviation: f64,
    /// The largest that it can be.
    pub(crate) most: f64,
}

/// A variance with its margin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raised {
    /// Between 0 and the largest that it can be.
    pub(crate) value: f64,
    /// Whether the margin widens an interval by more than 2.5%.
    pub(crate) much: bool,
}

/// A variance, within 0 and its largest value, such that intervals of z deviations cover what they
/// should on average over the noise in it.
///
/// With V = `noise` + n·variance the whole variance under an interval, and ρ the relative
/// deviation of its estimate, the interval misses E[2Φ(−z√(1 + ρW))] ≈ 2Φ(−z) + ρ²·zφ(z)·(z² + 1)/4
/// (W standard normal). Raising V by its (z² + 1)/4·ρ² part makes up for that; it is the first
/// term of Student's t with 2/ρ² degrees of freedom in place of the normal distribution. More than z of
/// the estimate's deviations is never added: the variance is hardly ever larger. What an
/// estimate near its largest value loses on average by being kept below it is added too.
pub(crate) fn raised(variance: &VarianceEstimate, noise: f64, n: f64, z: f64) -> Raised {
    let value = variance.value.clamp(0.0, variance.most);
    let deviation = variance.deviation.max(1e-12);
    let whole = (noise + n * value).max(1e-12);
    let second_order = (z * z + 1.0) / 4.0 * n * deviation * deviation / whole;
    let margin = second_order.min(z * deviation);
    let lost = deviation * mean_excess((variance.most - value) / deviation);
    let raised = (value + margin + lost).min(variance.most);
    Raised {
        value: raised,
        much: n * (raised - value) > VARIANCE_RAISE_MUCH * whole,
    }
}

/// E[(W − u)⁺] of a standard normal W.
fn mean_excess(u: f64) -> f64 {
    exp(-u * u / 2.0) / sqrt(2.0 * core::f64::consts::PI) - u * cdf(-u)
}

#[cfg(test)]
mod tests;
