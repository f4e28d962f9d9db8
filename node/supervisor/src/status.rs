//! What a runner tells about itself, kept where handle, lane and watch all reach it.

use crate::Limits;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a runner is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunnerState {
    /// A process is being started.
    #[default]
    Starting,
    /// It waits for a request.
    Ready,
    /// It works on one.
    Busy,
    /// The process failed; the next request starts another.
    Down,
    /// It was shut down.
    Stopped,
}

/// Why a failing process is not started again just yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Failures in a row.
    pub failures: u32,
    /// When the next request may start a process.
    pub until: Instant,
}

/// A runner at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunnerStatus {
    /// The release.
    pub name: String,
    /// What loads it: `torchscript`, `onnx` or `python`.
    pub runtime: &'static str,
    /// What it is doing.
    pub state: RunnerState,
    /// The runner's process id, as seen from here.
    pub pid: Option<u32>,
    /// Layers of isolation in force, in the order in which they were put in place; none if switched off.
    pub layers: Vec<String>,
    /// Threads within one operation.
    pub threads: u32,
    /// Where it computes, as the runner says: `cpu`, `cuda:0`, …
    pub device: String,
    /// What each of its processes may use.
    pub limits: Limits,
    /// What keeps its memory within the limit besides the kernel's resource limit: a control group's path, or
    /// nothing but the supervisor's watch.
    pub control_group: Option<String>,
    /// Processes started after the first.
    pub restarts: u64,
    /// Time from starting the latest process to a loaded release.
    pub load_time: Duration,
    /// Anonymous, shared and swapped memory at the last look, at most a second ago.
    pub memory_bytes: u64,
    /// The most seen.
    pub memory_bytes_peak: u64,
    /// CPU time of the present process at the last look.
    pub cpu_time: Duration,
    /// Requests handed to a process.
    pub requests: u64,
    /// The latest failure of a process.
    pub last_failure: Option<String>,
    /// Set while it fails again and again.
    pub pause: Option<Pause>,
}

/// One attempt of a runner to break out of its isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscapeCheck {
    /// What was tried, for example `tcp-connect`.
    pub name: String,
    /// Whether it was stopped.
    pub denied: bool,
    /// What the kernel answered.
    pub detail: String,
}

/// The status, shared.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Mutex<RunnerStatus>>);

impl Board {
    pub(crate) fn new(status: RunnerStatus) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut RunnerStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn read(&self) -> RunnerStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
