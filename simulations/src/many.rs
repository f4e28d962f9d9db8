//! Many seeds of one scenario. Each runs on one thread from its seed alone; which thread that is, and when,
//! changes nothing.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::Serialize;

use crate::{Report, Scenario, SimulationError, run};

/// Failed seeds that are reported with their last events.
pub const FAILURES_MAX: usize = 20;

/// The outcome of many seeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Many {
    /// Name of the scenario.
    pub scenario: String,
    /// The first seed.
    pub start: u64,
    /// How many were run.
    pub seeds: u64,
    /// Whether nothing was violated and the first seed gave one hash twice.
    pub passed: bool,
    /// Hash of the first seed's event log.
    pub first_hash: String,
    /// Lines of all event logs.
    pub events: u64,
    /// Crashes of all runs.
    pub crashes: u64,
    /// Messages lost in all runs.
    pub lost: u64,
    /// Runs by how their batch ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Runs by the deed of an adversary in them.
    pub deeds: BTreeMap<String, u64>,
    /// How many failed.
    pub failed: u64,
    /// The first [`FAILURES_MAX`] of them, by seed.
    pub failures: Vec<Report>,
}

impl Many {
    fn take(&mut self, report: Report) {
        self.events += report.events;
        self.crashes += report.crashes;
        self.lost += report.lost;
        *self.outcomes.entry(report.outcome).or_default() += 1;
        for deed in &report.deeds {
            *self.deeds.entry(deed.clone()).or_default() += 1;
        }
        if !report.passed {
            self.passed = false;
            self.failed += 1;
            self.failures.push(report);
            self.failures.sort_by_key(|failure| failure.seed);
            self.failures.truncate(FAILURES_MAX);
        }
    }
}

/// Runs the seeds of `range` on `threads` threads, the first one twice. `done` hears how many are finished.
///
/// # Errors
/// [`SimulationError`] when the file cannot be used.
pub fn run_many(
    path: &Path,
    range: Range<u64>,
    threads: NonZeroUsize,
    done: impl Fn(u64) + Sync,
) -> Result<Many, SimulationError> {
    let scenario = Scenario::read(path)?;
    let first = run(&scenario, range.start)?;
    let again = run(&scenario, range.start)?;
    let mut many = Many {
        scenario: scenario.name.clone(),
        start: range.start,
        seeds: range.end.saturating_sub(range.start),
        passed: first.hash == again.hash,
        first_hash: first.hash,
        events: 0,
        crashes: 0,
        lost: 0,
        outcomes: BTreeMap::new(),
        deeds: BTreeMap::new(),
        failed: 0,
        failures: Vec::new(),
    };
    let (next, found) = (AtomicU64::new(range.start), Mutex::new(&mut many));
    let work = || -> Result<(), SimulationError> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= range.end {
                return Ok(());
            }
            let mut report = run(&scenario, seed)?;
            report.replays(path);
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            found.take(report);
            done(found.outcomes.values().sum());
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok::<(), SimulationError>(())
    })?;
    Ok(many)
}
