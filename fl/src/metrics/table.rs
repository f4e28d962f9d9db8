//! Tables that views fall into, and the delta method on them.

use super::{Bounds, MetricValue, Reason};
use crate::interval::{Estimate, RECORDS_SIGMAS_MIN, Release};
use crate::schema::{EntryKind, Family, Part};
use libm::sqrt;

/// How many standard deviations of its noise a part of a table must lie above zero to divide by it.
pub(super) const PART_SIGMAS_MIN: f64 = 3.0;

/// A table of noisy counts.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) cells: Vec<Estimate>,
    /// Most views of one record in it: how much larger than a multinomial's the sampling variance
    /// can be.
    pub(super) cluster: f64,
}

impl Table {
    /// The table of a model, for one slice or summed over all.
    pub(super) fn read(release: &Release, part: Part, model: u16, slice: Option<u16>) -> Option<Self> {
        let schema = release.schema();
        let cells = u16::try_from(schema.block(Family::Part(part))?.cells).ok()?;
        let tables = match slice {
            Some(slice) => slice..slice + 1,
            None => 0..schema.slices_of(part),
        };
        let cell = |cell: u16| {
            let each = tables.clone().map(|slice| {
                release.count(EntryKind::Cell {
                    part,
                    model,
                    slice,
                    cell,
                })
            });
            each.sum::<Option<Estimate>>()
        };
        Some(Self {
            cells: (0..cells).map(cell).collect::<Option<_>>()?,
            cluster: if slice.is_some() {
                1.0
            } else {
                schema.slices() as f64
            },
        })
    }

    pub(super) fn total(&self) -> Estimate {
        self.cells.iter().copied().sum()
    }

    /// A function of the cells by the delta method, within a range. Sampling variance is that of
    /// a multinomial, Σcg² − (Σcg)²/N, times the most views of a record.
    pub(super) fn delta(
        &self,
        range: (f64, f64),
        f: impl Fn(&[f64]) -> Option<f64>,
        undefined: Reason,
    ) -> MetricValue {
        let total = self.total();
        if !large(&total, RECORDS_SIGMAS_MIN) {
            return MetricValue::none(Reason::TooFewRecords);
        }
        let values: Vec<f64> = self.cells.iter().map(|cell| cell.value).collect();
        let (Some(value), Some(gradient)) = (f(&values), gradient(&values, &f)) else {
            return MetricValue::none(undefined);
        };
        let noise: f64 = self
            .cells
            .iter()
            .zip(&gradient)
            .map(|(cell, g)| cell.variance * g * g)
            .sum();
        let weighted = |power: i32| -> f64 {
            let each = values.iter().zip(&gradient);
            each.map(|(count, g)| count.max(0.0) * if power == 1 { *g } else { g * g })
                .sum()
        };
        let sampling = (weighted(2) - weighted(1) * weighted(1) / total.value).max(0.0) * self.cluster;
        Bounds::normal(value, noise, sampling, self.cluster > 1.0).rounded(range)
    }
}

/// Whether an estimate is at least 1 and so many standard deviations above zero.
pub(super) fn large(estimate: &Estimate, sigmas: f64) -> bool {
    estimate.value >= 1.0 && estimate.value >= sigmas * sqrt(estimate.variance)
}

/// Central differences, with steps small against the counts that a function depends on.
pub(super) fn gradient(values: &[f64], f: &impl Fn(&[f64]) -> Option<f64>) -> Option<Vec<f64>> {
    let mut moved = values.to_vec();
    let total: f64 = values.iter().map(|value| value.abs()).sum();
    let step = 1e-5 * total.max(1.0);
    let mut gradient = Vec::with_capacity(values.len());
    for (at, &value) in values.iter().enumerate() {
        let mut shifted = |by: f64| {
            *moved.get_mut(at)? = value + by;
            f(&moved)
        };
        let (above, below) = (shifted(step)?, shifted(-step)?);
        shifted(0.0);
        gradient.push((above - below) / (2.0 * step));
    }
    Some(gradient)
}

impl std::iter::Sum for Estimate {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        let zero = Self {
            value: 0.0,
            variance: 0.0,
        };
        iter.fold(zero, |sum, next| Self {
            value: sum.value + next.value,
            variance: sum.variance + next.variance,
        })
    }
}
