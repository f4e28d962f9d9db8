//! Drift: how far answers and inputs are from the distributions that the release declares as its references.
//!
//! Inputs are told apart by their outlyingness ([`crate::drift::Outlyingness`]). With p the distribution found and r the reference's, both with parts of at least 1/10,000:
//! - PSI = Σ (p − r)·ln(p/r), the population stability index
//! - KS = max_j |Σ_{i≤j} (p_i − r_i)|, in the order of the classes or bins
//! - JS = ½KL(p‖m) + ½KL(r‖m) with m = (p + r)/2, in bits
//!
//! Noise makes every distance larger. KS and √JS are metrics, so what noise alone moves p by bounds
//! the error on both sides; its 95% quantile comes from 400 draws with a fixed seed. √PSI is treated
//! alike, which holds for small shifts (it is then a weighted Euclidean distance). The values of PSI
//! and JS have what noise adds on average taken off.

use super::table::{Table, large};
use super::{Bounds, Context, Found, Metric, MetricValue, Reason};
use crate::interval::{Estimate, RECORDS_SIGMAS_MIN, Release};
use crate::schema::Part;
use crate::synthetic::Draws;
use libm::{fabs, log, log2, sqrt};

/// Draws of noise.
const DRAWS: usize = 400;
/// Least part of a distribution.
const FLOOR: f64 = 1e-4;
const SEED: u64 = 0x6669_656c_646d_6172;

/// A distance between distributions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Distance {
    Psi,
    Ks,
    Js,
}

/// All distances of a model's answers to its reference.
pub(super) fn of_answers(release: &Release, model: u16, slice: Option<u16>, context: &Context) -> Vec<Found> {
    let Some(table) = Table::read(release, Part::Drift, model, slice) else {
        return Vec::new();
    };
    let reference = context.references.get(usize::from(model));
    let reference = reference
        .and_then(|weights| distribution(weights))
        .filter(|reference| reference.len() == table.cells.len());
    let names = [
        (Metric::Psi, Distance::Psi),
        (Metric::Ks, Distance::Ks),
        (Metric::Js, Distance::Js),
    ];
    distances(&table, reference, names)
}

/// All distances of a model's inputs, by their outlyingness, to its reference. Cells beyond the reference's bins hold
/// nothing but noise and are left out.
pub(super) fn of_inputs(release: &Release, model: u16, slice: Option<u16>, context: &Context) -> Vec<Found> {
    let Some(mut table) = Table::read(release, Part::InputDrift, model, slice) else {
        return Vec::new();
    };
    let reference = context.input_references.get(usize::from(model));
    let reference = reference
        .and_then(|weights| distribution(weights))
        .filter(|reference| reference.len() <= table.cells.len());
    table.cells.truncate(reference.as_ref().map_or(0, Vec::len));
    let names = [
        (Metric::InputPsi, Distance::Psi),
        (Metric::InputKs, Distance::Ks),
        (Metric::InputJs, Distance::Js),
    ];
    distances(&table, reference, names)
}

/// The distances of a table to a reference, under their names.
fn distances(table: &Table, reference: Option<Vec<f64>>, names: [(Metric, Distance); 3]) -> Vec<Found> {
    let same = |reason| {
        names
            .map(|(metric, _)| (metric, None, MetricValue::none(reason)))
            .to_vec()
    };
    let Some(reference) = reference else {
        return same(Reason::NoReference);
    };
    if !large(&table.total(), RECORDS_SIGMAS_MIN) {
        return same(Reason::TooFewRecords);
    }
    let values: Vec<f64> = table.cells.iter().map(|cell| cell.value).collect();
    let Some(found) = distribution(&values) else {
        return same(Reason::TooFewRecords);
    };
    let noise = Moves::draw(table, &found, |_| 0.0);
    let total = table.total().value;
    let multinomial = |cell: &Estimate| {
        let count = cell.value.clamp(0.0, total);
        count * (1.0 - count / total) * table.cluster
    };
    let full = Moves::draw(table, &found, multinomial);
    let value = |kind| {
        let far = between(kind, &found, &reference);
        bounds(kind, far, &noise, &full, table.cluster > 1.0)
    };
    names.map(|(metric, kind)| (metric, None, value(kind))).to_vec()
}

