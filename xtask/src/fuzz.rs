//! `cargo xtask fuzz`: builds and runs the fuzz targets of the package `fuzz`, which needs no RocksDB, libp2p
//! or libtorch and the stable compiler only.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// What `cargo xtask fuzz` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which target; all of them when left out
    target: Option<String>,
    /// Time for each target
    #[arg(long)]
    seconds: Option<u64>,
    /// Makes the inputs: the same seed, the same inputs
    #[arg(long)]
    seed: Option<u64>,
    /// Name the targets and end
    #[arg(long)]
    list: bool,
}

/// Runs the targets; fails when one of them does.
///
/// # Errors
/// When the build cannot be started.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--locked", "--package", "fieldmark-fuzz", "--"]);
    command.args(options.arguments());
    Ok(match process::status(&mut command)?.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    })
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let number = |name: &str, value: Option<u64>| value.map(|value| format!("--{name}={value}"));
        let flags = [number("seconds", self.seconds), number("seed", self.seed)];
        let list = self.list.then(|| "--list".to_owned());
        let all = flags.into_iter().flatten().chain(list).chain(self.target.clone());
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_passed_on() {
        let options = Options {
            target: Some("task".into()),
            seconds: Some(5),
            seed: None,
            list: false,
        };
        assert_eq!(options.arguments(), ["--seconds=5", "task"]);
    }
}
