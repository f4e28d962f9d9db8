//! One runner process: started, loaded, asked, ended. Every wait has a deadline.

use crate::frame::{self, Broken, Channel};
use crate::launch::{End, Facts, Launched, launch};
use crate::layer::hint;
use crate::status::Board;
use crate::watch::{Signs, Verdict, Watch};
use crate::{Arena, Device, FailureCode, Limits, RunnerSpec, Runtime, StartError, SupervisorConfig};
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{RunnerFailed, RunnerLoad, RunnerReady, RunnerShutdown};
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// How long an ended process may take to disappear; killing is immediate, so this is only a backstop.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How much of an artifact is read at once.
const CHUNK_BYTES: usize = 1 << 20;

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

/// A live process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    channel: Channel,
    facts: watch::Receiver<Facts>,
    signs: Arc<Signs>,
}

impl Process {
    /// Starts a process and loads the release into it.
    pub(crate) async fn start(
        config: &SupervisorConfig,
        spec: &RunnerSpec,
        limits: &Limits,
        board: &Board,
    ) -> Result<Self, StartError> {
        let started = Instant::now();
        let (program, found) = config.runner_of(&spec.runtime);
        let runner = found.ok_or_else(|| StartError::NoRunner {
            name: spec.name.clone(),
            runtime: spec.runtime.name(),
            program,
        })?;
        let artifact = open_artifact(spec).await?;
        let launched = launch(config, runner, spec, limits).map_err(|error| StartError::Spawn {
            name: spec.name.clone(),
            program: config.launcher.clone(),
            cause: error.to_string(),
        })?;
        let mut process = Self::of(launched, config, spec.arena.clone(), limits, board);
        let deadline = started + limits.load_timeout;
        process.signs.begin();
        let outcome = process
            .before(deadline, async |process| {
                process.load(spec, artifact, board).await
            })
            .await;
        process.signs.finish();
        match outcome {
            Ok(Response::Loaded(_)) => {
                board.update(|status| status.load_time = started.elapsed());
                Ok(process)
            }
            Ok(Response::Failed(failed)) => {
                process.end().await;
                Err(refused(spec, limits, failed))
            }
            Ok(_) => {
                let fault = Fault::Nonsense("it answered something else than asked".to_owned());
                Err(process.start_error(spec, limits, fault).await)
            }
            Err(fault) => Err(process.start_error(spec, limits, fault).await),
        }
    }

    fn of(
        launched: Launched,
        config: &SupervisorConfig,
        arena: Option<Arena>,
        limits: &Limits,
        board: &Board,
    ) -> Self {
        let channel = Channel::new(launched.socket, config.frame_bytes_max);
        let signs = Arc::new(Signs::default());
        let watch = Watch {
            socket: Arc::downgrade(channel.socket()),
            signs: signs.clone(),
            facts: launched.facts.clone(),
            limits: limits.clone(),
            arena,
            board: board.clone(),
        };
        tokio::spawn(watch.run());
        Self {
            channel,
            facts: launched.facts,
            signs,
        }
    }

    /// Everything up to the answer to the load request.
    async fn load(
        &mut self,
        spec: &RunnerSpec,
        artifact: Option<(File, u64)>,
        board: &Board,
    ) -> Result<Response, Broken> {
        let ready = self.channel.read().await?;
        let Response::Ready(ready) = ready else {
            return Ok(ready);
        };
        self.announce(ready, board).await;
        let artifact_bytes = artifact.as_ref().map_or(0, |(_, bytes)| *bytes);
        let request = frame::encode(Request::Load(RunnerLoad {
            artifact_bytes,
            input_names: spec.inputs.clone(),
            output_names: spec.outputs.clone(),
        }));
        self.channel.write(&request).await?;
        if let Some((file, bytes)) = artifact {
            match self.send(file, bytes).await {
                // A runner that cannot go on may close its end and still have said why.
                Ok(()) | Err(Broken::Closed) => {}
                Err(nonsense) => return Err(nonsense),
            }
        }
        let mut answer = self.channel.read().await?;
        if let Response::Failed(failed) = &mut answer
            && failed.code() == FailureCode::Isolation
        {
            // The layers were in force when it said that it is ready: these words are the model's.
            failed.set_code(FailureCode::Artifact);
        }
        Ok(answer)
    }

    async fn announce(&mut self, ready: RunnerReady, board: &Board) {
        // The launcher has said it before the runner said that it is ready, on another pipe.
        let facts = self
            .facts
            .wait_for(|facts| facts.pid.is_some() || facts.over)
            .await;
        let (pid, group) = match facts {
            Ok(facts) => (facts.pid, facts.control_group.clone()),
            Err(_) => (None, None),
        };
        board.update(|status| {
            status.pid = pid;
            status.layers = ready.layers;
            status.threads = ready.threads;
            status.device = ready.device;
            status.control_group = group.map(|group| group.display().to_string());
        });
    }

