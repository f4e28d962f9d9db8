//! What answers the requests to one release, one after the other: the process, and what becomes of it.
//!
//! Whoever holds the lane makes the exchange. During it the process is out of the lane, so that an exchange
//! that is broken off for good takes the process with it, and the next request starts another.

use crate::backoff::Backoff;
use crate::frame;
use crate::input::{self, Input, Output};
use crate::process::{Fault, Process};
use crate::status::{Board, EscapeCheck, Pause, RunnerState};
use crate::watch::idle_end;
use crate::{
    Arena, Device, FailureCode, InferError, Limits, Region, RunnerSpec, StartError, SupervisorConfig, Tensor,
};
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{RunnerFailed, RunnerInfer, RunnerSelfTest};
use std::time::Duration;
use tokio::time::Instant;

/// How long a process may take to leave by itself when asked.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// The part of the arena that is set aside for the outputs of one request, if there is room.
const WINDOW_PART: usize = 8;
/// Less room than this is not worth a window.
const WINDOW_BYTES_MIN: usize = 1 << 20;

/// What a request is answered with.
#[derive(Debug)]
pub struct Answer {
    /// The outputs, in the release's order.
    pub outputs: Vec<Output>,
    /// Time inside the model, as the runner measured it.
    pub forward: Duration,
}

/// Owner of the process.
#[derive(Debug)]
pub(crate) struct Lane {
    config: SupervisorConfig,
    spec: RunnerSpec,
    limits: Limits,
    board: Board,
    process: Option<Process>,
    backoff: Backoff,
    requests: u64,
    stopped: bool,
}

impl Lane {
    /// Starts the first process.
    pub(crate) async fn start(
        config: SupervisorConfig,
        spec: RunnerSpec,
        limits: Limits,
        board: Board,
    ) -> Result<Self, StartError> {
        let process = Some(Process::start(&config, &spec, &limits, &board).await?);
        board.update(|status| status.state = RunnerState::Ready);
        Ok(Self {
            config,
            spec,
            limits,
            board,
            process,
            backoff: Backoff::default(),
            requests: 0,
            stopped: false,
        })
    }

    /// Runs the release once.
    pub(crate) async fn infer(&mut self, inputs: Vec<Input>) -> Result<Answer, InferError> {
        self.requests += 1;
        let id = self.requests;
        let window = self.spec.arena.as_ref().and_then(window);
        let request = Request::Infer(RunnerInfer {
            id,
            inputs: self.to_wire(&inputs)?,
            output_region: window.as_ref().and_then(input::range),
        });
        // The inputs' regions live until the runner has answered or is gone.
        let response = self.ask(request).await?;
        drop(inputs);
        match response {
            Response::Inferred(answer) if answer.id == id => {
                let forward = Duration::from_micros(answer.forward_micros);
                match outputs(answer.outputs, window) {
                    Some(outputs) => {
                        self.backoff.succeeded();
                        Ok(Answer { outputs, forward })
                    }
                    None => Err(self.nonsense("it put an output where none belongs").await),
                }
            }
            Response::Failed(failed) if failed.id == id => {
                let leaves = failed.code() == FailureCode::Device;
                let error = self.rejected(failed);
                if leaves {
                    self.discard().await;
                    self.note_failure(error.to_string());
                }
                Err(error)
            }
            _ => Err(self.nonsense("it answered something else than asked").await),
        }
    }

    /// Lets the process try to break out.
    pub(crate) async fn self_test(&mut self) -> Result<Vec<EscapeCheck>, InferError> {
        match self.ask(Request::SelfTest(RunnerSelfTest {})).await? {
            Response::SelfTested(answer) => Ok(answer
                .checks
                .into_iter()
                .map(|check| EscapeCheck {
                    name: check.name,
                    denied: check.denied,
                    detail: check.detail,
                })
                .collect()),
            Response::Failed(failed) => {
                let error = self.rejected(failed);
                // The runner leaves after this answer.
                self.discard().await;
                Err(error)
            }
            _ => Err(self.nonsense("it answered something else than asked").await),
        }
    }

    /// Ends the process for good.
    pub(crate) async fn stop(&mut self) {
        self.stopped = true;
        self.discard().await;
        self.board.update(|status| {
            status.state = RunnerState::Stopped;
            status.pid = None;
            status.memory_bytes = 0;
        });
    }

    fn to_wire(&self, inputs: &[Input]) -> Result<Vec<Tensor>, InferError> {
        let arena = self.spec.arena.as_ref();
        let one = |input: &Input| {
            input::to_wire(input, arena).ok_or_else(|| InferError::ForeignMemory {
                name: self.spec.name.clone(),
                input: input.name.clone(),
            })
        };
        inputs.iter().map(one).collect()
    }

    async fn ask(&mut self, request: Request) -> Result<Response, InferError> {
        let request = frame::encode(request);
        let (bytes, limit) = (frame::message_bytes(&request), self.config.frame_bytes_max);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if bytes > limit {
            return Err(InferError::TooLarge {
                name: self.spec.name.clone(),
                bytes,
                limit,
            });
        }
        let mut process = self.take_process().await?;
        let deadline = Instant::now() + self.limits.request_timeout;
        self.board.update(|status| {
            status.state = RunnerState::Busy;
            status.requests += 1;
        });
        match process.ask(&request, deadline).await {
            Ok(response) => {
                self.process = Some(process);
                self.board.update(|status| status.state = RunnerState::Ready);
                Ok(response)
            }
            Err(fault) => Err(self.fault(process, fault).await),
        }
    }

