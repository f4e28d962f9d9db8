//! Fixed seeds of the committed scenarios, on every run; random ones are for `cargo xtask sim`.

use std::path::{Path, PathBuf};

use fieldmark_simulations::{Options, Report, SimulationError, run_file, run_file_with};

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(format!("{name}.toml"))
}

/// Runs seeds and expects every one to pass.
fn pass(name: &str, seeds: impl IntoIterator<Item = u64>) -> Vec<Report> {
    let run = |seed| {
        let report = run_file(&scenario(name), seed).expect("the scenario is committed");
        assert!(
            report.passed,
            "{}: {:#?}\n{}",
            report.replay,
            report.violations,
            report.tail.join("\n")
        );
        report
    };
    seeds.into_iter().map(run).collect()
}

#[test]
fn the_smoke_scenario_passes_with_all_its_faults() {
    for report in pass("smoke", 1..=5) {
        assert_eq!(
            (report.machines, report.crashes, report.outcome),
            (51, 2, "released")
        );
        assert!(report.lost > 1_000, "{} messages were lost", report.lost);
        assert!(report.receipts >= 4 && report.tail.is_empty());
    }
}

#[test]
fn one_seed_gives_one_run_and_another_gives_another() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("events.log");
    let options = Options {
        log: Some(log.clone()),
    };
    let first = run_file(&scenario("too-few"), 7).unwrap();
    let second = run_file_with(&scenario("too-few"), 7, &options).unwrap();
    assert_eq!(first, second);
    assert_ne!(first.hash, run_file(&scenario("too-few"), 8).unwrap().hash);
    let lines = std::fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(u64::try_from(lines).unwrap(), second.events);
}

#[test]
fn the_smoke_scenario_gives_the_same_hash_twice() {
    let hashes: Vec<String> = pass("smoke", [3, 3])
        .into_iter()
        .map(|report| report.hash)
        .collect();
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn too_few_reports_are_aborted_and_given_back() {
    for report in pass("too-few", 1..=5) {
        assert_eq!(report.outcome, "aborted");
    }
}

#[test]
fn everyone_may_stop_once() {
    for report in pass("churn", 1..=3) {
        assert!(report.crashes >= 10, "{} crashes", report.crashes);
    }
}

#[test]
fn a_failure_names_its_seed_and_ends_with_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.toml");
    let text = "name = \"wrong\"\nnodes = 12\ncompanies = 3\n[challenge]\nmin_batch = 2\nwindow_ms = 6000\nexpect = \"aborted\"";
    std::fs::write(&path, text).unwrap();
    let report = run_file(&path, 42).unwrap();
    assert!(!report.passed);
    assert!(
        report
            .violations
            .iter()
            .any(|what| what.starts_with("outcome: the batch ended Released"))
    );
    assert!(report.replay.ends_with("wrong.toml --seed 42"));
    assert!(!report.tail.is_empty());
}

#[test]
fn what_cannot_be_read_or_written_is_an_error() {
    let missing = run_file(Path::new("no/such.toml"), 1).unwrap_err();
    assert!(matches!(missing, SimulationError::Scenario(_)), "{missing}");
    let options = Options {
        log: Some(PathBuf::from("no/such/folder/events.log")),
    };
    let error = run_file_with(&scenario("too-few"), 1, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the event log no/such/folder/events.log cannot be written"
    );
}

#[test]
fn a_challenge_that_collects_every_statistic_is_released() {
    for report in pass("statistics", 1..=2) {
        assert_eq!(report.outcome, "released");
    }
}
