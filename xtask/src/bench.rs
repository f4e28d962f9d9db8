//! `cargo xtask bench`: what is measured, each number beside a named baseline.
//!
//! The smoke suite is what a user waits for; its baseline is the goal set for the number, or, for starting
//! the command, what this machine needs to start a program that does nothing. The other suites are bench
//! programs of the packages they measure, which print such lines themselves. A ratio above 1 is worse than
//! a baseline of time or memory, and better than one of throughput.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::process::Stages;
use crate::setup;
use crate::workspace::Workspace;

mod programs;
mod smoke;

/// What `cargo xtask bench` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Debug, Subcommand)]
enum Suite {
    /// What every user meets: the command, a node, the demo, a simulation
    Smoke {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Accountants and exact samplers
    Privacy(programs::Options),
    /// Uploads and joint verification of sealed reports
    Aggregation(programs::Options),
    /// Bradley-Terry and boards
    Ranking(programs::Options),
    /// Servers of models under load, client included
    Serving(programs::Options),
}

/// Builds, measures and prints.
///
/// # Errors
/// When the setup or the build fails; a number that could not be taken is told by the exit code.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let stages = Stages::start();
    stages.stage("setup", || setup::ensure(workspace))?;
    match &options.suite {
        Suite::Smoke { json } => smoke::run(workspace, &stages, *json),
        Suite::Privacy(options) => programs::run(workspace, &programs::PRIVACY, options),
        Suite::Aggregation(options) => programs::run(workspace, &programs::AGGREGATION, options),
        Suite::Serving(options) => programs::serving(workspace, options),
        Suite::Ranking(options) => programs::run(workspace, &programs::RANKING, options),
    }
}

/// One number.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    value: Option<f64>,
    unit: &'static str,
    baseline: f64,
    ratio: Option<f64>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Line {
    fn new(name: &'static str, unit: &'static str, baseline: f64, measured: Result<f64>) -> Self {
        let error = measured.as_ref().err().map(|error| format!("{error:#}"));
        let value = measured.ok();
        Self {
            name,
            value,
            unit,
            baseline,
            ratio: value.map(|value| value / baseline),
            error,
        }
    }

    fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let Self {
            name, unit, baseline, ..
        } = self;
        match (self.value, self.ratio, &self.error) {
            (Some(value), Some(ratio), _) => {
                println!(
                    "{name:<18} {value:>9.2} {unit:<3} baseline {baseline:>7.2} {unit:<3} ratio {ratio:.2}"
                );
            }
            (.., error) => println!(
                "{name:<18} not measured: {}",
                error.as_deref().unwrap_or("unknown")
            ),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_compares() {
        let line = Line::new("help", "ms", 2.0, Ok(3.0));
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(
            json,
            r#"{"name":"help","value":3.0,"unit":"ms","baseline":2.0,"ratio":1.5}"#
        );
        let failed = Line::new("help", "ms", 2.0, Err(anyhow::anyhow!("gone")));
        assert!(
            serde_json::to_string(&failed)
                .unwrap()
                .contains(r#""value":null"#)
        );
    }
}
