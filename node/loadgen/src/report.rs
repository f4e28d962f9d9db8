//! What a run found.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::Scenario;

/// Longest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Percentiles of the curve in a report, in percent.
const CURVE: [f64; 14] = [
    0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0,
];

/// Latencies, counted in a histogram of three significant digits.
#[derive(Debug, Clone)]
pub struct Latency {
    times: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        Self {
            times: times.expect("the bounds are constants that a histogram takes"),
        }
    }
}

impl Latency {
    /// Takes one latency.
    pub fn add(&mut self, latency: Duration) {
        self.times
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Takes all of another's.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so nothing is out of range.
        let _ = self.times.add(&other.times);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.times.len()
    }

    /// The latency that so many percent do not exceed, in milliseconds.
    #[must_use]
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.times.value_at_percentile(percent) as f64 / 1e3
    }

    /// Percentiles in percent with their latencies in milliseconds, as a plot shows them.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        CURVE
            .iter()
            .map(|percent| (*percent, self.percentile_ms(*percent)))
            .collect()
    }
}

/// A scenario's own figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is, for example `p90 of latency`.
    pub name: String,
    /// The value; `None` where nothing was answered.
    pub value: Option<f64>,
    /// `ms` or a rate.
    pub unit: &'static str,
    /// What must be said with the value, such as that more was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: Scenario,
    /// The seed of its arrivals.
    pub seed: u64,
    /// Its own figure.
    pub figure: Figure,
    /// Queries answered.
    pub queries: u64,
    /// Samples in a query.
    pub samples_per_query: usize,
    /// Queries that failed; their latency is not counted.
    pub failures: u64,
    /// The first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Length of the run, in seconds.
    pub seconds: f64,
    /// Samples answered by second.
    pub samples_per_second: f64,
    /// Percent and milliseconds.
    pub latency_ms: Vec<(f64, f64)>,
    /// Energy of all processors by sample, in joules, where the machine tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joules_per_sample: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|ms| latency.add(Duration::from_millis(ms)));
        assert!((latency.percentile_ms(90.0) / 900.0 - 1.0).abs() < 2e-3);
        assert!((latency.percentile_ms(100.0) / 1000.0 - 1.0).abs() < 2e-3);
        let mut both = Latency::default();
        both.merge(&latency);
        both.add(Duration::from_secs(100_000));
        assert_eq!(both.count(), 1001);
    }
}
