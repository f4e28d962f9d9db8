//! `fieldmark serve`: started with packages, found on free ports, looked at, ended.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::Programs;
use crate::wait::until;

/// How long models may take to load; generous, for environments that are built first.
const READY_MAX: Duration = Duration::from_secs(300);
/// How long an orderly end may take.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    /// Address of its REST face.
    pub http: String,
    /// Address of its gRPC face.
    pub grpc: String,
}

/// What a process holds, as the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its private memory, in bytes.
    pub memory_bytes: u64,
    /// Private memory of the processes below it, in bytes.
    pub below_bytes: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Processes below it.
    pub processes: usize,
    /// Its threads.
    pub threads: usize,
}

impl Server {
    /// Serves `models` (package folders or releases), with further options, from files in `scratch`. It ends with
    /// the calling thread at the latest.
    ///
    /// # Errors
    /// When it cannot be started or ends before it serves; the message repeats its last words.
    pub fn start<M: AsRef<OsStr>>(
        programs: &Programs,
        scratch: &Path,
        models: &[M],
        options: &[&str],
    ) -> Result<Self> {
        let (out, log) = (scratch.join("serve.jsonl"), scratch.join("serve.log"));
        let mut command = programs.fieldmark();
        command
            .args([
                "serve",
                "--json",
                "--http",
                "127.0.0.1:0",
                "--grpc",
                "127.0.0.1:0",
            ])
            .args(options)
            .args(models)
            .env("FIELDMARK_DATA", scratch.join("data"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        let line = programs.tell(&command);
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&out)?)
            .stderr(create(&log)?)
            .spawn();
        let mut server = Self {
            child: child.with_context(|| format!("cannot start `{line}`"))?,
            log,
            http: String::new(),
            grpc: String::new(),
        };
        let ready = until("the server to be ready", READY_MAX, || {
            if let Some(ended) = server.child.try_wait()? {
                bail!("the server ended ({ended})\n{}", server.last_words());
            }
            let text = fs::read_to_string(&out)?;
            let events = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut events = events.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            Ok(events.find(|event| event.get("event").and_then(Value::as_str) == Some("ready")))
        })?;
        let address = |name: &str| -> Result<String> {
            let found = ready.get(name).and_then(Value::as_str);
            Ok(found
                .with_context(|| format!("no '{name}' in {ready}"))?
                .to_owned())
        };
        let http = address("http")?;
        http.clone_into(&mut server.http);
        server.grpc = address("grpc")?;
        Ok(server)
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn held(&self) -> Result<Held> {
        let server = self.child.id();
        let below = descendants(server);
        let count =
            |file: &str| -> Result<usize> { Ok(fs::read_dir(format!("/proc/{server}/{file}"))?.count()) };
        Ok(Held {
            memory_bytes: private_bytes(server).context("the server is gone")?,
            below_bytes: below.iter().filter_map(|pid| private_bytes(*pid)).sum(),
            descriptors: count("fd")?,
            processes: below.len(),
            threads: count("task")?,
        })
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(15)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Id of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    /// When it does not end in time, not with success, or leaves a process behind.
    pub fn stop(mut self) -> Result<()> {
        let below = descendants(self.child.id());
        if let Some(pid) = self.pid() {
            kill_process(pid, Signal::TERM).context("cannot send the signal")?;
        }
        let ended = until("the server to end", STOP_MAX, || Ok(self.child.try_wait()?))?;
        ensure!(
            ended.success(),
            "the server ended with {ended}\n{}",
            self.last_words()
        );
        let left: Vec<u32> = below
            .into_iter()
            .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
            .collect();
        ensure!(left.is_empty(), "the server left the processes {left:?} behind");
        Ok(())
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Some(pid) = self.pid() {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Private memory of a process, in bytes; nothing for one that has ended.
fn private_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processes below `root`, however deep.
fn descendants(root: u32) -> Vec<u32> {
    let parents = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            Some((pid, rest.split_whitespace().nth(1)?.parse::<u32>().ok()?))
        });
    let parents: Vec<(u32, u32)> = parents.collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.split_off(1)
}
