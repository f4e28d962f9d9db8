//! Running a command to its end: what it wrote, and how it ended.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::programs::Programs;

/// Lines of error output that an error message repeats.
const ERROR_LINES_MAX: usize = 12;

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command line.
    pub line: String,
    /// Exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, as is.
    pub stdout: String,
    /// Standard error, as is.
    pub stderr: String,
}

impl Answer {
    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("`{}` printed no JSON: {:?}", self.line, self.stdout))
    }

    /// The answer, if the command succeeded.
    ///
    /// # Errors
    /// When it did not; the message repeats its last words.
    pub fn success(self) -> Result<Self> {
        if self.code == Some(0) {
            return Ok(self);
        }
        let ended = self
            .code
            .map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        bail!("`{}` ended with {ended}\n{}", self.line, self.last_words());
    }

    /// The last lines of its error output, or of its output when there are none.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines
            .get(lines.len().saturating_sub(ERROR_LINES_MAX)..)
            .unwrap_or_default()
            .join("\n")
    }
}

/// Runs a command without input to its end, which must come within `limit`.
///
/// # Errors
/// When it cannot be started or takes too long; how it ended is in the answer.
pub fn answer(programs: &Programs, mut command: Command, limit: Duration) -> Result<Answer> {
    let line = programs.tell(&command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let group = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("a process has an id")?;
    let (done, ended) = mpsc::sync_channel(1);
    thread::spawn(move || done.send(child.wait_with_output()));
    let output: Output = match ended.recv_timeout(limit) {
        Ok(output) => output.with_context(|| format!("cannot wait for `{line}`"))?,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let _ = kill_process_group(group, Signal::KILL);
            bail!("`{line}` did not end within {} s", limit.as_secs());
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer {
        line,
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}
