//! One runner process: started, loaded, asked, ended. Every wait has a deadline and an eye on memory.

use crate::frame::{self, Broken};
use crate::launch::{End, Facts, Launched, launch};
use crate::runner::Board;
use crate::sample::{Sample, sample};
use crate::{FailureCode, RunnerSpec, StartError, SupervisorConfig, probe};
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{RunnerFailed, RunnerLoad, RunnerReady};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep_until, timeout};

/// How often a busy process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long an ended process may take to disappear; killing is immediate, so this is only a backstop.
const END_WITHIN: Duration = Duration::from_secs(10);
/// A process is replaced between requests beyond this part of its CPU time, in percent.
const WORN_PERCENT: u32 = 90;

/// Why a process gave no answer. It must be ended after any of these.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The deadline passed.
    TimedOut,
    /// It takes more memory than allowed.
    Memory,
    /// It has used up its CPU time.
    Cpu,
    /// It closed its end.
    Ended,
    /// It sent something that is no answer.
    Nonsense(String),
}

/// A live process.
#[derive(Debug)]
pub(crate) struct Process {
    socket: UnixStream,
    eye: Eye,
    frame_bytes_max: u32,
}

/// What is needed to look at a process while its socket is in use.
#[derive(Debug)]
struct Eye {
    facts: watch::Receiver<Facts>,
    memory_bytes_max: u64,
    cpu_max: Duration,
    board: Board,
}

impl Process {
    /// Starts a process and loads the release into it.
    pub(crate) async fn start(
        config: &SupervisorConfig,
        spec: &RunnerSpec,
        board: &Board,
    ) -> Result<Self, StartError> {
        let (artifact, artifact_bytes) = open_artifact(spec).await?;
        let launched = launch(config).map_err(|error| StartError::Spawn {
            name: spec.name.clone(),
            program: config.launcher.clone(),
            cause: error.to_string(),
        })?;
        let mut process = Self::of(launched, config, board);
        let deadline = Instant::now() + config.load_timeout;
        match process.load(spec, artifact, artifact_bytes, deadline).await {
            Ok(Response::Loaded(_)) => Ok(process),
            Ok(Response::Failed(failed)) => {
                process.end().await;
                Err(refused(spec, config, failed))
            }
            Ok(_) => {
                let fault = Fault::Nonsense("it answered something else than asked".to_owned());
                Err(process.start_error(spec, config, fault).await)
            }
            Err(fault) => Err(process.start_error(spec, config, fault).await),
        }
    }

    fn of(launched: Launched, config: &SupervisorConfig, board: &Board) -> Self {
        let eye = Eye {
            facts: launched.facts,
            memory_bytes_max: config.memory_bytes_max,
            cpu_max: Duration::from_secs(config.cpu_seconds_max),
            board: board.clone(),
        };
        Self {
            socket: launched.socket,
            eye,
            frame_bytes_max: config.frame_bytes_max,
        }
    }

    /// Everything up to the answer to the load request.
    async fn load(
        &mut self,
        spec: &RunnerSpec,
        artifact: File,
        artifact_bytes: u64,
        deadline: Instant,
    ) -> Result<Response, Fault> {
        let limit = self.frame_bytes_max;
        let socket = &mut self.socket;
        let ready = self.eye.guard(deadline, frame::read(socket, limit)).await?;
        let Response::Ready(RunnerReady { layers, threads, .. }) = ready else {
            return Ok(ready);
        };
        let pid = self.eye.facts.borrow().pid;
        self.eye.board.update(|status| {
            status.pid = pid;
            status.layers = layers;
            status.threads = threads;
        });
        let request = frame::encode(Request::Load(RunnerLoad {
            artifact_bytes,
            input_names: spec.inputs.clone(),
            output_names: spec.outputs.clone(),
        }));
        let exchange = async {
            frame::write(socket, &request).await?;
            let sent = tokio::io::copy(&mut artifact.take(artifact_bytes), socket).await;
            match sent {
                Ok(sent) if sent < artifact_bytes => Err(Broken::Nonsense(
                    "the artifact became shorter while it was read".to_owned(),
                )),
                // A runner that cannot go on may close its end and still have said why.
                _ => frame::read(socket, limit).await,
            }
        };
        self.eye.guard(deadline, exchange).await
    }

