//! What corruption does to a model, from the scores of its slices.
//!
//! With E(m, s) one less the score of model m in slice s, over the corrupted slices (all but the
//! clean one):
//! - corruption error = mean of E(m, s) / E(1, s), against the challenge's first model (Hendrycks and
//!   Dietterich 2019, with one severity a slice); below 1 is better than the first model
//! - corruption drop = E(m, s)'s mean less E(m, clean)
//!
//! Noise is propagated by the delta method. How slices and models agree on a record is not measured
//! here, so sampling errors are added up as if they all agreed.

use super::table::gradient;
use super::{Bounds, Context, Measured, Metric, MetricValue, Reason};
use crate::interval::{Estimate, Release, estimable};
use libm::{fabs, sqrt};

/// Least error of the first model that is divided by.
const ERROR_MIN: f64 = 0.005;

/// Both metrics; nothing without a clean and a corrupted slice.
pub(super) fn metrics(release: &Release, model: u16, context: &Context) -> Vec<Measured> {
    let Some(clean) = context.clean_slice else {
        return Vec::new();
    };
    let slices = release.schema().params().slices;
    let corrupted: Vec<u16> = (0..slices).filter(|slice| *slice != clean).collect();
    if corrupted.is_empty() || clean >= slices {
        return Vec::new();
    }
    let mut found = vec![measured(
        Metric::CorruptionDrop,
        drop(release, model, clean, &corrupted),
    )];
    if model != 0 {
        found.push(measured(
            Metric::CorruptionError,
            error(release, model, &corrupted),
        ));
    }
    found
}

fn measured(metric: Metric, value: MetricValue) -> Measured {
    Measured {
        metric,
        slice: None,
        class: None,
        value,
    }
}

/// The counts and half-sums that a metric is made of: for each slice its count, then the half-sum of
/// each model; a slice's count is the same number everywhere when no view may be missing.
struct Inputs {
    estimates: Vec<Estimate>,
    /// Sampling deviation of each estimate given the others.
    deviations: Vec<f64>,
}

impl Inputs {
    fn read(release: &Release, slices: &[u16], models: &[u16]) -> Option<Self> {
        let mut inputs = Self {
            estimates: Vec::new(),
            deviations: Vec::new(),
        };
        let shared = !release.schema().has_missing_views();
        for (at, &slice) in slices.iter().enumerate() {
            let views = release.views(slice);
            estimable(&views).then_some(())?;
            if at == 0 || !shared {
                inputs.estimates.push(views);
                inputs.deviations.push(0.0);
            }
            for &model in models {
                let cell = release.cell(model, slice);
                let theta = (cell.value / views.value).clamp(-0.5, 0.5);
                inputs.estimates.push(cell);
                inputs.deviations.push(sqrt(views.value * (0.25 - theta * theta)));
            }
        }
        Some(inputs)
    }

    fn bounds(&self, f: impl Fn(&[f64]) -> Option<f64>) -> Option<Bounds> {
        let values: Vec<f64> = self.estimates.iter().map(|estimate| estimate.value).collect();
        let (value, gradient) = (f(&values)?, gradient(&values, &f)?);
        let noise: f64 = self
            .estimates
            .iter()
            .zip(&gradient)
            .map(|(estimate, g)| estimate.variance * g * g)
            .sum();
        let deviation: f64 = self
            .deviations
            .iter()
            .zip(&gradient)
            .map(|(d, g)| d * fabs(*g))
            .sum();
        Some(Bounds::normal(value, noise, deviation * deviation, true))
    }
}

/// Splits inputs into one list of errors a slice.
fn errors(values: &[f64], slices: usize, models: usize, shared: bool) -> Option<Vec<Vec<f64>>> {
    let mut rest = values;
    let mut count = 1.0;
    let mut all = Vec::with_capacity(slices);
    for at in 0..slices {
        if at == 0 || !shared {
            let (first, after) = rest.split_first()?;
            (count, rest) = (*first, after);
        }
        let (sums, after) = rest.split_at_checked(models)?;
        rest = after;
        all.push(sums.iter().map(|half_sum| 0.5 - half_sum / count).collect());
    }
    Some(all)
}

fn drop(release: &Release, model: u16, clean: u16, corrupted: &[u16]) -> MetricValue {
    let slices: Vec<u16> = std::iter::once(clean).chain(corrupted.iter().copied()).collect();
    let shared = !release.schema().has_missing_views();
    let Some(inputs) = Inputs::read(release, &slices, &[model]) else {
        return MetricValue::none(Reason::TooFewRecords);
    };
    let f = |values: &[f64]| {
        let all = errors(values, slices.len(), 1, shared)?;
        let (clean, corrupted) = all.split_first()?;
        let sum: f64 = corrupted.iter().flatten().sum();
        Some(sum / corrupted.len() as f64 - clean.first()?)
    };
    let bounds = inputs.bounds(f);
    bounds.map_or(MetricValue::none(Reason::TooFewRecords), |b| {
        b.rounded((-1.0, 1.0))
    })
}

fn error(release: &Release, model: u16, corrupted: &[u16]) -> MetricValue {
    let shared = !release.schema().has_missing_views();
    let Some(inputs) = Inputs::read(release, corrupted, &[model, 0]) else {
        return MetricValue::none(Reason::TooFewRecords);
    };
    let f = |values: &[f64]| {
        let mut sum = 0.0;
        for pair in errors(values, corrupted.len(), 2, shared)? {
            let [own, first] = *pair.as_slice() else {
                return None;
            };
            (first > ERROR_MIN).then_some(())?;
            sum += own / first;
        }
        Some(sum / corrupted.len() as f64)
    };
    let bounds = inputs.bounds(f);
    bounds.map_or(MetricValue::none(Reason::NoVariation), |b| {
        b.rounded((0.0, f64::INFINITY))
    })
}
