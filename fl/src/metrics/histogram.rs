//! The area under the ROC curve, from histograms of the positive class's score.
//!
//! AUROC = Σ_b pos_b·(Σ_{a<b} neg_a + ½·neg_b) / (P·N): the probability that a positive view scores
//! above a negative one, with views of the same bin as ties. Bins lose at most half the probability
//! that two views share one.

use super::table::{PART_SIGMAS_MIN, Table, large};
use super::{MetricValue, Reason};
use crate::interval::{Estimate, Release};
use crate::schema::Part;

/// The area under a model's curve.
pub(super) fn auroc(release: &Release, model: u16, slice: Option<u16>) -> MetricValue {
    let Some(table) = Table::read(release, Part::Histogram, model, slice) else {
        return MetricValue::none(Reason::TooFewRecords);
    };
    let bins = table.cells.len() / 2;
    let negatives: Estimate = table.cells.iter().take(bins).copied().sum();
    let positives: Estimate = table.cells.iter().skip(bins).copied().sum();
    if !large(&negatives, PART_SIGMAS_MIN) || !large(&positives, PART_SIGMAS_MIN) {
        return MetricValue::none(Reason::TooFewOfAClass);
    }
    table.delta((0.0, 1.0), |cells| area(cells, bins), Reason::TooFewOfAClass)
}

fn area(cells: &[f64], bins: usize) -> Option<f64> {
    let (negatives, positives) = cells.split_at_checked(bins)?;
    let (mut below, mut area) = (0.0, 0.0);
    for (negative, positive) in negatives.iter().zip(positives) {
        area += positive * (below + negative / 2.0);
        below += negative;
    }
    let total = below * positives.iter().sum::<f64>();
    (total > 0.0).then(|| area / total)
}
