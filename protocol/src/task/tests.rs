//! Tests of `task`: what a caller notices.

use super::*;
use crate::RecordId;

fn key(byte: u8) -> PublicKey {
    PublicKey::new([byte; 32])
}

fn sample() -> Task {
    let seat = |b: u8| Aggregator {
        identity: key(b),
        node_key: key(b + 10),
        hpke_key: key(b + 20),
    };
    Task {
        name: "digits-in-the-field".into(),
        committee: vec![seat(1), seat(2), seat(3)],
        statistics: Statistics {
            releases: vec![RecordId::new([1; 32]), RecordId::new([2; 32])],
            slices: vec!["clean".into(), "blur".into()],
            records_max: 400,
            paired: true,
            calibration: true,
            extra: Extra::default(),
        },
        privacy: Privacy {
            epsilon_micro: 2_000_000,
            delta_pico: 1_000_000,
            sigma_squared: 90_000,
            l2_squared: 12_000,
        },
        eligibility: Eligibility::List((40..45).map(key).collect()),
        min_batch: 4,
        reports_expected: 5,
        opens_at_ms: 1_000,
        closes_at_ms: 61_000,
        window: 0,
        patience_ms: 0,
        recurrence: None,
        replicate_groups: 1,
    }
}

fn refused(change: impl Fn(&mut Task)) -> TaskError {
    let mut task = sample();
    change(&mut task);
    Task::decode(&task.encode()).unwrap_err()
}

#[test]
fn a_task_survives_its_payload() {
    assert_eq!(Task::decode(&sample().encode()).unwrap(), sample());
}

#[test]
fn golden_bytes_of_a_task() {
    assert_eq!(
        hex::encode(sample().encode()),
        include_str!("golden_task.hex").trim()
    );
}

#[test]
fn a_committee_of_one_is_refused() {
    assert_eq!(
        refused(|t| t.committee.truncate(1)),
        TaskError::Committee { found: 1 }
    );
}

#[test]
fn two_seats_of_one_party_are_refused() {
    assert_eq!(
        refused(|t| t.committee[1].identity = t.committee[0].identity),
        TaskError::SameAggregator { key: key(1) }
    );
    assert!(matches!(
        refused(|t| t.committee[2].hpke_key = t.committee[0].hpke_key),
        TaskError::SameAggregator { .. }
    ));
}

#[test]
fn absurd_privacy_is_refused() {
    assert!(matches!(
        refused(|t| t.privacy.epsilon_micro = 1_000_000_000),
        TaskError::Range { .. }
    ));
    assert!(matches!(
        refused(|t| t.privacy.epsilon_micro = 0),
        TaskError::Range { .. }
    ));
    assert!(matches!(
        refused(|t| t.privacy.delta_pico = 500_000_000_000),
        TaskError::Range { .. }
    ));
    assert!(matches!(
        refused(|t| t.privacy.sigma_squared = 0),
        TaskError::Range { .. }
    ));
}

#[test]
fn a_window_that_ends_before_it_opens_is_refused() {
    assert!(matches!(
        refused(|t| t.closes_at_ms = t.opens_at_ms),
        TaskError::Range { .. }
    ));
}

#[test]
fn a_list_shorter_than_the_minimum_batch_is_refused() {
    assert!(matches!(
        refused(|t| t.eligibility = Eligibility::List((40..43).map(key).collect())),
        TaskError::Range { .. }
    ));
}

#[test]
fn endorsers_and_patience_survive_and_are_bounded() {
    let mut task = sample();
    task.eligibility = Eligibility::EndorsedBy([key(9), key(7)].into());
    task.patience_ms = 15_000;
    assert_eq!(Task::decode(&task.encode()).unwrap(), task);
    let bytes = hex::encode(task.encode());
    assert!(bytes.ends_with("a0019875"), "field 20 is the patience: {bytes}");
    assert_eq!(
        (task.eligibility.admits(&key(9)), task.due_at_ms()),
        (None, 76_000)
    );
    assert_eq!(sample().due_at_ms(), 61_000 + PATIENCE_MS);
    assert!(matches!(
        refused(|t| t.eligibility = Eligibility::EndorsedBy(BTreeSet::new())),
        TaskError::Range { .. }
    ));
    assert!(matches!(
        refused(|t| t.patience_ms = 9_999),
        TaskError::Range { .. }
    ));
}

#[test]
fn a_model_listed_twice_is_refused() {
    assert_eq!(
        refused(|t| t.statistics.releases[1] = t.statistics.releases[0]),
        TaskError::Order { what: "the models" }
    );
}

/// A task that collects everything a classification could before drift of inputs.
fn rich() -> Task {
    let mut task = sample();
    task.statistics.paired = false;
    task.statistics.calibration = false;
    task.statistics.extra = Extra {
        score: ScoreKind::BrierScore,
        collected: Statistic::ALL
            .into_iter()
            .filter(|s| !matches!(s, Statistic::Regression | Statistic::InputDrift))
            .collect(),
        classes: vec!["denied".into(), "granted".into()],
        positive: Some(1),
        groups: vec!["north".into(), "south".into()],
        bins: 10,
        target_range: None,
        by_slice: true,
        missing_views: true,
    };
    task
}

