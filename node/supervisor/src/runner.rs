//! The handle to a running release, and what it tells about it.

use crate::actor::{Actor, Job};
use crate::{InferError, RunnerSpec, StartError, SupervisorConfig, Tensor};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

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

/// A runner at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunnerStatus {
    /// The release.
    pub name: String,
    /// What it is doing.
    pub state: RunnerState,
    /// The runner's process id, as seen from here.
    pub pid: Option<u32>,
    /// Layers of isolation in force, in the order in which they were put in place; none if switched off.
    pub layers: Vec<String>,
    /// Threads within one operation.
    pub threads: u32,
    /// Processes started after the first.
    pub restarts: u64,
    /// Anonymous, shared and swapped memory at the last look, at most a second ago.
    pub memory_bytes: u64,
    /// The most seen.
    pub memory_bytes_peak: u64,
    /// Requests handed to a process.
    pub requests: u64,
    /// The latest failure of a process.
    pub last_failure: Option<String>,
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

/// The status, shared between handle and task.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Mutex<RunnerStatus>>);

impl Board {
    pub(crate) fn update(&self, change: impl FnOnce(&mut RunnerStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn read(&self) -> RunnerStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A loaded release in an isolated process of its own. Clones share the process; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Runner {
    jobs: mpsc::Sender<Job>,
    board: Board,
}

impl Runner {
    /// Starts a process, isolates it and loads the release.
    ///
    /// # Errors
    /// If the process cannot be started or isolated, or the release cannot be loaded within the limits.
    pub async fn start(config: &SupervisorConfig, spec: RunnerSpec) -> Result<Self, StartError> {
        let status = RunnerStatus {
            name: spec.name.clone(),
            ..RunnerStatus::default()
        };
        let board = Board(Arc::new(Mutex::new(status)));
        let (jobs, waiting) = mpsc::channel(config.queue_max.max(1));
        let actor = Box::pin(Actor::start(config.clone(), spec, board.clone())).await?;
        tokio::spawn(actor.run(waiting));
        Ok(Self { jobs, board })
    }

    /// Runs the release once. Requests are answered in turn; the time limit counts from a request's own turn.
    ///
    /// # Errors
    /// If the request is wrong, or the process fails on it: see [`InferError`]. Other requests are unaffected.
    pub async fn infer(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferError> {
        self.ask(|reply| Job::Infer { inputs, reply }).await?
    }

    /// Lets the isolated process try to break out in every way it knows, and reports each attempt.
    ///
    /// # Errors
    /// If the process fails, or runs without isolation.
    pub async fn self_test(&self) -> Result<Vec<EscapeCheck>, InferError> {
        self.ask(|reply| Job::SelfTest { reply }).await?
    }

    /// What the runner is doing, as last seen.
    pub fn status(&self) -> RunnerStatus {
        self.board.read()
    }

    /// Ends the process after the requests that already wait, for all clones of this handle. Returns once it
    /// is gone.
    pub async fn shutdown(self) {
        // If the task is gone already, so is the process.
        let _ = self.ask(|reply| Job::ShutDown { reply }).await;
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, InferError> {
        let stopped = || InferError::Stopped {
            name: self.status().name,
        };
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}
