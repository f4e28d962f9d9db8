//! PSI and KS of counts against a reference, with thresholds from their null distributions.
//!
//! With m reference and n live records in B bins, drawn from one distribution:
//! - PSI = Σ (p − r)·ln(p/r) is distributed as (1/n + 1/m)·χ² with B − 1 degrees of freedom (Yurdakul and
//!   Naranjo 2020), so its threshold at level α is (1/n + 1/m)·χ²₁₋α.
//! - KS = max |P − R| over the borders exceeds √(−ln(α/2)/2)·√(1/n + 1/m) with at most α (Smirnov; values that
//!   are binned make it smaller, so the test errs towards silence).
//!
//! The χ² approximation wants enough records in each bin: neighbours are merged until at least five are
//! expected in both samples.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::Distribution;

/// Fewest live records for which anything is said.
pub const RECORDS_MIN: u64 = 100;
/// Fewest records expected in a bin.
const EXPECTED_MIN: f64 = 5.0;

/// What one feature shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The feature.
    pub name: String,
    /// Live records in the window.
    pub records: u64,
    /// Records of the window whose value is no finite number; they are in no bin.
    pub not_finite: u64,
    /// Population stability index; nothing below [`RECORDS_MIN`] records.
    pub psi: Option<f64>,
    /// What chance alone exceeds with half of the level.
    pub psi_threshold: Option<f64>,
    /// Largest difference of the distribution functions.
    pub ks: Option<f64>,
    /// What chance alone exceeds with half of the level.
    pub ks_threshold: Option<f64>,
    /// Whether either exceeds its threshold.
    pub drifted: bool,
}

/// Compares live counts with a reference's; a false alarm has at most about probability `level`.
#[must_use]
pub fn compare(reference: &Distribution, live: &[u64], not_finite: u64, level: f64) -> Finding {
    let records = live.iter().sum();
    let mut finding = Finding {
        name: reference.name.clone(),
        records,
        not_finite,
        psi: None,
        psi_threshold: None,
        ks: None,
        ks_threshold: None,
        drifted: false,
    };
    if records < RECORDS_MIN {
        return finding;
    }
    let (n, m) = (records as f64, reference.counts.iter().sum::<u64>() as f64);
    let spread = 1.0 / n + 1.0 / m;
    let ks = ks(&reference.counts, live, (m, n));
    let ks_threshold = libm::sqrt(-libm::log(level / 4.0) / 2.0 * spread);
    let bins = merged(&reference.counts, live, (m, n));
    let psi = psi(&bins, (m, n));
    let psi_threshold = chi_squared(bins.len().saturating_sub(1), level / 2.0) * spread;
    finding.drifted = ks > ks_threshold || psi > psi_threshold;
    finding.psi = Some(psi);
    finding.psi_threshold = Some(psi_threshold);
    finding.ks = Some(ks);
    finding.ks_threshold = Some(ks_threshold);
    finding
}

/// What χ² with this many degrees of freedom exceeds with probability `tail`; infinite for none.
pub(super) fn chi_squared(freedom: usize, tail: f64) -> f64 {
    let distribution = ChiSquared::new(freedom as f64).ok();
    distribution.map_or(f64::INFINITY, |d| d.inverse_cdf(1.0 - tail.clamp(1e-12, 1.0)))
}

/// Neighbouring bins joined until each is expected to hold enough in both samples.
fn merged(reference: &[u64], live: &[u64], (m, n): (f64, f64)) -> Vec<(f64, f64)> {
    let least = EXPECTED_MIN.max(EXPECTED_MIN * m / n);
    let mut bins: Vec<(f64, f64)> = Vec::new();
    let mut open = (0.0, 0.0);
    for (r, l) in reference.iter().zip(live) {
        open = (open.0 + *r as f64, open.1 + *l as f64);
        if open.0 >= least {
            bins.push(std::mem::take(&mut open));
        }
    }
    match bins.last_mut() {
        Some(last) => *last = (last.0 + open.0, last.1 + open.1),
        None => bins.push(open),
    }
    bins
}

/// An empty bin counts as half a record, so that the index is finite.
fn psi(bins: &[(f64, f64)], (m, n): (f64, f64)) -> f64 {
    let part = |count: f64, total: f64| count.max(0.5) / total;
    let term = |(r, l): &(f64, f64)| {
        let (r, p) = (part(*r, m), part(*l, n));
        (p - r) * libm::log(p / r)
    };
    bins.iter().map(term).sum()
}

fn ks(reference: &[u64], live: &[u64], (m, n): (f64, f64)) -> f64 {
    let (mut difference, mut largest) = (0.0f64, 0.0f64);
    for (r, l) in reference.iter().zip(live) {
        difference += *l as f64 / n - *r as f64 / m;
        largest = largest.max(difference.abs());
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Draws;

    fn reference(counts: &[u64]) -> Distribution {
        let edges = (1..counts.len()).map(|edge| edge as f64).collect();
        Distribution {
            name: "x".into(),
            edges,
            counts: counts.into(),
        }
    }

    fn drawn(draws: &mut Draws, shift: f64, rows: usize) -> Vec<u64> {
        let around = reference(&[1; 10]);
        let mut counts = vec![0; 10];
        for _ in 0..rows {
            counts[around.bin(5.0 + 2.0 * draws.normal() + shift).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn published_quantiles_are_met() {
        assert!((chi_squared(9, 0.05) - 16.918_977_604_620_448).abs() < 1e-6);
        assert!(chi_squared(0, 0.05).is_infinite());
    }

    #[test]
    fn false_alarms_are_as_rare_as_the_level_says() {
        let mut draws = Draws::seeded(11);
        let (mut alarms, looks) = (0u32, 2000u32);
        for _ in 0..looks {
            let (known, live) = (drawn(&mut draws, 0.0, 1500), drawn(&mut draws, 0.0, 400));
            alarms += u32::from(compare(&reference(&known), &live, 0, 0.05).drifted);
        }
        let rate = f64::from(alarms) / f64::from(looks);
        assert!((0.015..0.06).contains(&rate), "{rate}");
    }

    #[test]
    fn a_shift_is_found_and_few_records_say_nothing() {
        let mut draws = Draws::seeded(12);
        let known = reference(&drawn(&mut draws, 0.0, 1500));
        let found = compare(&known, &drawn(&mut draws, 1.0, 400), 0, 1e-5);
        assert!(found.drifted && found.psi > found.psi_threshold, "{found:?}");
        let few = compare(&known, &drawn(&mut draws, 5.0, 99), 3, 1e-5);
        assert_eq!((few.drifted, few.psi, few.not_finite), (false, None, 3));
    }

    #[test]
    fn a_value_that_is_new_is_drift() {
        let found = compare(&reference(&[1000, 0]), &[500, 500], 0, 1e-6);
        assert!(found.drifted, "{found:?}");
    }
}