#[test]
fn golden_bytes_of_a_task_with_further_statistics() {
    assert_eq!(Task::decode(&rich().encode()).unwrap(), rich());
    assert_eq!(
        hex::encode(rich().encode()),
        include_str!("golden_statistics.hex").trim()
    );
}

#[test]
fn a_regression_survives_its_payload() {
    let mut task = sample();
    task.statistics.extra = Extra {
        score: ScoreKind::Closeness,
        collected: [Statistic::Regression, Statistic::Drift].into(),
        bins: 8,
        target_range: Some(TargetRange {
            low_micro: -40_000_000,
            high_micro: 60_000_000,
        }),
        ..Extra::default()
    };
    let decoded = Task::decode(&task.encode()).unwrap();
    assert_eq!(decoded, task);
    let range = decoded.statistics.extra.target_range.unwrap();
    assert_eq!(range.ends(), (-40.0, 60.0));
}

#[test]
fn a_statistic_names_what_it_needs() {
    let refused = |change: fn(&mut Extra)| {
        let mut task = rich();
        change(&mut task.statistics.extra);
        Task::decode(&task.encode()).unwrap_err().to_string()
    };
    for (change, words) in [
        ((|e| e.classes.clear()) as fn(&mut Extra), "which needs classes"),
        (|e| e.positive = None, "a positive class and bins"),
        (|e| e.groups.clear(), "a positive class and groups"),
        (|e| e.bins = 0, "which needs bins"),
        (|e| e.bins = 51, "must be 2 to 50"),
        (|e| e.score = ScoreKind::Closeness, "a target range"),
        (|e| e.classes[1] = "denied".into(), "listed twice"),
        (|e| e.groups = vec!["one".into()], "must be 2 to 16"),
        (
            |e| {
                e.target_range = Some(TargetRange {
                    low_micro: 1,
                    high_micro: 2,
                })
            },
            "a class or a number",
        ),
    ] {
        let found = refused(change);
        assert!(found.contains(words), "{found}");
    }
}

#[test]
fn unknown_scores_and_statistics_are_refused() {
    let refused = |change: fn(&mut wire::Statistics)| {
        let mut wire = wire::Task::decode(rich().encode().as_slice()).unwrap();
        change(wire.statistics.as_mut().unwrap());
        Task::decode(&wire.encode_to_vec()).unwrap_err()
    };
    assert!(matches!(
        refused(|s| s.score = 9),
        TaskError::Unknown { what: "score", .. }
    ));
    assert!(matches!(
        refused(|s| s.collected.push(77)),
        TaskError::Unknown { found: 77, .. }
    ));
    assert!(matches!(
        refused(|s| s.collected.reverse()),
        TaskError::Order { .. }
    ));
    assert!(matches!(
        refused(|s| s.positive = "maybe".into()),
        TaskError::Missing(_)
    ));
}

#[test]
fn a_task_without_groups_has_the_bytes_it_always_had() {
    let task = sample();
    assert_eq!(task.replicate_groups, 1);
    let wire = wire::Task::decode(task.encode().as_slice()).unwrap();
    assert_eq!(wire.replicate_groups, 0);
}

#[test]
fn golden_bytes_of_a_task_with_replicate_groups() {
    let mut task = sample();
    task.eligibility = Eligibility::Open;
    task.reports_expected = 8;
    task.replicate_groups = 2;
    assert_eq!(Task::decode(&task.encode()).unwrap(), task);
    let (golden, plain) = (
        task.encode(),
        Task {
            replicate_groups: 1,
            ..task
        }
        .encode(),
    );
    // Field 22 as a varint, at the end.
    assert_eq!(golden, [plain.as_slice(), &[0xb0, 0x01, 0x02]].concat());
}

#[test]
fn more_groups_than_reports_can_fill_are_refused() {
    let refused = |change: fn(&mut Task)| {
        let mut task = sample();
        task.eligibility = Eligibility::Open;
        task.reports_expected = 0;
        change(&mut task);
        task.check().unwrap_err().to_string()
    };
    let expected = refused(|t| (t.reports_expected, t.replicate_groups) = (7, 2));
    assert!(
        expected.contains("need 8 reports, only 7 reports are expected"),
        "{expected}"
    );
    let listed = refused(|t| {
        t.eligibility = Eligibility::List((0..11).map(|byte| PublicKey::new([byte; 32])).collect());
        t.replicate_groups = 3;
    });
    assert!(
        listed.contains("need 12 reports, only 11 contributors are eligible"),
        "{listed}"
    );
    let most = refused(|t| (t.min_batch, t.replicate_groups) = (60_000, 2));
    assert!(most.contains("only 100000 reports fit into a batch"), "{most}");
    assert!(refused(|t| t.replicate_groups = 17).contains("must be 1 to 16"));
    assert!(refused(|t| t.replicate_groups = 0).contains("must be 1 to 16"));
}
