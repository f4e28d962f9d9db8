//! `cargo xtask sim`: one scenario under many seeds, one process per core at a time.
//!
//! The first seed runs twice and must give the same hash. A failure is printed with its seed and the
//! command that replays it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// What a simulation prints about itself.
#[derive(Debug, Deserialize)]
struct Outcome {
    hash: String,
    passed: bool,
    #[serde(default)]
    violations: Vec<Value>,
    #[serde(default)]
    events: u64,
}

/// A seed that failed.
#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    reasons: Vec<String>,
    replay: String,
}

/// The summary of all seeds.
#[derive(Debug, Serialize)]
struct Report {
    scenario: String,
    start: u64,
    seeds: u64,
    passed: bool,
    first_hash: Option<String>,
    events: u64,
    seconds: f64,
    failures: Vec<Failure>,
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
    let last = last.context("the last seed would not fit into 64 bits")?;
    setup::ensure(workspace)?;
    let binaries = workspace.build()?;
    let program = binaries.path(PROGRAM)?;

    let started = Instant::now();
    let outcomes = pool(options.start, last, |seed| simulate(program, &scenario, seed));
    let mut report = summarise(program, &scenario, options, &outcomes);
    let again = simulate(program, &scenario, options.start);
    report.compare(options.start, &again, command(program, &scenario, options.start));
    report.seconds = started.elapsed().as_secs_f64();
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs `work` for each seed on as many threads as there are cores; results in order of seed.
fn pool<T: Send>(start: u64, end: u64, work: impl Fn(u64) -> T + Sync) -> Vec<(u64, T)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(start);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let result = work(seed);
                    results
                        .lock()
                        .expect("no worker panics while it holds the lock")
                        .push((seed, result));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .expect("no worker panics while it holds the lock");
    results.sort_by_key(|(seed, _)| *seed);
    results
}

fn simulate(program: &Path, scenario: &Path, seed: u64) -> Result<Outcome> {
    let done = process::output(command(program, scenario, seed).arg("--json"))?;
    let text = String::from_utf8_lossy(&done.stdout);
    // The first JSON value is the report; whatever follows is for people.
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Outcome>();
    let reported = values.next().unwrap_or_else(|| serde_json::from_str(""));
    let outcome = reported.with_context(|| {
        format!(
            "it ended with {} and no outcome: {}",
            done.status,
            process::last_lines(&done.stderr)
        )
    })?;
    if outcome.passed != done.status.success() {
        bail!(
            "it says passed: {}, but ended with {}",
            outcome.passed,
            done.status
        );
    }
    Ok(outcome)
}

fn summarise(
    program: &Path,
    scenario: &Path,
    options: &Options,
    outcomes: &[(u64, Result<Outcome>)],
) -> Report {
    let mut failures = Vec::new();
    for (seed, outcome) in outcomes {
        let reasons = reasons(outcome);
        if !reasons.is_empty() {
            let replay = process::describe(&command(program, scenario, *seed));
            failures.push(Failure {
                seed: *seed,
                reasons,
                replay,
            });
        }
    }
    let good = || outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
    let first = outcomes.first().and_then(|(_, outcome)| outcome.as_ref().ok());
    Report {
        scenario: options.scenario.display().to_string(),
        start: options.start,
        seeds: options.seeds,
        passed: failures.is_empty(),
        first_hash: first.map(|outcome| outcome.hash.clone()),
        events: good().map(|outcome| outcome.events).sum(),
        seconds: 0.0,
        failures,
    }
}

fn reasons(outcome: &Result<Outcome>) -> Vec<String> {
    match outcome {
        Ok(outcome) if outcome.passed => Vec::new(),
        Ok(outcome) if outcome.violations.is_empty() => vec!["failed without a violation".to_owned()],
        Ok(outcome) => outcome.violations.iter().map(shown).collect(),
        Err(error) => vec![format!("{error:#}")],
    }
}

