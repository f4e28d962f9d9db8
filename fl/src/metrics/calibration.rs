//! Metrics of probabilities: expected calibration error, Brier score and log-loss.
//!
//! - ECE = Σ_b |correct_b − confidence_b| / N over bins of confidence (Naeini et al. 2015), from the
//!   bins' sums of right answers and of confidences. Noise only ever adds to a sum of absolute
//!   values, so the value is Σ_b √max(d_b² − Var(d_b), 0) / N, and its interval is Σ|d_b| with the
//!   95% quantile of Σ|e_b| on both sides, where e_b is the error of bin b (triangle inequality; a
//!   sum of folded normals, taken as normal).
//! - Brier = (2/n)·Σ of half Brier scores, in steps of 1/4096 per record.
//! - log-loss = (6/n)·Σ of clipped losses as parts of 6 nats, in steps of 1/4096 per record.

use super::table::{Table, large};
use super::{Bounds, MetricValue, Reason};
use crate::interval::{Estimate, RECORDS_SIGMAS_MIN, Release, bounded_mean};
use crate::normal::Z95;
use crate::schema::{LOG_LOSS_MAX, Part, STEPS};
use libm::{fabs, sqrt};

/// The 95% point of a normal distribution, one-sided.
const Z_ONE_SIDED: f64 = 1.644_853_626_951_472;

/// The Brier score, 0 to 2.
pub(super) fn brier(release: &Release, model: u16, slice: Option<u16>) -> MetricValue {
    mean(release, Part::Brier, model, slice, |part| 2.0 * part)
}

/// The mean log-loss in nats.
pub(super) fn log_loss(release: &Release, model: u16, slice: Option<u16>) -> MetricValue {
    mean(release, Part::LogLoss, model, slice, |part| LOG_LOSS_MAX * part)
}

/// A quantised mean between 0 and 1, carried through an increasing function.
pub(super) fn mean(
    release: &Release,
    part: Part,
    model: u16,
    slice: Option<u16>,
    map: impl Fn(f64) -> f64,
) -> MetricValue {
    match sums(release, part, model, slice) {
        Some((sum, records)) => MetricValue::of_score(&bounded_mean(&sum, &records), map),
        None => MetricValue::none(Reason::TooFewRecords),
    }
}

/// A part's sum and the number of records or views that it is over.
pub(super) fn sums(
    release: &Release,
    part: Part,
    model: u16,
    slice: Option<u16>,
) -> Option<(Estimate, Estimate)> {
    let slices = release.schema().slices_of(part);
    if slices == 1 {
        return Some((release.sum(part, model, 0)?, release.records()));
    }
    match slice {
        Some(slice) => Some((release.sum(part, model, slice)?, release.views(slice))),
        None => {
            let sum: Option<Estimate> = (0..slices).map(|slice| release.sum(part, model, slice)).sum();
            let views: Estimate = if release.schema().has_missing_views() {
                (0..slices).map(|slice| release.views(slice)).sum()
            } else {
                let (records, times) = (release.records(), f64::from(slices));
                Estimate {
                    value: records.value * times,
                    variance: records.variance * times * times,
                }
            };
            // Views of a record may agree fully: as many independent ones as there are records.
            let scale = 1.0 / f64::from(slices);
            let scaled = |e: Estimate| Estimate {
                value: e.value * scale,
                variance: e.variance * scale * scale,
            };
            Some((scaled(sum?), scaled(views)))
        }
    }
}

/// The expected calibration error.
pub(super) fn ece(release: &Release, model: u16, slice: Option<u16>) -> MetricValue {
    let read = |part| Table::read(release, part, model, slice);
    let (Some(views), Some(confidence), Some(correct)) = (
        read(Part::BinViews),
        read(Part::BinConfidence),
        read(Part::BinCorrect),
    ) else {
        return MetricValue::none(Reason::TooFewRecords);
    };
    let total = views.total();
    if !large(&total, RECORDS_SIGMAS_MIN) {
        return MetricValue::none(Reason::TooFewRecords);
    }
    let steps = f64::from(STEPS);
    let mut sums = Sums::default();
    for ((view, confidence), correct) in views.cells.iter().zip(&confidence.cells).zip(&correct.cells) {
        let gap = correct.value - confidence.value / steps;
        let noise = correct.variance + confidence.variance / (steps * steps);
        // A right answer less a confidence has at most the variance of a fair coin.
        let sampling = 0.25 * view.value.max(0.0) * views.cluster;
        sums.add(gap, noise, sampling);
    }
    let spread = Z95 * sqrt(total.variance);
    let around = |reach: f64| {
        let low = (sums.absolute - reach).max(0.0) / (total.value + spread);
        (low, (sums.absolute + reach) / (total.value - spread))
    };
    Bounds {
        value: sums.centred / total.value,
        noise: around(sums.noise.reach()),
        full: around(sums.full.reach()),
        conservative: true,
    }
    .rounded((0.0, 1.0))
}

#[derive(Default)]
struct Sums {
    absolute: f64,
    centred: f64,
    noise: Folded,
    full: Folded,
}

impl Sums {
    fn add(&mut self, gap: f64, noise: f64, sampling: f64) {
        self.absolute += fabs(gap);
        self.centred += sqrt((gap * gap - noise).max(0.0));
        self.noise.add(noise);
        self.full.add(noise + sampling);
    }
}

/// A sum of absolute values of independent centred normals.
#[derive(Default)]
struct Folded {
    mean: f64,
    variance: f64,
}

impl Folded {
    fn add(&mut self, variance: f64) {
        const TWO_OVER_PI: f64 = core::f64::consts::FRAC_2_PI;
        self.mean += sqrt(variance * TWO_OVER_PI);
        self.variance += variance * (1.0 - TWO_OVER_PI);
    }

    /// What the sum stays below with 95%.
    fn reach(&self) -> f64 {
        self.mean + Z_ONE_SIDED * sqrt(self.variance)
    }
}
