//! `cargo xtask sim`: one scenario under many seeds, in one process on all cores.
//!
//! The program runs the first seed twice and says whether both gave the same hash. A failure is printed with
//! its seed and the command that replays it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// The program that simulates.
const PROGRAM: &str = "fieldmark";

/// What is run when no other scenario is named, relative to the workspace.
pub(crate) const SMOKE: &str = "simulations/scenarios/smoke.toml";

/// What `cargo xtask sim` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    start: u64,
    /// The scenario
    #[arg(long, value_name = "FILE", default_value = SMOKE)]
    scenario: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A seed that failed, as the program tells it.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    seed: u64,
    violations: Vec<String>,
    replay: String,
}

/// What the program says of all seeds.
#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    scenario: String,
    start: u64,
    seeds: u64,
    passed: bool,
    first_hash: String,
    events: u64,
    #[serde(default)]
    outcomes: BTreeMap<String, u64>,
    #[serde(default)]
    deeds: BTreeMap<String, u64>,
    failed: u64,
    failures: Vec<Failure>,
    /// Measured here.
    #[serde(default)]
    seconds: f64,
}

/// The command line of one simulation.
pub(crate) fn command(program: &Path, scenario: &Path, seed: u64) -> Command {
    let mut command = Command::new(program);
    command
        .arg("simulate")
        .arg(scenario)
        .arg("--seed")
        .arg(seed.to_string());
    command
}

/// Runs the seeds and prints what failed.
///
/// # Errors
/// When the setup or the build fails or the scenario is missing; a failed seed is told by the exit code.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let scenario = workspace.root().join(&options.scenario);
    if !scenario.is_file() {
        bail!("no scenario at {}", scenario.display());
    }
    let last = options.start.checked_add(options.seeds);
    last.context("the last seed would not fit into 64 bits")?;
    setup::ensure(workspace)?;
    let binaries = workspace.build()?;
    let program = binaries.path(PROGRAM)?;

    let started = Instant::now();
    let mut summary = simulate(program, &scenario, options)?;
    summary.seconds = started.elapsed().as_secs_f64();
    if options.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        summary.print();
    }
    Ok(if summary.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn simulate(program: &Path, scenario: &Path, options: &Options) -> Result<Summary> {
    let mut command = command(program, scenario, options.start);
    command
        .arg("--seeds")
        .arg(options.seeds.to_string())
        .arg("--json");
    read(&process::output(&mut command)?)
}

/// What a finished program says, if it holds together with how it ended.
fn read(done: &Output) -> Result<Summary> {
    let text = String::from_utf8_lossy(&done.stdout);
    // The first JSON value is the summary; whatever follows is for people.
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Summary>();
    let told = values.next().unwrap_or_else(|| serde_json::from_str(""));
    let summary = told.with_context(|| {
        format!(
            "it ended with {} and no summary: {}",
            done.status,
            process::last_lines(&done.stderr)
        )
    })?;
    if summary.passed != done.status.success() {
        bail!(
            "it says passed: {}, but ended with {}",
            summary.passed,
            done.status
        );
    }
    Ok(summary)
}

impl Summary {
    fn print(&self) {
        for failure in &self.failures {
            println!("seed {} failed:", failure.seed);
            for violation in &failure.violations {
                println!("  {violation}");
            }
            println!("  replay: {}", failure.replay);
        }
        if !self.passed && self.failed == 0 {
            println!("two runs of seed {} differ", self.start);
        }
        println!(
            "{}: {} seeds from {}, {} failed, {} events, {:.1} s ({:.1} ms a seed); {}{}",
            self.scenario,
            self.seeds,
            self.start,
            self.failed,
            self.events,
            self.seconds,
            self.seconds * 1e3 / count(self.seeds.max(1)),
            counts(&self.outcomes),
            if self.deeds.is_empty() {
                String::new()
            } else {
                format!("; adversaries: {}", counts(&self.deeds))
            }
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn count(number: u64) -> f64 {
    number as f64
}

fn counts(of: &BTreeMap<String, u64>) -> String {
    let each = of.iter().map(|(name, count)| format!("{count} {name}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The summary of a program that answers like `fieldmark simulate`, by shell lines.
    fn summary(script: &str) -> Result<Summary> {
        let folder = tempfile::tempdir().unwrap();
        let program = process::script(folder.path(), script);
        let options = Options {
            seeds: 5,
            start: 3,
            scenario: SMOKE.into(),
            json: false,
        };
        simulate(&program, Path::new(SMOKE), &options)
    }

    const PASSED: &str = r#"echo "{\"scenario\":\"smoke\",\"start\":$4,\"seeds\":$6,\"passed\":true,\"first_hash\":\"h\",\"events\":10,\"failed\":0,\"failures\":[]}""#;

    #[test]
    fn the_program_is_told_the_seeds_and_its_summary_is_read() {
        let summary = summary(PASSED).unwrap();
        assert!(summary.passed);
        assert_eq!((summary.start, summary.seeds, summary.events), (3, 5, 10));
    }

    #[test]
    fn a_failed_seed_comes_with_its_replay() {
        let script = r#"echo "{\"scenario\":\"s\",\"start\":3,\"seeds\":5,\"passed\":false,\"first_hash\":\"h\",\"events\":1,\"failed\":1,\"failures\":[{\"seed\":6,\"violations\":[\"budget overspent\"],\"replay\":\"fieldmark simulate s --seed 6\"}]}"; exit 1"#;
        let summary = summary(script).unwrap();
        assert_eq!(summary.failures.len(), 1);
        assert_eq!(summary.failures[0].violations, ["budget overspent"]);
        assert!(summary.failures[0].replay.ends_with("--seed 6"));
    }

    #[test]
    fn a_crash_is_an_error_with_its_last_words() {
        let error = summary("echo 'out of cards' >&2; exit 101").unwrap_err();
        assert!(format!("{error:#}").contains("out of cards"), "{error:#}");
    }

    #[test]
    fn an_exit_code_that_contradicts_the_summary_is_an_error() {
        assert!(summary(&format!("{PASSED}; exit 1")).is_err());
    }
}
