//! Suites that are bench programs of the packages they measure: built and run by cargo under the one
//! profile that everything uses, because a second profile would compile RocksDB again.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// A bench program.
#[derive(Debug)]
pub(super) struct Program {
    package: &'static str,
    bench: &'static str,
}

/// Accountants and samplers.
pub(super) const PRIVACY: Program = Program {
    package: "fieldmark-fl",
    bench: "privacy",
};
/// A committee under load.
pub(super) const AGGREGATION: Program = Program {
    package: "fieldmark-node",
    bench: "aggregation",
};
/// Rankings and boards.
pub(super) const RANKING: Program = Program {
    package: "fieldmark-fl",
    bench: "ranking",
};

/// A server under load.
pub(super) const SERVING: Program = Program {
    package: "fieldmark-tests",
    bench: "serving",
};
/// A forward without a server.
const FORWARD: Program = Program {
    package: "fieldmark-runner",
    bench: "forward",
};

/// What a bench program is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// More for the program itself
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds the servers, measures the forward that they are compared with, then the servers.
pub(super) fn serving(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    workspace.build()?;
    let model = workspace.root().join("tests/fixtures/reference/layer/model.pt");
    let forward = process::capture(bench(workspace, &FORWARD).arg(model))?;
    let arguments = [
        vec!["--forward-us".to_owned(), forward],
        options.arguments.clone(),
    ]
    .concat();
    let options = Options {
        json: options.json,
        arguments,
    };
    run(workspace, &SERVING, &options)
}

fn bench(workspace: &Workspace, program: &Program) -> Command {
    let mut command = workspace.cargo();
    command
        .args(["bench", "--quiet", "--locked", "--profile", "dev"])
        .args(["--package", program.package, "--bench", program.bench, "--"]);
    command
}

/// Builds and runs a program; what it prints is its own.
pub(super) fn run(workspace: &Workspace, program: &Program, options: &Options) -> Result<ExitCode> {
    let mut command = bench(workspace, program);
    command
        .args(options.json.then_some("--json"))
        .args(&options.arguments);
    Ok(if process::status(&mut command)?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