    async fn send(&self, file: File, bytes: u64) -> Result<(), Broken> {
        let mut artifact = file.take(bytes);
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let mut left = bytes;
        while left > 0 {
            chunk.clear();
            let read = artifact.read_buf(&mut chunk).await;
            let read =
                read.map_err(|error| Broken::Nonsense(format!("the artifact cannot be read: {error}")))?;
            if read == 0 {
                return Err(Broken::Nonsense(
                    "the artifact became shorter while it was read".to_owned(),
                ));
            }
            self.channel.write(&chunk).await?;
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Sends one request and waits for its answer until `deadline`.
    pub(crate) async fn ask(&mut self, request: &[u8], deadline: Instant) -> Result<Response, Fault> {
        self.signs.begin();
        let outcome = self
            .before(deadline, async |process| {
                process.channel.write(request).await?;
                process.channel.read().await
            })
            .await;
        self.signs.finish();
        outcome
    }

    /// Makes an exchange that ends with the deadline.
    async fn before<T>(
        &mut self,
        deadline: Instant,
        exchange: impl AsyncFnOnce(&mut Self) -> Result<T, Broken>,
    ) -> Result<T, Fault> {
        let outcome = timeout_at(deadline, exchange(self)).await;
        outcome
            .map_err(|_| Fault::TimedOut)?
            .map_err(|broken| match (broken, self.signs.verdict()) {
                (_, Verdict::Memory) => Fault::Memory,
                (_, Verdict::Cpu) => Fault::Cpu,
                (Broken::Closed, Verdict::Fine) => Fault::Ended,
                (Broken::Nonsense(what), Verdict::Fine) => Fault::Nonsense(what),
            })
    }

    /// Whether it has ended by itself, or is being ended.
    pub(crate) fn has_ended(&self) -> Option<Fault> {
        match self.signs.verdict() {
            Verdict::Memory => Some(Fault::Memory),
            Verdict::Cpu => Some(Fault::Cpu),
            Verdict::Fine => self.facts.borrow().end.is_some().then_some(Fault::Ended),
        }
    }

    /// Whether it is better replaced before the next request.
    pub(crate) fn worn(&self) -> bool {
        self.signs.worn()
    }

    /// Asks the process to leave, then ends it.
    pub(crate) async fn shut_down(mut self, deadline: Instant) {
        let request = frame::encode(Request::Shutdown(RunnerShutdown {}));
        // Success is a closed socket, so there is no answer to look at.
        self.signs.begin();
        let leave = async {
            self.channel.write(&request).await?;
            self.channel.read().await.map(drop)
        };
        let _ = timeout_at(deadline, leave).await;
        self.end().await;
    }

    /// Kills the process if it still runs, waits until it is reaped, and says how it ended.
    pub(crate) async fn end(self) -> Facts {
        let Self {
            channel, mut facts, ..
        } = self;
        drop(channel);
        match timeout(END_WITHIN, facts.wait_for(|facts| facts.over)).await {
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

    async fn start_error(self, spec: &RunnerSpec, limits: &Limits, fault: Fault) -> StartError {
        let facts = self.end().await;
        let name = spec.name.clone();
        match (fault, &facts.end) {
            (_, Some(End::Layer { layer, message })) => StartError::Isolation {
                name,
                message: format!("{layer}: {message}"),
                hint: hint(layer).map(str::to_owned),
            },
            (Fault::TimedOut, _) => StartError::TimedOut {
                name,
                after: limits.load_timeout,
            },
            (fault, _) if matches!(fault, Fault::Memory) || facts.out_of_memory => {
                StartError::MemoryExceeded {
                    name,
                    limit_bytes: limits.memory_bytes_max,
                }
            }
            (Fault::Nonsense(cause), _) => StartError::Crashed { name, cause },
            (Fault::Memory | Fault::Cpu | Fault::Ended, _) => StartError::Crashed {
                name,
                cause: facts.cause(),
            },
        }
    }
}

/// The artifact and its length; none for a runtime that reads folders.
async fn open_artifact(spec: &RunnerSpec) -> Result<Option<(File, u64)>, StartError> {
    if let Runtime::Python(_) = spec.runtime {
        return Ok(None);
    }
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
    Ok(Some((file, metadata.len())))
}

fn refused(spec: &RunnerSpec, limits: &Limits, failed: RunnerFailed) -> StartError {
    let name = spec.name.clone();
    let code = failed.code();
    match code {
        FailureCode::Isolation => StartError::Isolation {
            name,
            message: failed.message,
            hint: None,
        },
        FailureCode::Memory if limits.device == Device::Cpu => StartError::MemoryExceeded {
            name,
            limit_bytes: limits.memory_bytes_max,
        },
        _ => StartError::Rejected {
            name,
            code,
            message: failed.message,
        },
    }
}
