//! What can go wrong, one enum per operation. Each message is one line that names the release, the cause and,
//! where there is one, the fix.

use crate::FailureCode;
use std::path::PathBuf;
use std::time::Duration;

/// The supervisor cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The running program's path is unknown.
    #[error("cannot tell where this program is installed: {source}")]
    CurrentExe {
        /// The cause.
        source: std::io::Error,
    },
    /// A binary is not where it should be.
    #[error(
        "{program} is not in {}; install it beside fieldmark, or build it with \
         `cargo build -p fieldmark-runner -p fieldmark-launcher`",
        list(folders)
    )]
    NotFound {
        /// The missing program.
        program: &'static str,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
}

/// A release did not start.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The artifact cannot be read.
    #[error("release {name}: the artifact {} cannot be read: {cause}", path.display())]
    Artifact {
        /// The release.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The runner that its runtime needs is not installed.
    #[error(
        "release {name}: {program} is not installed beside fieldmark, and {runtime} releases need it; build it \
         with `cargo build -p {program}`"
    )]
    NoRunner {
        /// The release.
        name: String,
        /// Its runtime.
        runtime: &'static str,
        /// The missing program.
        program: &'static str,
    },
    /// The launcher cannot be executed.
    #[error("release {name}: cannot start {}: {cause}", program.display())]
    Spawn {
        /// The release.
        name: String,
        /// The launcher.
        program: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A layer of isolation is missing, so nothing was run.
    #[error(
        "release {name}: not started, because it could not be isolated: {message}{}",
        hint_text(hint)
    )]
    Isolation {
        /// The release.
        name: String,
        /// The layer and what failed.
        message: String,
        /// How to get the layer.
        hint: Option<String>,
    },
    /// The runner read the artifact and refused it.
    #[error("release {name}: {message}")]
    Rejected {
        /// The release.
        name: String,
        /// Whose fault it is.
        code: FailureCode,
        /// What is wrong.
        message: String,
    },
    /// Loading took too long; the process was killed.
    #[error("release {name}: not loaded after {} s, so its process was killed", after.as_secs_f32())]
    TimedOut {
        /// The release.
        name: String,
        /// The limit.
        after: Duration,
    },
    /// Loading took too much memory; the process was killed.
    #[error("release {name}: loading it takes more than the {} MiB of memory allowed", limit_bytes >> 20)]
    MemoryExceeded {
        /// The release.
        name: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The process ended while loading.
    #[error("release {name}: its process ended while loading: {cause}")]
    Crashed {
        /// The release.
        name: String,
        /// Exit status or signal, and the last words.
        cause: String,
    },
}

/// A request was not answered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The release is loaded and stays so, but this request failed: a wrong input, an exception in the model,
    /// an output that is too large.
    #[error("release {name}: {message}")]
    Rejected {
        /// The release.
        name: String,
        /// Whose fault it is.
        code: FailureCode,
        /// What is wrong.
        message: String,
    },
    /// The request is longer than a frame may be.
    #[error("release {name}: the request takes {bytes} bytes, {limit} allowed; send fewer records at once")]
    TooLarge {
        /// The release.
        name: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An input lies in memory that is not shared with this release. A mistake of the caller.
    #[error("release {name}: input {input} lies in another model's shared memory")]
    ForeignMemory {
        /// The release.
        name: String,
        /// The input.
        input: String,
    },
    /// The process ended during the request. The next request starts a new one.
    #[error("release {name}: its process ended during the request: {cause}")]
    Crashed {
        /// The release.
        name: String,
        /// Exit status or signal, and the last words.
        cause: String,
    },
    /// The process was killed because the request took too long. The next request starts a new one.
    #[error("release {name}: no answer after {} s, so its process was killed", after.as_secs_f32())]
    TimedOut {
        /// The release.
        name: String,
        /// The limit.
        after: Duration,
    },
    /// The model asked for more memory than allowed.
    #[error("release {name}: the request takes more than the {} MiB of memory allowed", limit_bytes >> 20)]
    MemoryExceeded {
        /// The release.
        name: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The process used up its CPU time. The next request starts a new one.
    #[error("release {name}: its process used up the {limit_seconds} s of CPU time allowed")]
    CpuExceeded {
        /// The release.
        name: String,
        /// The limit.
        limit_seconds: u64,
    },
    /// The process was gone and a new one did not start.
    #[error("restarting failed: {source}")]
    Restart {
        /// Why not.
        source: Box<StartError>,
    },
    /// The process failed several times in a row and is not started again just yet.
    #[error(
        "release {name}: its process failed {failures} times in a row and is next started in {} s; last: {last}",
        retry_in.as_secs_f32()
    )]
    BackingOff {
        /// The release.
        name: String,
        /// Failures in a row.
        failures: u32,
        /// Time to wait.
        retry_in: Duration,
        /// The latest failure.
        last: String,
    },
    /// The runner was shut down.
    #[error("release {name}: its runner has been shut down")]
    Stopped {
        /// The release.
        name: String,
    },
}

/// The layers of isolation cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The launcher cannot be executed.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The launcher.
        program: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The launcher answers something else: another version.
    #[error("{} answered {line:?}; is it of the same version as this program?", program.display())]
    Answer {
        /// The launcher.
        program: PathBuf,
        /// What it said.
        line: String,
    },
}

fn list(folders: &[PathBuf]) -> String {
    let listed: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    listed.join(" or ")
}

fn hint_text(hint: &Option<String>) -> String {
    hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"))
}
