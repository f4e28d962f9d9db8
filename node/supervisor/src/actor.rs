//! The task that owns one runner's process and answers its requests, one after the other.
//!
//! A request is never cancelled half-way: a caller that goes away leaves the exchange to finish here, so the
//! socket never holds half a frame. The task ends when the last handle is dropped, and the process with it.

use crate::backoff::Backoff;
use crate::error::{InferError, StartError};
use crate::frame;
use crate::process::{Fault, Process};
use crate::runner::{Board, EscapeCheck, RunnerState};
use crate::{FailureCode, RunnerSpec, SupervisorConfig, Tensor};
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{RunnerFailed, RunnerInfer, RunnerSelfTest};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often an idle process is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a process may take to leave by itself when asked.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// What a handle asks for.
pub(crate) enum Job {
    /// Run the release.
    Infer {
        inputs: Vec<Tensor>,
        reply: oneshot::Sender<Result<Vec<Tensor>, InferError>>,
    },
    /// Try to break out.
    SelfTest {
        reply: oneshot::Sender<Result<Vec<EscapeCheck>, InferError>>,
    },
    /// End.
    ShutDown { reply: oneshot::Sender<()> },
}

/// Owner of the process.
pub(crate) struct Actor {
    config: SupervisorConfig,
    spec: RunnerSpec,
    board: Board,
    process: Option<Process>,
    backoff: Backoff,
    requests: u64,
}

impl Actor {
    /// Starts the first process.
    pub(crate) async fn start(
        config: SupervisorConfig,
        spec: RunnerSpec,
        board: Board,
    ) -> Result<Self, StartError> {
        let process = Some(Process::start(&config, &spec, &board).await?);
        board.update(|status| status.state = RunnerState::Ready);
        Ok(Self {
            config,
            spec,
            board,
            process,
            backoff: Backoff::default(),
            requests: 0,
        })
    }

    /// Serves until told to end or no handle is left.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = ended(&mut self.process) => self.note_end().await,
                job = jobs.recv() => match job {
                    Some(Job::Infer { inputs, reply }) => {
                        let _ = reply.send(self.infer(inputs).await);
                    }
                    Some(Job::SelfTest { reply }) => {
                        let _ = reply.send(self.self_test().await);
                    }
                    Some(Job::ShutDown { reply }) => {
                        self.stop().await;
                        let _ = reply.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                _ = ticks.tick() => self.look().await,
            }
        }
    }

    async fn infer(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferError> {
        self.requests += 1;
        let id = self.requests;
        let response = self.ask(Request::Infer(RunnerInfer { id, inputs })).await?;
        match response {
            Response::Inferred(answer) if answer.id == id => {
                self.backoff.succeeded();
                Ok(answer.outputs)
            }
            Response::Failed(failed) if failed.id == id => Err(self.rejected(failed)),
            _ => Err(self
                .fault(Fault::Nonsense(
                    "it answered something else than asked".to_owned(),
                ))
                .await),
        }
    }

    async fn self_test(&mut self) -> Result<Vec<EscapeCheck>, InferError> {
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
            _ => Err(self
                .fault(Fault::Nonsense(
                    "it answered something else than asked".to_owned(),
                ))
                .await),
        }
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
        self.ensure_process().await?;
        let deadline = Instant::now() + self.config.request_timeout;
        self.board.update(|status| {
            status.state = RunnerState::Busy;
            status.requests += 1;
        });
        let outcome = match &mut self.process {
            Some(process) => process.ask(&request, deadline).await,
            None => Err(Fault::Ended),
        };
        match outcome {
            Ok(response) => {
                self.board.update(|status| status.state = RunnerState::Ready);
                Ok(response)
            }
            Err(fault) => Err(self.fault(fault).await),
        }
    }

    /// Makes sure there is a process with CPU time left, unless too many have failed just now.
    async fn ensure_process(&mut self) -> Result<(), InferError> {
        match self.process.as_ref().map(Process::look) {
            Some(Ok(false)) => return Ok(()),
            Some(Ok(true) | Err(Fault::Cpu)) => self.discard().await,
            // Not this caller's doing: it is recorded, and a new process serves.
            Some(Err(fault)) => drop(self.fault(fault).await),
            None => {}
        }
        let name = || self.spec.name.clone();
        if let Some((retry_in, last)) = self.backoff.waiting(Instant::now()) {
            let failures = self.backoff.failures();
            return Err(InferError::BackingOff {
                name: name(),
                failures,
                retry_in,
                last: last.to_owned(),
            });
        }
        self.board.update(|status| status.state = RunnerState::Starting);
        match Process::start(&self.config, &self.spec, &self.board).await {
            Ok(process) => {
                self.process = Some(process);
                self.board.update(|status| status.restarts += 1);
                Ok(())
            }
            Err(error) => {
                self.note_failure(error.to_string());
                Err(InferError::Restart {
                    source: Box::new(error),
                })
            }
        }
    }

    /// Ends the process and turns what happened into the one error the caller gets.
    async fn fault(&mut self, fault: Fault) -> InferError {
        let facts = match self.process.take() {
            Some(process) => process.end().await,
            None => crate::launch::Facts::default(),
        };
        let name = self.spec.name.clone();
        let limit_bytes = self.config.memory_bytes_max;
        let error = match fault {
            Fault::TimedOut => InferError::TimedOut {
                name,
                after: self.config.request_timeout,
            },
            Fault::Memory => InferError::MemoryExceeded { name, limit_bytes },
            Fault::Cpu => InferError::CpuExceeded {
                name,
                limit_seconds: self.config.cpu_seconds_max,
            },
            Fault::Nonsense(cause) => InferError::Crashed { name, cause },
            Fault::Ended if facts.last_words.contains("memory allocation of") => {
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
            FailureCode::Memory => InferError::MemoryExceeded {
                name,
                limit_bytes: self.config.memory_bytes_max,
            },
            _ => InferError::Rejected {
                name,
                code,
                message: failed.message,
            },
        }
    }

    /// An idle process ended by itself.
    async fn note_end(&mut self) {
        if let Some(process) = self.process.take() {
            let facts = process.end().await;
            self.note_failure(format!(
                "release {}: its process ended while idle: {}",
                self.spec.name,
                facts.cause()
            ));
        }
    }

    fn note_failure(&mut self, cause: String) {
        tracing::warn!(%cause, "a runner failed");
        self.backoff.failed(Instant::now(), cause.clone());
        self.board.update(|status| {
            status.state = RunnerState::Down;
            status.pid = None;
            status.memory_bytes = 0;
            status.last_failure = Some(cause);
        });
    }

    /// Looks at an idle process.
    async fn look(&mut self) {
        if let Some(Err(fault)) = self.process.as_ref().map(Process::look) {
            // Nobody asked; the failure is kept in the status.
            let _ = self.fault(fault).await;
        }
    }

    async fn discard(&mut self) {
        if let Some(process) = self.process.take() {
            process.shut_down(Instant::now() + LEAVE_WITHIN).await;
        }
    }

    async fn stop(&mut self) {
        self.discard().await;
        self.board.update(|status| {
            status.state = RunnerState::Stopped;
            status.pid = None;
            status.memory_bytes = 0;
        });
    }
}

async fn ended(process: &mut Option<Process>) {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}
