//! Python's package installer as a plain downloader of wheels.
//!
//! It only ever writes into a given folder. Packages are asked for without their dependencies and
//! never built from source.

use std::io::{IsTerminal as _, stderr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process;

/// Unpacks `packages` into `target`.
///
/// `python` is the interpreter version whose wheels are taken, where that matters; the installed
/// interpreter's own version does not.
///
/// # Errors
/// When pip fails; the message carries its last lines.
pub(super) fn install(packages: &[&str], python: Option<&str>, target: &Path, scratch: &Path) -> Result<()> {
    let mut command = pip("install", scratch)?;
    command.args(["--no-compile", "--target"]).arg(target);
    if let Some(version) = python {
        command.args(["--python-version", version]);
    }
    finish(command.args(packages))
}

/// Unpacks everything that the file `requirements` lists into `target`; each line carries its hashes.
///
/// # Errors
/// When pip fails; the message carries its last lines.
pub(super) fn install_locked(requirements: &Path, target: &Path, scratch: &Path) -> Result<()> {
    let mut command = pip("install", scratch)?;
    command
        .args(["--no-compile", "--require-hashes", "--target"])
        .arg(target);
    finish(command.arg("--requirement").arg(requirements))
}

/// Downloads the wheel of `package` into the folder `target`.
///
/// # Errors
/// When pip fails; the message carries its last lines.
pub(super) fn download(package: &str, target: &Path, scratch: &Path) -> Result<()> {
    let mut command = pip("download", scratch)?;
    finish(command.arg("--dest").arg(target).arg(package))
}

fn pip(verb: &str, scratch: &Path) -> Result<Command> {
    // Wheels of half a gigabyte are unpacked in the temporary folder, which may be small; here it is
    // on the cache's own disk, so that the last move is a rename.
    let temporary = scratch.join("tmp");
    std::fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", verb]);
    command.args(["--no-deps", "--only-binary=:all:"]);
    // A user's settings may name another place to install to, which contradicts --target.
    command
        .env("TMPDIR", temporary)
        .env("PIP_USER", "0")
        .env("PIP_REQUIRE_VIRTUALENV", "0");
    command.env("PIP_ROOT_USER_ACTION", "ignore");
    Ok(command)
}

/// On a terminal pip draws its own progress; elsewhere it is heard only when it fails.
fn finish(command: &mut Command) -> Result<()> {
    if stderr().is_terminal() {
        return process::run(command.stdin(Stdio::null()).stdout(stderr()));
    }
    process::capture(command.arg("--quiet")).map(|_| ())
}
