//! Metrics of a regression, from sums of errors and targets as parts of the declared range R.
//!
//! - RMSE = R·√(Σe²/n), MAE = R·Σ|e|/n, bias = R·Σe/n
//! - R² = 1 − (Σe²/n) / (Σy²/n − (Σy/n)²)
//!
//! Errors are per record: the mean over its views. Values are in steps of 1/4096 of the
//! range (of its square for squares), rounded to the nearest. The sampling variance of R² is bounded
//! by (√(A(1−A))/B + A·√(B(1−B))/B²)²/n with A = Σe²/n and B the variance of y: squares lie in 0..1,
//! and their correlation is not known.

use super::calibration::{mean, sums};
use super::table::{PART_SIGMAS_MIN, gradient};
use super::{Bounds, Found, Metric, MetricValue, Reason};
use crate::interval::{Release, estimable};
use crate::schema::Part;
use libm::{fabs, sqrt};

/// All metrics of a model's errors.
pub(super) fn metrics(
    release: &Release,
    model: u16,
    slice: Option<u16>,
    range: Option<(f64, f64)>,
) -> Vec<Found> {
    let width = range.map_or(1.0, |(low, high)| high - low);
    let value = |part, map: &dyn Fn(f64) -> f64| mean(release, part, model, slice, map);
    vec![
        (
            Metric::Rmse,
            None,
            value(Part::SquaredError, &|square| width * sqrt(square)),
        ),
        (
            Metric::Mae,
            None,
            value(Part::AbsoluteError, &|error| width * error),
        ),
        (
            Metric::Bias,
            None,
            value(Part::Error, &|half| width * (2.0 * half - 1.0)),
        ),
        (Metric::R2, None, r_squared(release, model, slice)),
    ]
}

fn r_squared(release: &Release, model: u16, slice: Option<u16>) -> MetricValue {
    let read = |part, model| sums(release, part, model, slice);
    let (Some((errors, records)), Some((targets, _)), Some((squares, _))) = (
        read(Part::SquaredError, model),
        read(Part::Target, 0),
        read(Part::SquaredTarget, 0),
    ) else {
        return MetricValue::none(Reason::TooFewRecords);
    };
    if !estimable(&records) {
        return MetricValue::none(Reason::TooFewRecords);
    }
    let inputs = [records, errors, targets, squares];
    let values = inputs.map(|estimate| estimate.value);
    let (residual, spread) = parts(&values);
    let spread_noise = |v: &[f64]| Some(parts(v).1);
    let noise_of = |gradient: &[f64]| -> f64 {
        let each = inputs.iter().zip(gradient);
        each.map(|(input, g)| input.variance * g * g).sum()
    };
    let deviation = gradient(&values, &spread_noise).map(|g| sqrt(noise_of(&g)));
    if deviation.is_none_or(|deviation| spread <= (PART_SIGMAS_MIN * deviation).max(1e-4)) {
        return MetricValue::none(Reason::NoVariation);
    }
    let f = |v: &[f64]| {
        let (residual, spread) = parts(v);
        (spread > 0.0).then(|| 1.0 - residual / spread)
    };
    let (Some(value), Some(slopes)) = (f(&values), gradient(&values, &f)) else {
        return MetricValue::none(Reason::NoVariation);
    };
    let (a, b) = (residual.clamp(0.0, 1.0), spread.clamp(1e-4, 0.25));
    let deviation = sqrt(a * (1.0 - a)) / b + a * sqrt(b * (1.0 - b)) / (b * b);
    let sampling = deviation * deviation / records.value;
    Bounds::normal(value, noise_of(&slopes), sampling, true).rounded((f64::NEG_INFINITY, 1.0))
}

/// Σe²/n and the variance of y, from n and sums less one half a record.
fn parts(values: &[f64]) -> (f64, f64) {
    let [n, errors, targets, squares] = *values else {
        return (0.0, 0.0);
    };
    let n = if fabs(n) > 0.0 { n } else { 1.0 };
    let mean = |half_sum: f64| 0.5 + half_sum / n;
    let target = mean(targets);
    (mean(errors), mean(squares) - target * target)
}