    /// A process with CPU time left, unless too many have failed just now.
    async fn take_process(&mut self) -> Result<Process, InferError> {
        if self.stopped {
            return Err(InferError::Stopped {
                name: self.spec.name.clone(),
            });
        }
        if let Some(process) = self.process.take() {
            match process.has_ended() {
                None if !process.worn() => return Ok(process),
                None | Some(Fault::Cpu) => process.shut_down(Instant::now() + LEAVE_WITHIN).await,
                // Not this caller's doing: it is recorded, and a new process serves.
                Some(Fault::Ended) => {
                    let facts = process.end().await;
                    self.note_failure(idle_end(&self.spec.name, &facts.cause()));
                }
                Some(fault) => drop(self.fault(process, fault).await),
            }
        }
        let name = || self.spec.name.clone();
        if let Some((retry_in, last)) = self.backoff.waiting(Instant::now()) {
            return Err(InferError::BackingOff {
                name: name(),
                failures: self.backoff.failures(),
                retry_in,
                last: last.to_owned(),
            });
        }
        self.board.update(|status| {
            status.state = RunnerState::Starting;
            status.pause = None;
        });
        match Process::start(&self.config, &self.spec, &self.limits, &self.board).await {
            Ok(process) => {
                self.board.update(|status| status.restarts += 1);
                Ok(process)
            }
            Err(error) => {
                self.note_failure(error.to_string());
                Err(InferError::Restart {
                    source: Box::new(error),
                })
            }
        }
    }

    async fn nonsense(&mut self, what: &str) -> InferError {
        let fault = Fault::Nonsense(what.to_owned());
        match self.process.take() {
            Some(process) => self.fault(process, fault).await,
            None => InferError::Crashed {
                name: self.spec.name.clone(),
                cause: what.to_owned(),
            },
        }
    }

    /// Ends the process and turns what happened into the one error the caller gets.
    async fn fault(&mut self, process: Process, fault: Fault) -> InferError {
        let facts = process.end().await;
        let name = self.spec.name.clone();
        let limit_bytes = self.limits.memory_bytes_max;
        let error = match fault {
            Fault::TimedOut => InferError::TimedOut {
                name,
                after: self.limits.request_timeout,
            },
            Fault::Memory => InferError::MemoryExceeded { name, limit_bytes },
            Fault::Cpu => InferError::CpuExceeded {
                name,
                limit_seconds: self.limits.cpu_seconds_max,
            },
            Fault::Nonsense(cause) => InferError::Crashed { name, cause },
            Fault::Ended if facts.out_of_memory || facts.last_words.contains("memory allocation of") => {
                InferError::MemoryExceeded { name, limit_bytes }
            }
            Fault::Ended => InferError::Crashed {
                name,
                cause: facts.cause(),
            },
        };
        self.note_failure(error.to_string());
        error
    }

    fn rejected(&self, failed: RunnerFailed) -> InferError {
        let (name, code) = (self.spec.name.clone(), failed.code());
        match code {
            FailureCode::Memory if self.limits.device == Device::Cpu => InferError::MemoryExceeded {
                name,
                limit_bytes: self.limits.memory_bytes_max,
            },
            _ => InferError::Rejected {
                name,
                code,
                message: failed.message,
            },
        }
    }

    fn note_failure(&mut self, cause: String) {
        tracing::warn!(%cause, "a runner failed");
        let now = Instant::now();
        self.backoff.failed(now, cause.clone());
        let pause = self.backoff.waiting(now).map(|(retry_in, _)| Pause {
            failures: self.backoff.failures(),
            until: (now + retry_in).into_std(),
        });
        self.board.update(|status| {
            status.state = RunnerState::Down;
            status.pid = None;
            status.memory_bytes = 0;
            status.last_failure = Some(cause);
            status.pause = pause;
        });
        if let Some(arena) = &self.spec.arena {
            // What a hostile process touched is not kept.
            arena.trim();
        }
    }

    async fn discard(&mut self) {
        if let Some(process) = self.process.take() {
            process.shut_down(Instant::now() + LEAVE_WITHIN).await;
        }
    }
}

/// Room for the outputs of one request: a part of the arena, less if it is crowded, none if it is full.
fn window(arena: &Arena) -> Option<Region> {
    let mut bytes = usize::try_from(arena.bytes()).ok()? / WINDOW_PART;
    while bytes >= WINDOW_BYTES_MIN {
        if let Some(region) = arena.allocate(bytes) {
            return Some(region);
        }
        bytes /= 2;
    }
    None
}

/// The outputs of an answer; what they do not take of the window is given back. `None` if one of them claims
/// to lie outside it.
fn outputs(tensors: Vec<Tensor>, window: Option<Region>) -> Option<Vec<Output>> {
    let shared = tensors.iter().flat_map(|tensor| &tensor.shared);
    let end = shared.map(|range| range.offset.saturating_add(range.bytes)).max();
    let window = match (window, end) {
        (Some(mut window), Some(end)) => {
            let used = usize::try_from(end).ok()?.checked_sub(window.offset())?;
            if used > window.bytes() {
                return None;
            }
            window.shorten(used);
            Some(window)
        }
        _ => None,
    };
    tensors
        .into_iter()
        .map(|tensor| input::from_wire(tensor, window.as_ref()))
        .collect()
}