    /// Sends one request and waits for its answer until `deadline`.
    pub(crate) async fn ask(&mut self, request: &[u8], deadline: Instant) -> Result<Response, Fault> {
        let (socket, limit) = (&mut self.socket, self.frame_bytes_max);
        let exchange = async {
            frame::write(socket, request).await?;
            frame::read(socket, limit).await
        };
        self.eye.guard(deadline, exchange).await
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn ended(&mut self) {
        // The sender lives as long as the process is attended; its end is an end as well.
        let _ = self.eye.facts.wait_for(|facts| facts.end.is_some()).await;
    }

    /// Looks at an idle process: is it within its limits, and is it worn out and better replaced?
    pub(crate) fn look(&self) -> Result<bool, Fault> {
        let Some(sample) = self.eye.look()? else {
            return Ok(false);
        };
        Ok(sample.cpu > self.eye.cpu_max * WORN_PERCENT / 100)
    }

    /// Asks the process to leave, then ends it.
    pub(crate) async fn shut_down(mut self, deadline: Instant) {
        let request = frame::encode(Request::Shutdown(fieldmark_proto::v1::RunnerShutdown {}));
        let leave = async {
            frame::write(&mut self.socket, &request).await?;
            frame::read(&mut self.socket, 0).await
        };
        // Success is a closed socket, so there is no answer to look at.
        let _ = self.eye.guard(deadline, leave).await;
        self.end().await;
    }

    /// Kills the process if it still runs, waits until it is reaped, and says how it ended.
    pub(crate) async fn end(self) -> Facts {
        let Self { socket, mut eye, .. } = self;
        drop(socket);
        match timeout(END_WITHIN, eye.facts.wait_for(|facts| facts.over)).await {
            Ok(Ok(facts)) => facts.clone(),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(
                    "a runner was told to end and did not within {} s",
                    END_WITHIN.as_secs()
                );
                Facts::default()
            }
        }
    }

    async fn start_error(self, spec: &RunnerSpec, config: &SupervisorConfig, fault: Fault) -> StartError {
        let facts = self.end().await;
        let name = spec.name.clone();
        match (fault, &facts.end) {
            (_, Some(End::Layer { layer, message })) => StartError::Isolation {
                name,
                message: format!("{layer}: {message}"),
                hint: probe::hint(layer).map(str::to_owned),
            },
            (Fault::TimedOut, _) => StartError::TimedOut {
                name,
                after: config.load_timeout,
            },
            (Fault::Memory, _) => StartError::MemoryExceeded {
                name,
                limit_bytes: config.memory_bytes_max,
            },
            (Fault::Nonsense(cause), _) => StartError::Crashed { name, cause },
            (Fault::Cpu | Fault::Ended, _) => StartError::Crashed {
                name,
                cause: facts.cause(),
            },
        }
    }
}

impl Eye {
    /// Runs `exchange`, looking at the process meanwhile.
    async fn guard<T>(
        &self,
        deadline: Instant,
        exchange: impl Future<Output = Result<T, Broken>>,
    ) -> Result<T, Fault> {
        tokio::pin!(exchange);
        let mut ticks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                outcome = &mut exchange => return outcome.map_err(|broken| match broken {
                    Broken::Closed => Fault::Ended,
                    Broken::Nonsense(what) => Fault::Nonsense(what),
                }),
                () = sleep_until(deadline) => return Err(Fault::TimedOut),
                _ = ticks.tick() => { self.look()?; }
            }
        }
    }

    fn look(&self) -> Result<Option<Sample>, Fault> {
        let pid = self.facts.borrow().pid;
        let Some(sample) = pid.and_then(sample) else {
            return Ok(None);
        };
        self.board.update(|status| {
            status.pid = pid;
            status.memory_bytes = sample.memory_bytes;
            status.memory_bytes_peak = status.memory_bytes_peak.max(sample.memory_bytes);
        });
        if sample.memory_bytes > self.memory_bytes_max {
            return Err(Fault::Memory);
        }
        if sample.cpu >= self.cpu_max {
            return Err(Fault::Cpu);
        }
        Ok(Some(sample))
    }
}

async fn open_artifact(spec: &RunnerSpec) -> Result<(File, u64), StartError> {
    let fail = |cause: String| StartError::Artifact {
        name: spec.name.clone(),
        path: spec.artifact.clone(),
        cause,
    };
    let file = File::open(&spec.artifact)
        .await
        .map_err(|error| fail(error.to_string()))?;
    let metadata = file.metadata().await.map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fail("it is not a file".to_owned()));
    }
    Ok((file, metadata.len()))
}

fn refused(spec: &RunnerSpec, config: &SupervisorConfig, failed: RunnerFailed) -> StartError {
    let name = spec.name.clone();
    let code = failed.code();
    match code {
        FailureCode::Isolation => StartError::Isolation {
            name,
            message: failed.message,
            hint: None,
        },
        FailureCode::Memory => StartError::MemoryExceeded {
            name,
            limit_bytes: config.memory_bytes_max,
        },
        _ => StartError::Rejected {
            name,
            code,
            message: failed.message,
        },
    }
}
