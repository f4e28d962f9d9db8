//! Counts against a reference, with thresholds from the null distributions.
//!
//! With m reference and n live records in B bins, drawn from one distribution:
//! - χ² = Σ (observed − expected)²/expected, over all bins of both samples, with what is expected from both
//!   together (Pearson's), has B − 1 degrees of freedom.
//! - KS = max |P − R| over the borders exceeds √(−ln(α/2)/2)·√(1/n + 1/m) with at most α (Smirnov; values that
//!   are binned make it smaller, so the test errs towards silence).
//! - The part of values that are no finite numbers, k of n, is the part q of both samples together. Chance alone
//!   makes n·KL(k/n‖q) exceed ln(2/α), or the reference's m·KL, with at most α (Chvátal 1979, for draws without
//!   replacement): a bound, no approximation, because such values are often rare.
//!
//! Each is tested at a third of the level. PSI = Σ (p − r)·ln(p/r) is shown because people know it, and is not
//! judged: it is (1/n + 1/m)·χ² for many records (Yurdakul and Naranjo 2020), but far in the tail, with ten
//! expected in a bin, it exceeds that many times too often, where Pearson's sum keeps to its level.
//!
//! The χ² approximation wants enough records in each bin: neighbours are merged until at least ten are
//! expected in both samples.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::Distribution;

/// Fewest live records for which anything is said.
pub const RECORDS_MIN: u64 = 100;
/// Fewest records expected in a bin.
const EXPECTED_MIN: f64 = 10.0;
/// Tests of one feature, which share its level.
const TESTS: f64 = 3.0;

/// What one feature shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The feature.
    pub name: String,
    /// Live records in the window with a finite number.
    pub records: u64,
    /// Records of the window whose value is no finite number; they are in no bin.
    pub not_finite: u64,
    /// Pearson's χ²: Σ over bins and both samples of (observed − expected)²/expected, with what is expected from
    /// both samples together; nothing below [`RECORDS_MIN`] records.
    pub chi_squared: Option<f64>,
    /// What chance alone exceeds with a third of the level.
    pub chi_squared_threshold: Option<f64>,
    /// Population stability index, for the eye: it is not judged.
    pub psi: Option<f64>,
    /// About what chance alone makes of it, (1/n + 1/m) of χ²'s threshold.
    pub psi_threshold: Option<f64>,
    /// Largest difference of the distribution functions.
    pub ks: Option<f64>,
    /// What chance alone exceeds with a third of the level.
    pub ks_threshold: Option<f64>,
    /// Whether more or fewer values are no finite numbers than chance makes with a third of the level.
    pub not_finite_drifted: bool,
    /// Whether χ² or KS exceeds its threshold, or the values that are no numbers tell it.
    pub drifted: bool,
}

/// Compares live counts with a reference's; a false alarm has at most about probability `level`.
#[must_use]
pub fn compare(reference: &Distribution, live: &[u64], not_finite: u64, level: f64) -> Finding {
    let (records, level) = (live.iter().sum(), level / TESTS);
    let mut finding = Finding {
        name: reference.name.clone(),
        records,
        not_finite,
        chi_squared: None,
        chi_squared_threshold: None,
        psi: None,
        psi_threshold: None,
        ks: None,
        ks_threshold: None,
        not_finite_drifted: false,
        drifted: false,
    };
    let (n, m) = (records as f64, reference.counts.iter().sum::<u64>() as f64);
    if records.saturating_add(not_finite) >= RECORDS_MIN {
        let (known, live) = (reference.not_finite as f64, not_finite as f64);
        finding.not_finite_drifted = parts_differ((known, m + known), (live, n + live), level);
        finding.drifted = finding.not_finite_drifted;
    }
    if records < RECORDS_MIN {
        return finding;
    }
    let spread = 1.0 / n + 1.0 / m;
    let ks = ks(&reference.counts, live, (m, n));
    let ks_threshold = libm::sqrt(-libm::log(level / 2.0) / 2.0 * spread);
    let bins = merged(&reference.counts, live, (m, n));
    let (statistic, threshold) = (
        pearson(&bins, (m, n)),
        chi_squared(bins.len().saturating_sub(1), level),
    );
    finding.drifted |= ks > ks_threshold || statistic > threshold;
    finding.chi_squared = Some(statistic);
    finding.chi_squared_threshold = Some(threshold).filter(|threshold| threshold.is_finite());
    finding.psi = Some(psi(&bins, (m, n)));
    finding.psi_threshold = finding.chi_squared_threshold.map(|threshold| threshold * spread);
    finding.ks = Some(ks);
    finding.ks_threshold = Some(ks_threshold);
    finding
}

