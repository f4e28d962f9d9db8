//! `cargo xtask gpu`: the checks that need an NVIDIA GPU. Everything else passes without one.
//!
//! It gets the CUDA libraries, builds the runners, and starts the supervisor's example `gpu`, which loads models
//! of TorchScript and ONNX on the device, compares with the processor, fills the device's memory, makes an error
//! on it and goes on, runs several models at once, and tries to break out. The example's exit status is the
//! answer.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// The driver's control node: it is there exactly if the driver is.
const NODE: &str = "/dev/nvidiactl";
/// What the example starts.
const RUNNERS: [&str; 3] = ["fieldmark-launcher", "fieldmark-runner", "fieldmark-runner-onnx"];

/// Runs the checks, or says that there is no GPU, which is no failure.
///
/// # Errors
/// When setup or build fails, or a check does.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    if !Path::new(NODE).exists() {
        println!("skipped: no NVIDIA device");
        return Ok(ExitCode::SUCCESS);
    }
    setup::run(workspace, &setup::Options::with_gpu())?;
    let mut build = workspace.cargo();
    build.arg("build");
    for package in RUNNERS {
        build.args(["--package", package]);
    }
    process::run(&mut build)?;
    let mut check = workspace.cargo();
    check.args(["run", "--package", "fieldmark-supervisor", "--example", "gpu"]);
    process::run(&mut check)?;
    Ok(ExitCode::SUCCESS)
}
