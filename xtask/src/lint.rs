//! `cargo xtask lint`: every check that needs no test run. All are made; the last line names those that
//! failed.

use anyhow::{Context, Result, bail};

use crate::process::{self, Stages, seconds};
use crate::workspace::{BUILD_FLAGS, Workspace};
use crate::{layers, setup};

mod house;
mod licences;
mod spdx;

/// Checks formatting, house rules, layers, licences and clippy, the fast ones first.
///
/// # Errors
/// When any check fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let stages = Stages::start();
    stages.stage("setup", || setup::ensure(workspace))?;
    let checks: [(&str, &dyn Fn() -> Result<()>); 5] = [
        ("fmt", &|| formatting(workspace)),
        ("house", &|| house::run(workspace)),
        ("layers", &|| layers::run(workspace)),
        ("licences", &|| licences::run(workspace)),
        ("clippy", &|| clippy(workspace)),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(error) = stages.stage(name, check) {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    println!("lint passed in {}", seconds(stages.elapsed()));
    Ok(())
}

/// Names the files only: the differences are what `cargo fmt` makes.
fn formatting(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args(["fmt", "--all", "--", "--check", "-l"]))
        .context("some files are not formatted: run `cargo fmt --all`")
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.arg("clippy").args(BUILD_FLAGS);
    process::run(command.args(["--keep-going", "--", "-D", "warnings"]))
}
