//! What happened to the requests of one model version: counts, times, and a histogram of latencies.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::Kind;

/// Longest latency that the histogram tells from longer ones: an hour, in microseconds.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;
/// Digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;
/// Most batch sizes told apart; further ones are counted together with the last.
const BATCH_SIZES_MAX: usize = 256;

/// How often and how long in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Times.
    pub count: u64,
    /// Nanoseconds in all.
    pub ns: u64,
}

impl Total {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.ns = self
            .ns
            .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// How long the parts of one answered request took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for a runner.
    pub queue: Duration,
    /// Putting inputs together.
    pub input: Duration,
    /// In the runner and on the way there and back.
    pub infer: Duration,
    /// Taking outputs apart.
    pub output: Duration,
}

/// Times of the batches of one size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BatchTotal {
    /// Putting inputs together.
    pub compute_input: Total,
    /// In the runner.
    pub compute_infer: Total,
    /// Taking outputs apart.
    pub compute_output: Total,
}

/// Latencies from arrival to answer, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Answered requests.
    pub count: u64,
    /// Sum of their latencies.
    pub sum_us: u64,
    /// Half of them were at most so slow.
    pub p50_us: u64,
    /// 90% of them.
    pub p90_us: u64,
    /// 99% of them.
    pub p99_us: u64,
    /// 99.9% of them.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What was counted so far.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Answered requests.
    pub success: Total,
    /// Requests that were not.
    pub fail: Total,
    /// Requests that were not, by kind.
    pub failures: BTreeMap<Kind, u64>,
    /// Of answered requests: waiting.
    pub queue: Total,
    /// Of answered requests: putting inputs together.
    pub compute_input: Total,
    /// Of answered requests: in the runner.
    pub compute_infer: Total,
    /// Of answered requests: taking outputs apart.
    pub compute_output: Total,
    /// Records answered.
    pub inferences: u64,
    /// Times the model ran.
    pub executions: u64,
    /// Milliseconds since 1970 at the latest answer; 0 before the first.
    pub last_inference_ms: u64,
    /// Requests whose client left before they were answered.
    pub cancelled: u64,
    /// By records that ran at once.
    pub batches: BTreeMap<u64, BatchTotal>,
    /// Latencies.
    pub latency: Latency,
}

/// Counts requests.
#[derive(Debug)]
pub(crate) struct Statistics {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    counts: Counts,
    /// `None` only if the fixed bounds were refused.
    latency: Option<Histogram<u64>>,
}

impl Statistics {
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, LATENCY_DIGITS).ok();
        let counts = Counts::default();
        Self {
            inner: Mutex::new(Inner { counts, latency }),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, rows: usize, latency: Duration, timing: Timing) {
        let mut inner = self.lock();
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        if let Some(histogram) = &mut inner.latency {
            histogram.saturating_record(micros);
        }
        let counts = &mut inner.counts;
        counts.success.add(latency);
        counts.latency.count += 1;
        counts.latency.sum_us = counts.latency.sum_us.saturating_add(micros);
        counts.queue.add(timing.queue);
        counts.compute_input.add(timing.input);
        counts.compute_infer.add(timing.infer);
        counts.compute_output.add(timing.output);
        counts.inferences += u64::try_from(rows).unwrap_or(u64::MAX);
        counts.last_inference_ms = now_ms();
    }

    /// A request was not answered.
    pub(crate) fn failed(&self, kind: Kind, after: Duration) {
        let counts = &mut self.lock().counts;
        counts.fail.add(after);
        *counts.failures.entry(kind).or_default() += 1;
    }

    /// A client left while its request waited.
    pub(crate) fn cancelled(&self) {
        self.lock().counts.cancelled += 1;
    }

    /// The model ran once.
    pub(crate) fn executed(&self, rows: usize, timing: Timing) {
        let counts = &mut self.lock().counts;
        counts.executions += 1;
        let mut rows = u64::try_from(rows).unwrap_or(u64::MAX);
        if counts.batches.len() >= BATCH_SIZES_MAX && !counts.batches.contains_key(&rows) {
            rows = counts.batches.keys().next_back().copied().unwrap_or(rows);
        }
        let batch = counts.batches.entry(rows).or_default();
        batch.compute_input.add(timing.input);
        batch.compute_infer.add(timing.infer);
        batch.compute_output.add(timing.output);
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let inner = self.lock();
        let mut counts = inner.counts.clone();
        if let Some(histogram) = &inner.latency {
            let at = |quantile: f64| histogram.value_at_quantile(quantile);
            let latency = &mut counts.latency;
            (latency.p50_us, latency.p90_us) = (at(0.5), at(0.9));
            (latency.p99_us, latency.p999_us) = (at(0.99), at(0.999));
            latency.max_us = histogram.max();
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let statistics = Statistics::new();
        for millis in 1..=1000 {
            statistics.answered(2, Duration::from_millis(millis), Timing::default());
        }
        let counts = statistics.counts();
        assert_eq!((counts.success.count, counts.inferences), (1000, 2000));
        for (found, expected) in [(counts.latency.p50_us, 500_000), (counts.latency.p99_us, 990_000)] {
            assert!(found.abs_diff(expected) <= expected / 1000, "{found} {expected}");
        }
        statistics.failed(Kind::QueueFull, Duration::ZERO);
        assert_eq!(statistics.counts().failures[&Kind::QueueFull], 1);
    }

    #[test]
    fn batch_sizes_are_bounded() {
        let statistics = Statistics::new();
        for rows in 1..2000 {
            statistics.executed(rows, Timing::default());
        }
        let counts = statistics.counts();
        assert_eq!(counts.batches.len(), BATCH_SIZES_MAX);
        assert_eq!(
            counts
                .batches
                .values()
                .map(|b| b.compute_infer.count)
                .sum::<u64>(),
            1999
        );
    }
}
