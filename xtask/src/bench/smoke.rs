//! The smoke suite: what a user waits for.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Line;
use crate::process::{self, Stages};
use crate::sim::SMOKE;
use crate::workspace::Workspace;
use crate::{demo, sim};

/// The program measured.
const PROGRAM: &str = "fieldmark";

/// Makes a data folder; the folder follows.
const INIT: &[&str] = &["init", "--data"];

/// Runs a node on that folder, telling its events as JSON lines; the folder follows.
const NODE_RUN: &[&str] = &["node", "run", "--json", "--data"];

/// The event by which a node says that it serves.
const READY: &str = "ready";

const HELP: &[&str] = &["--help"];
const HELP_RUNS: usize = 20;
const NOTHING: &str = "/bin/true";

const READY_MS_GOAL: f64 = 300.0;
const IDLE_MB_GOAL: f64 = 80.0;
const SIMULATION_SECONDS_GOAL: f64 = 3.0;

/// How long a node may take to serve, how long it then idles, and how long it may take to end.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds, measures and prints.
///
/// # Errors
/// When the build fails; a number that could not be taken is told by the exit code.
pub(super) fn run(workspace: &Workspace, stages: &Stages, json: bool) -> Result<ExitCode> {
    let binaries = stages.stage("build", || workspace.build())?;
    let program = binaries.path(PROGRAM)?;

    let mut complete = true;
    let mut tell = |line: Line| -> Result<()> {
        complete &= line.error.is_none();
        line.print(json)
    };
    let nothing = median_ms(|| spawned_ms(&mut Command::new(NOTHING)))?;
    let help = median_ms(|| spawned_ms(Command::new(program).args(HELP)));
    tell(Line::new("help", "ms", nothing, help))?;
    for line in node_lines(program) {
        tell(line)?;
    }
    let smoke = workspace.root().join(SMOKE);
    let simulation = seconds_of(&mut sim::command(program, &smoke, 1));
    tell(Line::new(
        "smoke_simulation",
        "s",
        SIMULATION_SECONDS_GOAL,
        simulation,
    ))?;
    // The build may have replaced the file this program runs from.
    let mut demonstration = Command::new(binaries.path("xtask")?);
    demonstration.args(demo::COMMAND).current_dir(workspace.root());
    tell(Line::new(
        "demo",
        "s",
        demo::SECONDS_MAX,
        seconds_of(&mut demonstration),
    ))?;
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The middle of [`HELP_RUNS`] measurements.
fn median_ms(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut values = (0..HELP_RUNS).map(|_| measure()).collect::<Result<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("nothing was measured")
}

fn spawned_ms(command: &mut Command) -> Result<f64> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    process::run(command)?;
    Ok(milliseconds(started.elapsed()))
}

fn seconds_of(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    process::capture(command)?;
    Ok(started.elapsed().as_secs_f64())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Starts a node on an empty data folder and takes both of its numbers.
fn node_lines(program: &Path) -> [Line; 2] {
    let started = start_node(program);
    let (ready, idle) = match started {
        Ok((node, ready_ms)) => {
            thread::sleep(IDLE);
            (Ok(ready_ms), resident_mb(node.child.id()))
        }
        Err(error) => {
            let idle = Err(anyhow::anyhow!("the node was not ready: {error:#}"));
            (Err(error), idle)
        }
    };
    [
        Line::new("node_ready", "ms", READY_MS_GOAL, ready),
        Line::new("node_idle_rss", "MB", IDLE_MB_GOAL, idle),
    ]
}

/// A running node and its data; stopped and removed when dropped.
struct Node {
    child: Child,
    _data: tempfile::TempDir,
}

fn start_node(program: &Path) -> Result<(Node, f64)> {
    let data = tempfile::tempdir().context("cannot make a data folder")?;
    process::capture(Command::new(program).args(INIT).arg(data.path()))?;
    let mut command = Command::new(program);
    command
        .args(NODE_RUN)
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let line = process::describe(&command);
    let started = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut node = Node { child, _data: data };
    let output = node.child.stdout.take().context("the node's output is piped")?;
    let (told, heard) = mpsc::sync_channel(1);
    // Reads on after the event, so that the node never waits for a full pipe.
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if is_ready(&line) {
                let _ = told.try_send(started.elapsed());
            }
        }
    });
    match heard.recv_timeout(READY_TIMEOUT) {
        Ok(elapsed) => Ok((node, milliseconds(elapsed))),
        Err(mpsc::RecvTimeoutError::Timeout) => bail!("`{line}` was not ready within {READY_TIMEOUT:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => bail!("`{line}` ended before it was ready"),
    }
}

fn is_ready(line: &str) -> bool {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    event.get("event").and_then(Value::as_str) == Some(READY)
}

fn resident_mb(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = kibibytes
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .context("the node has ended")?;
    Ok(kibibytes
        .trim()
        .parse::<f64>()
        .with_context(|| format!("{path} is not as expected"))?
        * 1024.0
        / 1e6)
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::TERM);
        }
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that answers like `fieldmark`, by the given shell lines.
    fn start(script: &str) -> Result<(Node, f64)> {
        let folder = tempfile::tempdir().unwrap();
        let program = process::script(folder.path(), &format!("[ $1 = init ] && exit 0\n{script}"));
        start_node(&program)
    }

    #[test]
    fn a_node_is_measured_up_to_its_ready_event() {
        let (node, ready_ms) =
            start(r#"echo starting; sleep 0.1; echo '{"event":"ready"}'; while :; do sleep 0.05; done"#)
                .unwrap();
        assert!((100.0..5000.0).contains(&ready_ms), "{ready_ms}");
        assert!(resident_mb(node.child.id()).unwrap() > 0.1);
        let stopping = Instant::now();
        drop(node);
        assert!(stopping.elapsed() < STOP_TIMEOUT);
    }

    #[test]
    fn a_node_that_ends_early_is_no_number() {
        let error = start("exit 2").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("ended before it was ready"));
    }
}