fn bounds(kind: Distance, distance: f64, noise: &Moves, full: &Moves, conservative: bool) -> MetricValue {
    let around = |moves: &Moves| {
        let reach = moves.reach(kind);
        let (low, high) = ((distance - reach).max(0.0), distance + reach);
        if kind == Distance::Ks {
            (low, high)
        } else {
            (low * low, high * high)
        }
    };
    let value = if kind == Distance::Ks {
        distance
    } else {
        (distance * distance - noise.mean_square(kind)).max(0.0)
    };
    let most = if kind == Distance::Psi { f64::INFINITY } else { 1.0 };
    Bounds {
        value,
        noise: around(noise),
        full: around(full),
        conservative,
    }
    .rounded((0.0, most))
}

/// Parts of at least [`FLOOR`] that sum to 1; nothing if no weight is positive.
fn distribution(weights: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = weights.iter().map(|weight| weight.max(0.0)).sum();
    if !(total.is_finite() && total > 0.0) {
        return None;
    }
    let raised: Vec<f64> = weights.iter().map(|weight| (weight / total).max(FLOOR)).collect();
    let sum: f64 = raised.iter().sum();
    Some(raised.iter().map(|part| part / sum).collect())
}

/// KS itself, the roots of PSI and JS.
fn between(kind: Distance, p: &[f64], r: &[f64]) -> f64 {
    let pairs = || p.iter().zip(r);
    match kind {
        Distance::Psi => sqrt(pairs().map(|(p, r)| (p - r) * log(p / r)).sum::<f64>().max(0.0)),
        Distance::Ks => {
            let (mut difference, mut largest) = (0.0, 0.0f64);
            for (p, r) in pairs() {
                difference += p - r;
                largest = largest.max(fabs(difference));
            }
            largest
        }
        Distance::Js => {
            let half = |one: f64, middle: f64| one * log2(one / middle) / 2.0;
            let each = pairs().map(|(&p, &r)| half(p, (p + r) / 2.0) + half(r, (p + r) / 2.0));
            sqrt(each.sum::<f64>().max(0.0))
        }
    }
}

/// Distances that errors alone make, by draws.
struct Moves {
    /// In the order PSI, KS, JS, each ascending.
    distances: [Vec<f64>; 3],
}

impl Moves {
    fn draw(table: &Table, found: &[f64], sampling: impl Fn(&Estimate) -> f64) -> Self {
        let mut draws = Draws::seeded(SEED);
        let deviations: Vec<f64> = table
            .cells
            .iter()
            .map(|cell| sqrt(cell.variance + sampling(cell)))
            .collect();
        let mut distances: [Vec<f64>; 3] = Default::default();
        for _ in 0..DRAWS {
            let cells = table.cells.iter().zip(&deviations);
            let moved: Vec<f64> = cells
                .map(|(cell, deviation)| cell.value + deviation * draws.normal())
                .collect();
            let Some(moved) = distribution(&moved) else {
                continue;
            };
            for (list, kind) in distances
                .iter_mut()
                .zip([Distance::Psi, Distance::Ks, Distance::Js])
            {
                list.push(between(kind, &moved, found));
            }
        }
        for list in &mut distances {
            list.sort_by(f64::total_cmp);
        }
        Self { distances }
    }

    fn of(&self, kind: Distance) -> &[f64] {
        let [psi, ks, js] = &self.distances;
        match kind {
            Distance::Psi => psi,
            Distance::Ks => ks,
            Distance::Js => js,
        }
    }

    /// The 95% quantile.
    fn reach(&self, kind: Distance) -> f64 {
        let list = self.of(kind);
        list.get(list.len() * 95 / 100).copied().unwrap_or(1.0)
    }

    fn mean_square(&self, kind: Distance) -> f64 {
        let list = self.of(kind);
        list.iter().map(|d| d * d).sum::<f64>() / (list.len() as f64).max(1.0)
    }
}
