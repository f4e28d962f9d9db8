//! Metrics from aggregates: what a released vector says beyond scores.
//!
//! Every metric is a pure function of the tables and sums of a [`Release`]. One file a family; each
//! function documents its formula. Each value comes with two intervals of 95%, like a score: *noise*
//! for what the contributors' records would show without noise, *full* for the population, from
//! sampling and noise together. What drowns in noise is said to be so rather than guessed.
//!
//! Methods:
//! - ratios of a sum and the record count: Fieller's interval, as for scores ([`crate::interval`]);
//! - smooth functions of a table: the delta method with numerical derivatives (`metrics/table.rs`);
//! - distances, which noise only makes larger: the triangle inequality with the distance that noise
//!   alone makes (`metrics/calibration.rs`, `metrics/drift.rs`);
//! - the largest of several differences: simultaneous intervals of all of them
//!   (`metrics/fairness.rs`).
//!
//! Where the correlation of a record's views or of two sums is not measured, its worst case is taken
//! and the value is marked conservative. Everything is computed in a fixed order and rounded once.
//! The list with formulas, sensitivities and bits is `docs/guides/metrics.md`, made from
//! `metrics/guide.rs`.

use crate::interval::{Interval, Micro, NotEstimable, Release, Score};
use crate::schema::{Part, Statistic};
use serde::{Deserialize, Serialize};

mod calibration;
mod confusion;
mod corruption;
mod drift;
mod fairness;
pub mod guide;
mod histogram;
mod regression;
mod table;
#[cfg(test)]
mod tests;

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Metric {
    /// Part of views classified right.
    Accuracy,
    /// Part of views called a class that are of it; without a class, the mean over classes.
    Precision,
    /// Part of a class's views that are called so; without a class, the mean over classes.
    Recall,
    /// Harmonic mean of precision and recall; without a class, the mean over classes.
    F1,
    /// Matthews correlation coefficient of truth and answer.
    Mcc,
    /// Expected calibration error over the bins.
    Ece,
    /// Brier score, 0 to 2.
    Brier,
    /// Mean negative log-likelihood in nats, clipped.
    LogLoss,
    /// Root mean squared error, in the target's unit.
    Rmse,
    /// Mean absolute error, in the target's unit.
    Mae,
    /// Mean error, in the target's unit.
    Bias,
    /// Part of the target's variance explained.
    R2,
    /// Area under the ROC curve, from binned scores.
    Auroc,
    /// Population stability index of the answers against the reference.
    Psi,
    /// Kolmogorov–Smirnov distance of the answers to the reference.
    Ks,
    /// Jensen–Shannon divergence of the answers and the reference, in bits.
    Js,
    /// Population stability index of the inputs' outlyingness against the reference.
    InputPsi,
    /// Kolmogorov–Smirnov distance of the inputs' outlyingness to the reference.
    InputKs,
    /// Jensen–Shannon divergence of the inputs' outlyingness and the reference, in bits.
    InputJs,
    /// Largest difference between groups in the rate of positive answers.
    ParityGap,
    /// Largest difference between groups in the rate of positive answers among equals in truth.
    OddsGap,
    /// Mean over corrupted slices of the error as a part of the first model's error.
    CorruptionError,
    /// Clean score less the mean score of the corrupted slices.
    CorruptionDrop,
}

/// A metric's value with its intervals, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MetricValue {
    /// The metric could be estimated.
    Estimated {
        /// Point estimate.
        value: Micro,
        /// 95% interval for what these records would show without noise.
        noise: Interval,
        /// 95% interval for the population, from sampling and noise together.
        full: Interval,
        /// Whether a worst case stands in for a correlation that was not measured.
        conservative: bool,
    },
    /// The metric could not be estimated.
    NotEstimable {
        /// Why.
        reason: Reason,
    },
}

/// Why a metric cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The records drown in the noise.
    TooFewRecords,
    /// The records of some class drown in the noise.
    TooFewOfAClass,
    /// The records of some group drown in the noise.
    TooFewOfAGroup,
    /// A denominator is too small for its noise: targets or answers hardly vary.
    NoVariation,
    /// The release declares no reference distribution.
    NoReference,
}

impl Reason {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::TooFewRecords => "too few records for this noise",
            Self::TooFewOfAClass => "too few records of some class for this noise",
            Self::TooFewOfAGroup => "too few records of some group for this noise",
            Self::NoVariation => "targets or answers hardly vary",
            Self::NoReference => "the release declares no reference distribution",
        }
    }
}

/// One value of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The metric.
    pub metric: Metric,
    /// Index of the slice; nothing for all slices together.
    pub slice: Option<u16>,
    /// Index of the class; nothing for all classes together.
    pub class: Option<u16>,
    /// The value.
    pub value: MetricValue,
}

