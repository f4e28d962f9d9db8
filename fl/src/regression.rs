//! Whether one model is significantly worse than another on some slice: a release against its parent.
//!
//! **On one board** both models were judged on the same records. Per slice h = Σ(x_new − x_old) is compared
//! against zero as [`crate::rank`] compares field scores; no statistic says how the two correlate on one
//! slice, so the sampling variance is the worst case (√V_new + √V_old)², and every finding is marked
//! conservative.
//!
//! **Across boards** nothing is known of how the records relate, and the two populations may differ. The
//! releases' intervals on slices of equal name must be disjoint, each at half of the slice's error. That
//! holds whatever the dependence; what it says is about the two boards' populations.
//!
//! In both cases the slices share [`FAMILY_ERROR`] (Bonferroni over the slices compared), so that all
//! findings of one comparison hold together with 95%.

use crate::interval::{Estimate, Interval, Micro, Ratio, Release, Sampling, showable};
use crate::normal::upper_quantile;
use crate::rank::FAMILY_ERROR;
use libm::sqrt;

/// A slice on which the newer model is significantly worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// Index of the slice on the newer model's board.
    pub slice: u16,
    /// Score of the newer model minus that of the older.
    pub difference: Micro,
    /// Interval of the difference at the family's level; lies below zero.
    pub interval: Interval,
}

/// Slices of one board on which model `newer` is significantly worse than model `older`.
///
/// None when there are too few records, or an index is outside the board.
#[must_use]
pub fn on_one_board(release: &Release, newer: u16, older: u16) -> Vec<Drop> {
    let params = release.schema().params();
    if newer == older || newer.max(older) >= params.models {
        return Vec::new();
    }
    let z = upper_quantile(FAMILY_ERROR / (2.0 * f64::from(params.slices.max(1))));
    let slices = 0..params.slices;
    slices
        .filter_map(|slice| {
            let records = release.views(slice);
            showable(&records).then_some(())?;
            let (new, old) = (release.cell(newer, slice), release.cell(older, slice));
            let spread = deviation(&new, &records) + deviation(&old, &records);
            let ratio = Ratio {
                numerator: Estimate {
                    value: new.value - old.value,
                    variance: new.variance + old.variance,
                },
                denominator: records,
            };
            let variance = (ratio.value() * ratio.value() + spread * spread).min(1.0);
            let bounds = ratio.bounds(z, Sampling::Fixed { variance })?;
            dropped(slice, ratio.value(), bounds)
        })
        .collect()
}

/// One model on a board.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The board's aggregate.
    pub release: &'a Release,
    /// Index of the model on it.
    pub model: u16,
}

/// Slices on which `newer` is significantly worse than `older` on another board. `slices` pairs the index
/// of each slice on the newer board with that of the same name on the older.
#[must_use]
pub fn across_boards(newer: Standing<'_>, older: Standing<'_>, slices: &[(u16, u16)]) -> Vec<Drop> {
    let z = upper_quantile(FAMILY_ERROR / (2.0 * slices.len().max(1) as f64));
    let drops = slices.iter().filter_map(|&(slice, there)| {
        let (value, new) = rate(newer, slice, z)?;
        let (before, old) = rate(older, there, z)?;
        dropped(slice, value - before, (new.0 - old.1, new.1 - old.0))
    });
    drops.collect()
}

/// A model's rate on a slice less one half, with its interval from sampling and noise.
fn rate(standing: Standing<'_>, slice: u16, z: f64) -> Option<(f64, (f64, f64))> {
    let (release, model) = (standing.release, standing.model);
    let (params, records) = (release.schema().params(), release.views(slice));
    if model >= params.models || slice >= params.slices || !showable(&records) {
        return None;
    }
    let ratio = Ratio {
        numerator: release.cell(model, slice),
        denominator: records,
    };
    let noise = ratio.bounds(z, Sampling::None)?;
    let full = ratio
        .within_half()
        .bounds(z, Sampling::Bernoulli { fraction: 1.0 })?;
    let bounds = (noise.0.min(full.0), noise.1.max(full.1));
    Some((ratio.value().clamp(-0.5, 0.5), bounds))
}

/// Standard deviation of one record's correctness.
fn deviation(cell: &Estimate, records: &Estimate) -> f64 {
    let theta = (cell.value / records.value).clamp(-0.5, 0.5);
    sqrt(0.25 - theta * theta)
}

fn dropped(slice: u16, difference: f64, bounds: (f64, f64)) -> Option<Drop> {
    let clamp = |value: f64| Micro::from_f64(value.clamp(-1.0, 1.0));
    (bounds.1 < 0.0).then(|| Drop {
        slice,
        difference: clamp(difference),
        interval: Interval {
            low: clamp(bounds.0),
            high: clamp(bounds.1),
        },
    })
}

#[cfg(test)]
mod tests;
