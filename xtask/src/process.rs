//! Running child processes: what was run, how it ended and how long it took are always told.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Lines of a failed child's error output that its error message repeats.
const ERROR_LINES_MAX: usize = 20;

/// Runs `command` on this terminal and waits for it.
///
/// # Errors
/// When it cannot be started; how it ended is in the status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    let line = describe(command);
    command.status().with_context(|| format!("cannot start `{line}`"))
}

/// Runs `command` on this terminal.
///
/// # Errors
/// When it cannot be started or ends unsuccessfully.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let ended = status(command)?;
    if !ended.success() {
        bail!("`{}` failed: {ended}", describe(command));
    }
    Ok(())
}

/// Runs `command` without input and returns what it wrote and how it ended.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let line = describe(command);
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))
}

/// Runs `command` without input and returns its standard output, trimmed.
///
/// # Errors
/// When it cannot be started or ends unsuccessfully; the message carries its last lines of error output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let done = output(command)?;
    if !done.status.success() {
        bail!(
            "`{}` failed: {}\n{}",
            describe(command),
            done.status,
            last_lines(&done.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// The last lines of a child's output, for an error message.
pub(crate) fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(ERROR_LINES_MAX);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// The command line as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains(' ') {
        format!("'{word}'")
    } else {
        word.into_owned()
    }
}

/// The first executable called `name` on the search path.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The stages of a command, timed: each prints its seconds when it ends.
#[derive(Debug)]
pub(crate) struct Stages {
    started: Instant,
}

impl Stages {
    /// Starts the clock.
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Runs one stage and prints its name and seconds, whether it succeeds or not.
    pub(crate) fn stage<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work();
        let word = if result.is_ok() { "done" } else { "failed" };
        eprintln!("== {name}: {word} in {}", seconds(started.elapsed()));
        result
    }

    /// Time since the first stage.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A duration the way every stage prints it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Writes an executable shell script for a test and returns its path.
///
/// A child writes the file: were it open for writing here while another test starts a process, that
/// process would inherit it and the script could not be executed meanwhile.
#[cfg(test)]
pub(crate) fn script(folder: &Path, lines: &str) -> PathBuf {
    let path = folder.join("program");
    let writer = "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod +x \"$1\"";
    run(Command::new("sh")
        .args(["-c", writer, "sh"])
        .arg(&path)
        .arg(lines))
    .unwrap();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_child_is_named_with_its_last_words() {
        let error = capture(Command::new("sh").args(["-c", "echo 'no such peer' >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("exit status: 3") && text.contains("no such peer"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("fieldmark-no-such-program")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cannot start `fieldmark-no-such-program`")
        );
    }

    #[test]
    fn only_executables_are_found_on_the_path() {
        assert!(find_in_path("sh").is_some());
        assert!(find_in_path("fieldmark-no-such-program").is_none());
    }
}
