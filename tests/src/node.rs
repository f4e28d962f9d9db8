//! A running node: started, listened to, stopped or killed.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::participant::{Participant, text};
use crate::wait::{PAUSE, until};

/// A node is ready in a fraction of a second; this is for a machine that is busy with other things.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long an orderly end may take.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Lines of a node's log that an error message repeats.
const LOG_LINES_MAX: usize = 12;

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// libp2p addresses to listen on; empty: a free QUIC port on loopback.
    pub listen: Vec<String>,
    /// libp2p addresses of nodes to join through.
    pub bootstrap: Vec<String>,
    /// Whether it serves the public pages, on a free port on loopback.
    pub pages: bool,
}

/// What a node says about itself once it serves.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Address of the private API.
    pub api: String,
    /// Address of the public pages, if it serves them.
    pub pages: Option<String>,
    /// libp2p addresses.
    pub multiaddrs: Vec<String>,
    /// Time from its start.
    pub after: Duration,
}

/// A node's process. Killed when dropped.
#[derive(Debug)]
pub struct Node {
    /// Whose it is.
    pub name: String,
    child: Child,
    started: Instant,
    events: PathBuf,
    /// Where this run's part of the events file begins.
    from: u64,
    log: PathBuf,
}

impl Node {
    /// Starts a participant's node. Its events go to `NAME.jsonl` in `logs`, its log to `NAME.log`; runs
    /// after a restart follow those before.
    ///
    /// It ends with the calling thread at the latest.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(participant: &Participant, logs: &Path, options: &NodeOptions) -> Result<Self> {
        let mut command = participant.command(&["node", "run"]);
        command.args(["--api", "127.0.0.1:0", "--blobs", "127.0.0.1:0"]);
        let anywhere = ["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
        let listen = if options.listen.is_empty() {
            &anywhere[..]
        } else {
            &options.listen
        };
        command.args(listen.iter().flat_map(|address| ["--listen", address]));
        command.args(
            options
                .bootstrap
                .iter()
                .flat_map(|address| ["--bootstrap", address]),
        );
        if options.pages {
            command.args(["--pages", "127.0.0.1:0"]);
        }
        let (events, log) = (
            logs.join(format!("{}.jsonl", participant.name)),
            logs.join(format!("{}.log", participant.name)),
        );
        let open = |path: &Path| -> Result<File> {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("cannot open {}", path.display()))
        };
        let (out, err) = (open(&events)?, open(&log)?);
        let from = out
            .metadata()
            .with_context(|| format!("cannot read {}", events.display()))?
            .len();
        let line = participant.programs().tell(&command);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self {
            name: participant.name.clone(),
            child,
            started: Instant::now(),
            events,
            from,
            log,
        })
    }

    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// When it cannot be started or ends instead.
    pub fn started(participant: &Participant, logs: &Path, options: &NodeOptions) -> Result<(Self, Ready)> {
        let mut node = Self::start(participant, logs, options)?;
        let ready = node.ready()?;
        Ok((node, ready))
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// When it ends instead; the message repeats its last words.
    pub fn ready(&mut self) -> Result<Ready> {
        let event = until(&format!("{}'s node to be ready", self.name), READY_MAX, || {
            if let Some(ended) = self.ended()? {
                bail!(
                    "{}'s node ended ({ended}) before it was ready\n{}",
                    self.name,
                    self.last_words()
                );
            }
            Ok(self.events()?.into_iter().find(|event| is(event, "ready")))
        })?;
        let multiaddrs = event
            .get("multiaddrs")
            .and_then(Value::as_array)
            .context("no 'multiaddrs'")?;
        Ok(Ready {
            api: text(&event, "api")?.to_owned(),
            pages: event.get("pages").and_then(Value::as_str).map(str::to_owned),
            multiaddrs: multiaddrs
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            after: self.started.elapsed(),
        })
    }

    /// What it has told since this start, one event per line.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn events(&self) -> Result<Vec<Value>> {
        let failed = || format!("cannot read {}", self.events.display());
        let mut file = File::open(&self.events).with_context(failed)?;
        file.seek(SeekFrom::Start(self.from)).with_context(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(failed)?;
        // The last line may be half written.
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("no event: {line:?}"));
        whole.lines().map(parse).collect()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot watch {}'s node", self.name))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        until(&format!("{}'s node to end", self.name.clone()), limit, || {
            self.ended()
        })
    }

    /// Id of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(LOG_LINES_MAX)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    /// When it does not end in time, or not with success.
    pub fn stop(mut self) -> Result<()> {
        self.ask_to_end();
        let ended = self.wait(STOP_MAX)?;
        ensure!(
            ended.success(),
            "{}'s node ended with {ended}\n{}",
            self.name,
            self.last_words()
        );
        Ok(())
    }

    /// Sends the signal for an orderly end, and does not wait.
    pub fn ask_to_end(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Kills it as if the power had failed: nothing of its own runs any more.
    pub fn kill(self) {
        drop(self);
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Once it was waited for, its id may be another process's.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        while matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(PAUSE / 5);
        }
    }
}

fn is(event: &Value, name: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(name)
}
