//! Metrics of a confusion table `c[truth][answer]`.
//!
//! - accuracy = Σ c[k][k] / N
//! - precision(k) = c[k][k] / Σ_t c[t][k], recall(k) = c[k][k] / Σ_a c[k][a],
//!   F1(k) = 2c[k][k] / (Σ_t c[t][k] + Σ_a c[k][a]); without a class, the mean over all classes
//! - MCC = (N·Σ c[k][k] − Σ p_k·t_k) / √((N² − Σp_k²)(N² − Σt_k²)) with p_k answers and t_k truths of
//!   class k (Gorodkin 2004)
//!
//! A class whose truths or answers lie within three standard deviations of their noise has no
//! precision or recall, and then neither has the mean.

use super::table::{PART_SIGMAS_MIN, Table, large};
use super::{Found, Metric, MetricValue, Reason};
use crate::interval::{Estimate, Release};
use crate::schema::Part;
use libm::sqrt;

/// All metrics of a model's table.
pub(super) fn metrics(release: &Release, model: u16, slice: Option<u16>) -> Vec<Found> {
    let Some(table) = Table::read(release, Part::Confusion, model, slice) else {
        return Vec::new();
    };
    let classes = table.cells.len().isqrt();
    let mut found = vec![
        (
            Metric::Accuracy,
            None,
            table.delta(
                (0.0, 1.0),
                |cells| accuracy(cells, classes),
                Reason::TooFewRecords,
            ),
        ),
        (
            Metric::Mcc,
            None,
            table.delta((-1.0, 1.0), |cells| mcc(cells, classes), Reason::NoVariation),
        ),
    ];
    for metric in [Metric::Precision, Metric::Recall, Metric::F1] {
        found.push((metric, None, mean(&table, metric, classes)));
        // Classes by slice would be more numbers than anyone reads.
        if slice.is_none() {
            for class in 0..classes {
                let index = u16::try_from(class).ok();
                found.push((metric, index, of_class(&table, metric, class, classes)));
            }
        }
    }
    found
}

fn mean(table: &Table, metric: Metric, classes: usize) -> MetricValue {
    if !(0..classes).all(|class| supported(table, metric, class, classes)) {
        return MetricValue::none(Reason::TooFewOfAClass);
    }
    let f = |cells: &[f64]| {
        let each = (0..classes).map(|class| rate(cells, metric, class, classes));
        let sum: Option<f64> = each.sum();
        Some(sum? / classes as f64)
    };
    table.delta((0.0, 1.0), f, Reason::TooFewOfAClass)
}

fn of_class(table: &Table, metric: Metric, class: usize, classes: usize) -> MetricValue {
    if !supported(table, metric, class, classes) {
        return MetricValue::none(Reason::TooFewOfAClass);
    }
    let f = |cells: &[f64]| rate(cells, metric, class, classes);
    table.delta((0.0, 1.0), f, Reason::TooFewOfAClass)
}

/// Whether the denominator of a class's rate is clear of its noise.
fn supported(table: &Table, metric: Metric, class: usize, classes: usize) -> bool {
    let row = table.cells.iter().skip(class * classes).take(classes).copied();
    let column = table.cells.iter().skip(class).step_by(classes).copied();
    let support: Estimate = match metric {
        Metric::Precision => column.sum(),
        Metric::Recall => row.sum(),
        _ => row.chain(column).sum(),
    };
    large(&support, PART_SIGMAS_MIN)
}

fn rate(cells: &[f64], metric: Metric, class: usize, classes: usize) -> Option<f64> {
    let right = *cells.get(class * classes + class)?;
    let row: f64 = cells.iter().skip(class * classes).take(classes).sum();
    let column: f64 = cells.iter().skip(class).step_by(classes).sum();
    let (numerator, denominator) = match metric {
        Metric::Precision => (right, column),
        Metric::Recall => (right, row),
        _ => (2.0 * right, row + column),
    };
    (denominator > 0.0).then(|| numerator / denominator)
}

fn accuracy(cells: &[f64], classes: usize) -> Option<f64> {
    let total: f64 = cells.iter().sum();
    let right: f64 = cells.iter().step_by(classes + 1).sum();
    (total > 0.0).then(|| right / total)
}

fn mcc(cells: &[f64], classes: usize) -> Option<f64> {
    let total: f64 = cells.iter().sum();
    let right: f64 = cells.iter().step_by(classes + 1).sum();
    let (mut products, mut answers, mut truths) = (0.0, 0.0, 0.0);
    for class in 0..classes {
        let truth: f64 = cells.iter().skip(class * classes).take(classes).sum();
        let answer: f64 = cells.iter().skip(class).step_by(classes).sum();
        products += truth * answer;
        answers += answer * answer;
        truths += truth * truth;
    }
    let (spread, other) = (total * total - answers, total * total - truths);
    // A hundredth of a constant answer's or truth's worth: below, the coefficient is noise.
    let least = 0.01 * total * total;
    (spread > least && other > least).then(|| (total * right - products) / sqrt(spread * other))
}
