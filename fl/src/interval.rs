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
//! marked conservative. Estimated variances carry noise themselves; one standard deviation of it
//! is added. Numbers are computed in a fixed order with `libm` and rounded once, to 1e-6.
//!
//! Level: 95% for one score by itself. Comparing scores is the business of [`crate::rank`].

use crate::normal::Z95;
use libm::sqrt;
use serde::{Deserialize, Serialize};

mod fieller;
mod micro;
mod plan;
mod release;

pub(crate) use fieller::{Ratio, Sampling};
pub use micro::Micro;
pub use plan::{Expected, HalfWidth, expected_half_width};
pub use release::{Estimate, Release, ReleaseError};

/// A score is not estimable unless the noisy record count is this many standard deviations of its
/// noise above zero.
pub const RECORDS_SIGMAS_MIN: f64 = 5.0;

/// How many standard deviations of their own noise estimated variances are raised by.
pub(crate) const VARIANCE_MARGIN: f64 = 1.0;

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
        /// Whether the worst-case correlation was assumed for want of squared scores.
        conservative: bool,
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
    score(&release.cell(model, slice), &release.records(), 1.0, false)
}

/// A model's field score: the mean of its rates over all slices.
pub fn field_score(release: &Release, model: u16) -> Score {
    let effect = design_effect(release, model);
    score(
        &release.field(model),
        &release.records(),
        effect.fraction,
        effect.assumed,
    )
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

/// Whether ratios over the record count make sense.
pub(crate) fn estimable(records: &Estimate) -> bool {
    records.value >= 1.0 && records.value >= RECORDS_SIGMAS_MIN * sqrt(records.variance)
}

fn score(half_sum: &Estimate, records: &Estimate, fraction: f64, conservative: bool) -> Score {
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
    let noise = ratio.bounds(Z95, Sampling::None);
    let full = ratio.within_half().bounds(Z95, Sampling::Bernoulli { fraction });
    let (Some(noise), Some(full)) = (noise, full) else {
        return not_estimable;
    };
    let rate = |theta: f64| Micro::from_f64((0.5 + theta).clamp(0.0, 1.0));
    Score::Estimated {
        value: rate(ratio.value()),
        noise: Interval {
            low: rate(noise.0),
            high: rate(noise.1),
        },
        full: Interval {
            low: rate(full.0.min(noise.0)),
            high: rate(full.1.max(noise.1)),
        },
        conservative,
    }
}

/// The sampling variance of a model's per-record score as a fraction of the Bernoulli variance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DesignEffect {
    /// Between 0 and 1.
    pub(crate) fraction: f64,
    /// Whether 1 was assumed for want of squares.
    pub(crate) assumed: bool,
}

/// Estimates the fraction from the squared per-record scores: Var(x) = E[x²] − E[x]², where the
/// noise in E[x] biases its square by its variance, plus a margin for the noise in the estimate.
/// Scores lie in 0..1, so the variance is at most the Bernoulli variance F(1 − F).
pub(crate) fn design_effect(release: &Release, model: u16) -> DesignEffect {
    if release.schema().slices() == 1 {
        return DesignEffect {
            fraction: 1.0,
            assumed: false,
        };
    }
    let Some(squares) = release.squares(model) else {
        return DesignEffect {
            fraction: 1.0,
            assumed: true,
        };
    };
    let (records, field) = (release.records(), release.field(model));
    let n = records.value.max(1.0);
    let theta = (field.value / n).clamp(-0.5, 0.5);
    let bernoulli = 0.25 - theta * theta;
    let (rate, square) = (0.5 + theta, 0.5 + squares.value / n);
    let field_noise = (field.variance + theta * theta * records.variance) / (n * n);
    let through_records = square - 0.5 - 2.0 * rate * theta;
    let noise = squares.variance
        + 4.0 * rate * rate * field.variance
        + through_records * through_records * records.variance;
    let variance = square - rate * rate + field_noise + VARIANCE_MARGIN * sqrt(noise) / n;
    let fraction = if bernoulli > 1e-6 {
        (variance / bernoulli).clamp(0.0, 1.0)
    } else {
        1.0
    };
    DesignEffect {
        fraction,
        assumed: false,
    }
}

#[cfg(test)]
mod tests;