/// Whether two samples, each given as how many there are of something among how many, differ more than chance makes.
fn parts_differ((known, m): (f64, f64), (live, n): (f64, f64), level: f64) -> bool {
    let common = (known + live) / (m + n);
    let apart = |found: f64, all: f64| {
        let term = |p: f64, q: f64| if p > 0.0 { p * libm::log(p / q) } else { 0.0 };
        all * (term(found / all, common) + term(1.0 - found / all, 1.0 - common))
    };
    apart(live, n).max(apart(known, m)) > libm::log(2.0 / level)
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

/// Pearson's sum over both samples.
fn pearson(bins: &[(f64, f64)], (m, n): (f64, f64)) -> f64 {
    let term = |(r, l): &(f64, f64)| {
        let part = (r + l) / (m + n);
        let cell = |observed: f64, expected: f64| (observed - expected).powi(2) / expected;
        cell(*r, part * m) + cell(*l, part * n)
    };
    bins.iter().filter(|(r, l)| r + l > 0.0).map(term).sum()
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
            not_finite: 0,
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
        assert!((0.008..0.06).contains(&rate), "{rate}");
    }

    /// So many draws from ten bins that are equally likely.
    fn evenly(draws: &mut Draws, rows: usize) -> [u64; 10] {
        let mut counts = [0; 10];
        for _ in 0..rows {
            let drawn = draws.uniform() * 10.0;
            let bin = (1..10).filter(|border| drawn >= f64::from(*border)).count();
            counts[bin] += 1;
        }
        counts
    }

    #[test]
    fn false_alarms_of_a_strict_level_are_not_many_times_as_frequent() {
        let mut draws = Draws::seeded(13);
        let (mut alarms, looks, level) = (0u32, 100_000u32, 1e-3);
        for _ in 0..looks / 10 {
            let known = reference(&evenly(&mut draws, 1000));
            let lives: [[u64; 10]; 10] = std::array::from_fn(|_| evenly(&mut draws, 100));
            let drifted = lives
                .iter()
                .filter(|live| compare(&known, &live[..], 0, level).drifted);
            alarms += u32::try_from(drifted.count()).unwrap();
        }
        let rate = f64::from(alarms) / f64::from(looks);
        assert!(rate < 2.0 * level, "{rate}");
    }

    #[test]
    fn values_that_become_no_numbers_are_drift() {
        let mut known = reference(&[500, 500]);
        let gone = compare(&known, &[0, 0], 100, 1e-5);
        assert!(
            gone.drifted && gone.not_finite_drifted && gone.chi_squared.is_none(),
            "{gone:?}"
        );
        assert!(compare(&known, &[1000, 1000], 60, 1e-5).drifted);
        assert!(!compare(&known, &[1000, 1000], 2, 1e-5).drifted);
        assert!(!compare(&known, &[0, 0], 99, 1e-5).drifted);
        known.not_finite = 20;
        assert!(!compare(&known, &[1000, 1000], 40, 1e-5).drifted);
        assert!(compare(&known, &[20_000, 20_000], 0, 1e-5).not_finite_drifted);
    }

    #[test]
    fn a_shift_is_found_and_few_records_say_nothing() {
        let mut draws = Draws::seeded(12);
        let known = reference(&drawn(&mut draws, 0.0, 1500));
        let found = compare(&known, &drawn(&mut draws, 1.0, 400), 0, 1e-5);
        assert!(
            found.drifted && found.chi_squared > found.chi_squared_threshold,
            "{found:?}"
        );
        let few = compare(&known, &drawn(&mut draws, 5.0, 99), 3, 1e-5);
        assert_eq!((few.drifted, few.psi, few.not_finite), (false, None, 3));
    }

    #[test]
    fn a_value_that_is_new_is_drift() {
        let found = compare(&reference(&[1000, 0]), &[500, 500], 0, 1e-6);
        assert!(found.drifted, "{found:?}");
    }
}
