//! The committee under everything that can go wrong: fixed seeds of the drawn scenario, each adversary on its
//! own, and a crash at every commit of every role. Ten thousand random seeds are for
//! `cargo xtask sim --scenario simulations/scenarios/committee.toml --seeds 10000`.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use fieldmark_simulations::scenario::Deed;
use fieldmark_simulations::{Report, Scenario, run, run_many};

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, Path::new("committee.toml")).expect("the scenario is written right")
}

fn pass(scenario: &Scenario, seed: u64) -> Report {
    let report = run(scenario, seed).expect("a run without a log has no error");
    assert!(
        report.passed,
        "seed {seed}: {:#?}\n{}",
        report.violations,
        report.tail.join("\n")
    );
    report
}

#[test]
fn drawn_seeds_pass_with_every_fault_switched_on() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/committee.toml");
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let many = run_many(&path, 1..121, threads, |_| ()).unwrap();
    assert!(many.passed, "{:#?}", many.failures);
    assert!(many.crashes > 60 && many.lost > 2_000, "{many:#?}");
    assert!(many.outcomes["released"] > 20 && many.outcomes["aborted"] > 10);
    assert_eq!(many.deeds.len(), Deed::ALL.len(), "{:?}", many.deeds);
}

/// A calm network in which one adversary does its deed.
fn with(deed: Deed, eligibility: &str, aggregators: u64) -> Scenario {
    scenario(&format!(
        "name = \"deed\"\nacquainted = true\nnodes = {}\nresearchers = 1\naggregators = {aggregators}\n\
         companies = 5\n[challenge]\nslices = 2\nrecords = 12\nmin_batch = 2\nwindow_ms = 5000\n\
         patience_ms = 15000\ncalibration = false\neligibility = \"{eligibility}\"\nexpect = \"either\"\n\
         [[adversary]]\ndeed = \"{}\"",
        6 + aggregators,
        deed.name()
    ))
}

/// How batches end where somebody does a deed, over committees of every size.
fn ends(deed: Deed, eligibility: &str) -> BTreeSet<&'static str> {
    let runs = (2..=5).map(|aggregators| {
        let report = pass(&with(deed, eligibility, aggregators), aggregators);
        assert_eq!(report.deeds, [deed.name()]);
        report.outcome
    });
    runs.collect()
}

#[test]
fn a_lying_leader_is_refused_or_ends_the_batch() {
    for deed in [Deed::Inflates, Deed::TwoStories] {
        assert_eq!(ends(deed, "list"), ["aborted"].into(), "{deed:?}");
    }
    for deed in [
        Deed::DropsAccepted,
        Deed::Replays,
        Deed::ConcludesEarly,
        Deed::SecondKey,
        Deed::FalseSum,
    ] {
        assert_eq!(ends(deed, "list"), ["released"].into(), "{deed:?}");
    }
}

#[test]
fn a_malformed_verifier_share_ends_the_batch_and_a_wrong_one_costs_its_report() {
    assert_eq!(ends(Deed::MalformedShare, "list"), ["aborted"].into());
    assert_eq!(ends(Deed::WrongShare, "list"), ["released"].into());
}

#[test]
fn a_false_aggregate_share_is_not_seen_and_one_that_was_not_promised_never_counts() {
    assert_eq!(ends(Deed::FalseAggregateShare, "list"), ["released"].into());
    assert_eq!(ends(Deed::OpensOtherwise, "list"), ["revealing"].into());
}

#[test]
fn a_bad_report_costs_its_contributor_and_nobody_else() {
    for deed in [Deed::InvalidProof, Deed::OutOfRange, Deed::TwoReports] {
        assert_eq!(ends(deed, "list"), ["released"].into(), "{deed:?}");
    }
}

#[test]
fn ten_identities_in_one_body_count_where_anyone_may_and_nowhere_else() {
    for eligibility in ["list", "endorsed", "open"] {
        assert_eq!(ends(Deed::Sybils, eligibility), ["released"].into());
    }
    let receipts = |eligibility| pass(&with(Deed::Sybils, eligibility, 3), 9).receipts;
    assert_eq!(
        (receipts("list"), receipts("endorsed"), receipts("open")),
        (5, 5, 14)
    );
}

const SMALL: &str = "name = \"every-commit\"\nacquainted = true\nnodes = 6\nresearchers = 1\naggregators = 2\n\
                     companies = 3\n[challenge]\nslices = 1\nrecords = 8\nmin_batch = 2\nwindow_ms = 5000\n\
                     calibration = false\nexpect = \"either\"\n";

#[test]
fn every_role_may_stop_at_every_commit() {
    let commits = pass(&scenario(SMALL), 7).commits;
    let roles = [
        ("operator", "operator"),
        ("leader", "aggregator-0"),
        ("helper", "aggregator-1"),
        ("company", "company-"),
    ];
    let mut runs = 0;
    for (role, name) in roles {
        let of = commits.iter().filter(|(machine, _)| machine.starts_with(name));
        let most = of.map(|(_, count)| *count).max().unwrap();
        assert!(most >= 8, "{role} made {most} commits");
        for commit in 1..=most {
            for fault in ["disk", "silent", "partway"] {
                let text = format!(
                    "{SMALL}[[crash]]\nwho = \"{role}\"\nwhen = \"start\"\ncommits = [{commit}, {commit}]\n\
                     fault = \"{fault}\"\ndown_ms = [300, 900]"
                );
                let report = pass(&scenario(&text), 7);
                assert_eq!(report.crashes, 1, "{role} at commit {commit}");
                runs += 1;
            }
        }
    }
    assert!(runs > 120, "{runs} runs");
}

#[test]
fn a_committee_of_one_or_six_is_refused() {
    for (members, bound) in [(1, "2 to 5"), (6, "2 to 5")] {
        for text in [
            format!("name = \"x\"\naggregators = {members}"),
            format!("name = \"x\"\n[draw]\naggregators = [{members}, {members}]"),
        ] {
            let error = Scenario::parse(&text, Path::new("x.toml"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(bound), "{error}");
        }
    }
}
