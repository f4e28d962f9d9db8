//! Everything about the models at one moment, for people and for metrics.

use std::time::{Duration, Instant};

use fieldmark_supervisor::{Isolation, RunnerState};
use serde::Serialize;

use super::{Repository, version};
use crate::statistics::{Counts, Latency};

/// A server at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Whether every model can be asked.
    pub ready: bool,
    /// Every version of every model.
    pub versions: Vec<VersionSnapshot>,
}

/// A version at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct VersionSnapshot {
    /// The model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is doing: `LOADING`, `READY`, `UNLOADING` or `UNAVAILABLE`.
    pub state: &'static str,
    /// Why, where there is something to say.
    pub reason: String,
    /// What runs it.
    pub platform: String,
    /// Whether its runners are isolated.
    pub isolated: bool,
    /// Most bytes of memory of one runner.
    pub memory_bytes_max: u64,
    /// Most seconds of CPU time of one process.
    pub cpu_seconds_max: u64,
    /// Threads within one operation.
    pub threads: u32,
    /// Where its runners are to compute.
    pub device: String,
    /// Longest time for one request, waiting included, in milliseconds.
    pub request_timeout_ms: u64,
    /// Most records that run at once.
    pub batch_max: usize,
    /// How long a request waits for others, in milliseconds.
    pub batch_delay_ms: u64,
    /// Requests that wait.
    pub queue: usize,
    /// Requests that may wait.
    pub queue_max: usize,
    /// Answered requests.
    pub answered: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Requests whose client left before they were answered.
    pub cancelled: u64,
    /// Latencies.
    pub latency: Latency,
    /// Its runners.
    pub replicas: Vec<ReplicaSnapshot>,
    /// What the observer has to say about it.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub observed: serde_json::Value,
    /// Everything that was counted.
    #[serde(skip)]
    pub counts: Counts,
}

/// A runner at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct ReplicaSnapshot {
    /// `starting`, `ready`, `busy`, `down` or `stopped`.
    pub state: &'static str,
    /// Its process.
    pub pid: Option<u32>,
    /// Memory at the last look.
    pub memory_bytes: u64,
    /// The most seen.
    pub memory_bytes_peak: u64,
    /// Processes started after the first.
    pub restarts: u64,
    /// Layers of isolation in force.
    pub layers: Vec<String>,
    /// The latest failure of a process.
    pub last_failure: Option<String>,
    /// Failures in a row, while it waits before it starts again.
    pub failures: u32,
    /// How long it still waits, in milliseconds.
    pub pause_ms: u64,
    /// Where it computes, as the runner says.
    pub device: String,
    /// The control group that bounds its memory, where there is one.
    pub control_group: Option<String>,
    /// From starting its process to a loaded model, in milliseconds.
    pub load_ms: u64,
    /// CPU time of its process at the last look, in milliseconds.
    pub cpu_ms: u64,
}

impl Repository {
    /// Everything about the models now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let ready = self.is_ready();
        let mut versions = Vec::new();
        let mut observers = Vec::new();
        for (name, entries) in self.read().iter() {
            for (version, entry) in version::in_order(entries) {
                let (seen, observer) = match &entry.loaded {
                    Some(loaded) => (
                        of_loaded(name, version, entry, loaded),
                        loaded.servable.observer.clone(),
                    ),
                    None => (VersionSnapshot::empty(name, version, entry), None),
                };
                versions.push(seen);
                observers.push(observer);
            }
        }
        // Not while the models are locked: it may take a while.
        for (version, observer) in versions.iter_mut().zip(observers) {
            version.observed = observer.map_or(serde_json::Value::Null, |observer| observer.notes());
        }
        Snapshot { ready, versions }
    }
}

fn of_loaded(name: &str, version: &str, entry: &super::Entry, loaded: &super::Loaded) -> VersionSnapshot {
    let (servable, counts) = (&loaded.servable, loaded.statistics.counts());
    let limits = servable.spec.limits.as_ref().unwrap_or(&servable.config.limits);
    let replica = |status: fieldmark_supervisor::RunnerStatus| ReplicaSnapshot {
        state: word(status.state),
        pid: status.pid,
        memory_bytes: status.memory_bytes,
        memory_bytes_peak: status.memory_bytes_peak,
        restarts: status.restarts,
        layers: status.layers,
        last_failure: status.last_failure,
        failures: status.pause.map_or(0, |pause| pause.failures),
        pause_ms: status.pause.map_or(0, |pause| {
            millis(pause.until.saturating_duration_since(Instant::now()))
        }),
        device: status.device,
        control_group: status.control_group,
        load_ms: millis(status.load_time),
        cpu_ms: millis(status.cpu_time),
    };
    VersionSnapshot {
        platform: servable.platform.clone(),
        isolated: servable.config.isolation == Isolation::Required,
        memory_bytes_max: limits.memory_bytes_max,
        cpu_seconds_max: limits.cpu_seconds_max,
        threads: limits.threads,
        device: limits.device.to_string(),
        request_timeout_ms: millis(servable.options.request_timeout),
        batch_max: servable.batch_max(),
        batch_delay_ms: millis(servable.options.batch_delay),
        queue: loaded.pool.waiting(),
        queue_max: servable.options.queue_max,
        answered: counts.success.count,
        failed: counts.fail.count,
        cancelled: counts.cancelled,
        latency: counts.latency,
        replicas: loaded.pool.status().into_iter().map(replica).collect(),
        counts,
        ..VersionSnapshot::empty(name, version, entry)
    }
}

impl VersionSnapshot {
    /// Of a version that is not loaded.
    fn empty(name: &str, version: &str, entry: &super::Entry) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            state: entry.state.word(),
            reason: entry.reason.clone(),
            platform: String::new(),
            isolated: true,
            memory_bytes_max: 0,
            cpu_seconds_max: 0,
            threads: 0,
            device: String::new(),
            request_timeout_ms: 0,
            batch_max: 0,
            batch_delay_ms: 0,
            queue: 0,
            queue_max: 0,
            answered: 0,
            failed: 0,
            cancelled: 0,
            latency: Latency::default(),
            replicas: Vec::new(),
            observed: serde_json::Value::Null,
            counts: Counts::default(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn word(state: RunnerState) -> &'static str {
    match state {
        RunnerState::Starting => "starting",
        RunnerState::Ready => "ready",
        RunnerState::Busy => "busy",
        RunnerState::Down => "down",
        RunnerState::Stopped => "stopped",
    }
}
