//! Differences between groups in how often a model gives the positive answer.
//!
//! - demographic parity gap = max over pairs of groups of |P(answer | g) − P(answer | h)|
//! - equalised odds gap = the same of P(answer | truth, g), over both truths (Hardt et al. 2016)
//!
//! A largest difference is at least every one of them and at most the largest upper bound, so with
//! intervals of all pairs that hold together with 95% (Bonferroni), the largest lower and the largest
//! upper bound are its interval. The sampling variance of a rate is that of a binomial times the
//! most views of a record.

use super::table::{PART_SIGMAS_MIN, Table, large};
use super::{Bounds, Found, Metric, MetricValue, Reason};
use crate::interval::{Estimate, Release};
use crate::normal::upper_quantile;
use crate::schema::Part;
use libm::{fabs, sqrt};

/// Error of all intervals together.
const FAMILY_ERROR: f64 = 0.05;

/// Both gaps of a model.
pub(super) fn metrics(release: &Release, model: u16) -> Vec<Found> {
    let Some(table) = Table::read(release, Part::GroupConfusion, model, None) else {
        return Vec::new();
    };
    let groups: Vec<&[Estimate]> = table.cells.chunks_exact(4).collect();
    let rates = |denominators: &[usize], numerators: &[usize]| -> Option<Vec<Rate>> {
        let rate = |cells: &&[Estimate]| Rate::of(cells, denominators, numerators, table.cluster);
        groups.iter().map(rate).collect()
    };
    // Cells of a group: negative then positive truth, each with negative then positive answers.
    let parity = rates(&[0, 1, 2, 3], &[1, 3]).map(|all| vec![all]);
    let odds = rates(&[0, 1], &[1]).zip(rates(&[2, 3], &[3]));
    vec![
        (Metric::ParityGap, None, gap(parity, table.cluster)),
        (
            Metric::OddsGap,
            None,
            gap(
                odds.map(|(false_rates, true_rates)| vec![false_rates, true_rates]),
                table.cluster,
            ),
        ),
    ]
}

/// A rate with the variances of its noise and of sampling.
struct Rate {
    value: f64,
    noise: f64,
    sampling: f64,
}

impl Rate {
    /// The part of some cells in others, which contain them; nothing if those drown in noise.
    fn of(cells: &[Estimate], denominators: &[usize], numerators: &[usize], cluster: f64) -> Option<Self> {
        let pick = |at: &usize| cells.get(*at).copied();
        let whole: Option<Estimate> = denominators.iter().map(pick).sum();
        let part: Option<Estimate> = numerators.iter().map(pick).sum();
        let (whole, part) = (whole?, part?);
        large(&whole, PART_SIGMAS_MIN).then_some(())?;
        let value = (part.value / whole.value).clamp(0.0, 1.0);
        // The derivative by a counted cell is (1 − p)/n, by the others −p/n.
        let others = whole.variance - part.variance;
        let square = whole.value * whole.value;
        Some(Self {
            value,
            noise: ((1.0 - value) * (1.0 - value) * part.variance + value * value * others) / square,
            sampling: cluster * value * (1.0 - value) / whole.value,
        })
    }
}

/// The largest difference within any of the sets of rates.
fn gap(sets: Option<Vec<Vec<Rate>>>, cluster: f64) -> MetricValue {
    let Some(sets) = sets else {
        return MetricValue::none(Reason::TooFewOfAGroup);
    };
    let mut pairs: Vec<(&Rate, &Rate)> = Vec::new();
    for set in &sets {
        for (at, one) in set.iter().enumerate() {
            pairs.extend(set.iter().skip(at + 1).map(|other| (one, other)));
        }
    }
    let z = upper_quantile(FAMILY_ERROR / (2.0 * pairs.len().max(1) as f64));
    let mut bounds = Bounds {
        value: 0.0,
        noise: (0.0, 0.0),
        full: (0.0, 0.0),
        conservative: cluster > 1.0,
    };
    for (one, other) in pairs {
        let difference = fabs(one.value - other.value);
        let noise = z * sqrt(one.noise + other.noise);
        let full = z * sqrt(one.noise + other.noise + one.sampling + other.sampling);
        bounds.value = bounds.value.max(difference);
        bounds.noise = widest(bounds.noise, difference, noise);
        bounds.full = widest(bounds.full, difference, full);
    }
    bounds.rounded((0.0, 1.0))
}

fn widest((low, high): (f64, f64), difference: f64, reach: f64) -> (f64, f64) {
    (low.max(difference - reach), high.max(difference + reach))
}