/// A violation is a text or an object; both print on one line.
fn shown(violation: &Value) -> String {
    violation
        .as_str()
        .map_or_else(|| violation.to_string(), str::to_owned)
}

impl Report {
    /// Takes the second run of the first seed into account.
    fn compare(&mut self, seed: u64, again: &Result<Outcome>, replay: Command) {
        let Some(first) = &self.first_hash else {
            return;
        };
        let reason = match again {
            Ok(outcome) if outcome.hash == *first => return,
            Ok(outcome) => format!("two runs of one seed differ: {first} and {}", outcome.hash),
            Err(error) => format!("the second run of one seed failed: {error:#}"),
        };
        self.passed = false;
        let replay = process::describe(&replay);
        self.failures.push(Failure {
            seed,
            reasons: vec![reason],
            replay,
        });
    }

    fn print(&self) {
        for failure in &self.failures {
            println!("seed {} failed:", failure.seed);
            for reason in &failure.reasons {
                println!("  {reason}");
            }
            println!("  replay: {}", failure.replay);
        }
        let failed = self
            .failures
            .iter()
            .map(|failure| failure.seed)
            .collect::<std::collections::BTreeSet<_>>();
        println!(
            "{}: {} seeds from {}, {} failed, {} events, {:.1} s",
            self.scenario,
            self.seeds,
            self.start,
            failed.len(),
            self.events,
            self.seconds
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report over a program that answers like `fieldmark simulate`, by shell lines; `$4` is the seed.
    fn report(script: &str) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let program = process::script(folder.path(), script);
        let options = Options {
            seeds: 5,
            start: 3,
            scenario: SMOKE.into(),
            json: false,
        };
        let scenario = Path::new(SMOKE);
        let outcomes = pool(3, 8, |seed| simulate(&program, scenario, seed));
        let mut report = summarise(&program, scenario, &options, &outcomes);
        report.compare(
            3,
            &simulate(&program, scenario, 3),
            command(&program, scenario, 3),
        );
        report
    }

    #[test]
    fn seeds_that_pass_make_a_passed_report() {
        let report = report(r#"echo "{\"seed\":$4,\"hash\":\"h$4\",\"passed\":true,\"events\":2}""#);
        assert!(report.passed, "{report:?}");
        assert_eq!((report.first_hash.as_deref(), report.events), (Some("h3"), 10));
    }

    #[test]
    fn a_failed_seed_comes_with_its_replay() {
        let script = r#"[ "$4" = 6 ] || { echo "{\"hash\":\"h\",\"passed\":true}"; exit 0; }
            echo "{\"hash\":\"h\",\"passed\":false,\"violations\":[\"budget overspent\"]}"; exit 1"#;
        let report = report(script);
        assert_eq!(report.failures.len(), 1);
        assert_eq!(
            (report.failures[0].seed, report.failures[0].reasons.as_slice()),
            (6, ["budget overspent".to_owned()].as_slice())
        );
        assert!(
            report.failures[0]
                .replay
                .ends_with("simulate simulations/scenarios/smoke.toml --seed 6")
        );
    }

    #[test]
    fn a_seed_that_gives_two_hashes_fails() {
        let report = report(r#"echo "{\"hash\":\"$$\",\"passed\":true}""#);
        assert!(!report.passed);
        assert!(report.failures[0].reasons[0].contains("two runs of one seed differ"));
    }

    #[test]
    fn a_crash_is_a_failure_with_its_last_words() {
        let report = report("echo 'out of cards' >&2; exit 101");
        assert_eq!(report.failures.len(), 5);
        assert!(report.failures[0].reasons[0].contains("out of cards"));
    }

    #[test]
    fn an_exit_code_that_contradicts_the_outcome_is_a_failure() {
        assert!(!report(r#"echo "{\"hash\":\"h\",\"passed\":true}"; exit 1"#).passed);
    }
}