/// What metrics need to know besides the vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Index of the slice that stands for the laboratory.
    pub clean_slice: Option<u16>,
    /// Declared range of a regression's target.
    pub target_range: Option<(f64, f64)>,
    /// Each model's reference distribution of answers, as non-negative weights in the order of the
    /// drift table; empty where its release declares none.
    pub references: Vec<Vec<f64>>,
    /// Each model's reference distribution of its inputs' outlyingness, as non-negative weights by bin; empty where
    /// its release brings none.
    pub input_references: Vec<Vec<f64>>,
}

/// All metrics that a model has, for all slices together and, where tables are kept apart, by slice.
pub fn metrics(release: &Release, model: u16, context: &Context) -> Vec<Measured> {
    let collected = release.schema().params().statistics.extra.collected;
    let mut found = Vec::new();
    for statistic in collected.iter() {
        let slices = apart(release, statistic);
        for slice in std::iter::once(None).chain((0..slices).map(Some)) {
            let values = of_statistic(release, statistic, model, slice, context);
            found.extend(values.into_iter().map(|(metric, class, value)| Measured {
                metric,
                slice,
                class,
                value,
            }));
        }
    }
    found.extend(corruption::metrics(release, model, context));
    found.iter_mut().for_each(|measured| hide(release, measured));
    found
}

/// Takes the value of a metric over too few records to be shown.
fn hide(release: &Release, measured: &mut Measured) {
    let shows = measured
        .slice
        .map_or_else(|| release.shows_any(), |slice| release.shows(slice));
    if !shows && measured.value.value().is_some() {
        measured.value = MetricValue::none(Reason::TooFewRecords);
    }
}

/// Slices for which a statistic is kept apart; 0 if it is not.
fn apart(release: &Release, statistic: Statistic) -> u16 {
    let part = Part::ALL.into_iter().find(|part| part.statistic() == statistic);
    let slices = part.map_or(0, |part| release.schema().slices_of(part));
    if slices > 1 { slices } else { 0 }
}

/// A metric, the class it is of, and its value.
type Found = (Metric, Option<u16>, MetricValue);

fn of_statistic(
    release: &Release,
    statistic: Statistic,
    model: u16,
    slice: Option<u16>,
    context: &Context,
) -> Vec<Found> {
    match statistic {
        Statistic::Confusion => confusion::metrics(release, model, slice),
        Statistic::CalibrationBins => vec![(Metric::Ece, None, calibration::ece(release, model, slice))],
        Statistic::Brier => vec![(Metric::Brier, None, calibration::brier(release, model, slice))],
        Statistic::LogLoss => vec![(
            Metric::LogLoss,
            None,
            calibration::log_loss(release, model, slice),
        )],
        Statistic::Regression => regression::metrics(release, model, slice, context.target_range),
        Statistic::ScoreHistogram => vec![(Metric::Auroc, None, histogram::auroc(release, model, slice))],
        Statistic::GroupConfusion => fairness::metrics(release, model),
        Statistic::Drift => drift::of_answers(release, model, slice, context),
        Statistic::InputDrift => drift::of_inputs(release, model, slice, context),
        Statistic::Wins => Vec::new(),
    }
}

impl MetricValue {
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

    fn none(reason: Reason) -> Self {
        Self::NotEstimable { reason }
    }

    /// A score carried through an increasing function. Scores of bounded sums use the largest
    /// variance that their mean allows, so they are conservative.
    fn of_score(score: &Score, map: impl Fn(f64) -> f64) -> Self {
        let map = |micro: Micro| Micro::from_f64(map(micro.to_f64()));
        match score {
            Score::Estimated {
                value, noise, full, ..
            } => {
                let both = |i: &Interval| Interval {
                    low: map(i.low),
                    high: map(i.high),
                };
                Self::Estimated {
                    value: map(*value),
                    noise: both(noise),
                    full: both(full),
                    conservative: true,
                }
            }
            Score::NotEstimable {
                reason: NotEstimable::TooFewRecords,
            } => Self::none(Reason::TooFewRecords),
        }
    }
}

/// A value and its bounds before rounding.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    value: f64,
    noise: (f64, f64),
    full: (f64, f64),
    conservative: bool,
}

impl Bounds {
    /// Rounds once, within the metric's range; the full interval holds the noise interval.
    fn rounded(self, (least, most): (f64, f64)) -> MetricValue {
        let round = |x: f64| Micro::from_f64(x.clamp(least, most));
        let interval = |(low, high): (f64, f64)| Interval {
            low: round(low),
            high: round(high),
        };
        let full = (self.full.0.min(self.noise.0), self.full.1.max(self.noise.1));
        MetricValue::Estimated {
            value: round(self.value),
            noise: interval(self.noise),
            full: interval(full),
            conservative: self.conservative,
        }
    }

    /// A normal estimate with two variances.
    fn normal(value: f64, noise: f64, sampling: f64, conservative: bool) -> Self {
        let around = |variance: f64| {
            let half = crate::normal::Z95 * libm::sqrt(variance.max(0.0));
            (value - half, value + half)
        };
        Self {
            value,
            noise: around(noise),
            full: around(noise + sampling),
            conservative,
        }
    }
}
