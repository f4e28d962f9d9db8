//! `cargo xtask test`: everything is built once, then every test runs.
//!
//! The programs are built before the tests, because end-to-end tests start them. Whether tests in a
//! browser run or are skipped is said before. The test runner's own
//! closing line stays the last one.

use std::process::{ExitCode, ExitStatus};

use anyhow::Result;
use clap::Args;
use fieldmark_tests::Browser;

use crate::process::{self, Stages, seconds};
use crate::setup;
use crate::workspace::Workspace;

/// What [`Workspace::build`] has built, without benches, which `cargo test` would run to the end.
const TEST_FLAGS: &[&str] = &["--workspace", "--lib", "--bins", "--tests", "--examples"];

/// What `cargo xtask test` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Passed on to the test runner (`cargo nextest run` where installed, else `cargo test`)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Sets up, builds and runs the tests; ends with the runner's own exit code.
///
/// # Errors
/// When the setup or the build fails, or the runner cannot be started.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let stages = Stages::start();
    stages.stage("setup", || setup::ensure(workspace))?;
    let clients = stages.stage("clients", || setup::clients::ensure(workspace))?;
    stages.stage("build", || workspace.build())?;
    if options.arguments.is_empty() {
        let mut documentation = workspace.cargo();
        documentation.args(["test", "--workspace", "--doc"]);
        stages.stage("doctests", || process::run(&mut documentation))?;
    }
    match Browser::find() {
        Some(program) => eprintln!("== browser: pages are tried in {}", program.display()),
        None => eprintln!("== browser: no Chromium is installed, so tests in a browser are SKIPPED"),
    }
    eprintln!("== tests: started after {}", seconds(stages.elapsed()));
    let mut tests = workspace.cargo();
    if process::find_in_path("cargo-nextest").is_some() {
        tests.args(["nextest", "run"]);
    } else {
        tests.arg("test");
    }
    tests
        .env(setup::clients::VARIABLE, clients)
        .arg("--no-fail-fast")
        .args(TEST_FLAGS)
        .args(&options.arguments);
    Ok(exit_code(process::status(&mut tests)?))
}

fn exit_code(ended: ExitStatus) -> ExitCode {
    match ended.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_runners_exit_code_is_kept() {
        let ended = Command::new("sh").args(["-c", "exit 101"]).status().unwrap();
        assert_eq!(
            format!("{:?}", exit_code(ended)),
            format!("{:?}", ExitCode::from(101))
        );
    }

    #[test]
    fn a_runner_that_was_killed_has_failed() {
        let ended = Command::new("sh").args(["-c", "kill -9 $$"]).status().unwrap();
        assert_eq!(
            format!("{:?}", exit_code(ended)),
            format!("{:?}", ExitCode::FAILURE)
        );
    }
}
