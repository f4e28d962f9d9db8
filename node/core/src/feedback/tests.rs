//! Tests of recurring windows: who opens them, what enters which, and what a crash changes.

use std::collections::BTreeSet;

use fieldmark_protocol::challenge::{Challenge, Slice};
use fieldmark_protocol::task::{Eligibility, Extra, Privacy, Recurrence, Statistics};
use fieldmark_protocol::trust::TrustPolicy;

use super::*;
use crate::compute::{Job, JobResult};
use crate::io::{Command, Input, Output, SourceBudget};
use crate::lone_node::{Node, committee};
use crate::params;

/// A feedback window of 40 s every minute, its first from second 100 on, that draws half of what is served.
fn posed(node: &Node) -> (Task, Challenge) {
    let mut task = Task {
        name: "cats-in-use".into(),
        committee: committee(),
        statistics: Statistics {
            releases: vec![node.release],
            slices: vec![FIELD_SLICE.into()],
            records_max: 50,
            paired: false,
            calibration: false,
            extra: Extra {
                missing_views: true,
                ..Extra::default()
            },
        },
        privacy: Privacy {
            epsilon_micro: 2_000_000,
            delta_pico: 1_000_000,
            sigma_squared: 1,
            l2_squared: 1,
        },
        eligibility: Eligibility::Open,
        min_batch: 2,
        reports_expected: 0,
        opens_at_ms: 100_000,
        closes_at_ms: 140_000,
        window: 0,
        patience_ms: 0,
        recurrence: Some(Recurrence {
            period_ms: 60_000,
            windows: 3,
            rate_ppm: 500_000,
        }),
        replicate_groups: 1,
    };
    let schema = fieldmark_fl::schema::Schema::new(&params::schema_params(&task)).unwrap();
    task.privacy.l2_squared = schema.l2_sensitivity_squared();
    task.privacy.sigma_squared = task.privacy.l2_squared * 8;
    let challenge = Challenge {
        name: task.name.clone(),
        scenario: "Cats, as customers send them.".into(),
        task: RecordId::new([0; 32]),
        slices: vec![Slice {
            name: FIELD_SLICE.into(),
            description: "in use".into(),
        }],
        clean_slice: FIELD_SLICE.into(),
        metric: "accuracy".into(),
        previous: None,
    };
    (task, challenge)
}

/// A node that opens the series and is enrolled in it.
fn enrolled() -> Node {
    let mut node = Node::keeping(1_000, 1_000_000);
    let (task, challenge) = posed(&node);
    node.command(Command::CreateChallenge { task, challenge })
        .unwrap();
    let trust = TrustPolicy {
        aggregators: [committee()[0].identity].into(),
    };
    node.options.policy.trust = trust.clone();
    node.options.policy.epsilon_max = 10.0;
    node = node.restart();
    let task = tasks::tasks(node.store()).unwrap()[0].id;
    let budget = SourceBudget {
        epsilon: Some(8.0),
        ..SourceBudget::default()
    };
    node.command(Command::Enrol { task, budget }).unwrap();
    node
}

/// Passes time up to `until`, a second at a time; returns the windows that were asked to be evaluated.
fn pass(node: &mut Node, until: u64) -> Vec<BatchId> {
    let mut asked = Vec::new();
    while node.now < until {
        node.now += 1_000;
        for output in node.driver.step([(node.now, Input::Timer)]).unwrap() {
            if let Output::Compute { work, .. } = output
                && let Job::Evaluate { batch, .. } = *work
            {
                asked.push(batch);
            }
        }
    }
    asked
}

fn entered(node: &Node, window: u64) -> BTreeSet<ServedId> {
    let all = tasks::tasks(node.store()).unwrap();
    let view = all.iter().find(|view| view.task.window == window).unwrap();
    members(node.store(), view.batch()).unwrap().into_iter().collect()
}

#[test]
fn each_counted_prediction_enters_one_window_whatever_crashes() {
    let mut node = enrolled();
    for _ in 0..40 {
        node.serve(&[0.9, 0.1]);
    }
    let counted = |node: &Node| -> BTreeSet<ServedId> {
        let all = view::predictions(node.store(), None).unwrap();
        all.iter()
            .filter(|kept| kept.counted)
            .map(|kept| kept.request_id)
            .collect()
    };
    let first = counted(&node);
    assert!((8..32).contains(&first.len()), "half of 40: {}", first.len());
    assert_eq!(pass(&mut node, 129_000), []);
    let asked = pass(&mut node, 131_000);
    assert_eq!(
        asked.len(),
        1,
        "the report of window 0 is made when three quarters have passed"
    );
    assert_eq!(entered(&node, 0), first);
    // Stopped in the middle of the window and started again: nothing enters twice.
    node = node.restart();
    for _ in 0..40 {
        node.serve(&[0.2, 0.8]);
    }
    pass(&mut node, 161_000);
    node = node.restart();
    pass(&mut node, 200_000);
    let second = entered(&node, 1);
    assert!(second.is_disjoint(&first) && !second.is_empty());
    assert_eq!(
        second.union(&first).copied().collect::<BTreeSet<_>>(),
        counted(&node)
    );
    // Reported truths stay.
    let id = *first.iter().next().unwrap();
    assert_eq!(node.label(id, "dog", false).unwrap_err().code, "conflict");
}

#[test]
fn windows_open_by_themselves_and_end() {
    let mut node = enrolled();
    pass(&mut node, 400_000);
    let windows: Vec<_> = tasks::tasks(node.store()).unwrap();
    let mut numbers: Vec<u64> = windows.iter().map(|view| view.task.window).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    let opens: BTreeSet<u64> = windows.iter().map(|view| view.task.opens_at_ms).collect();
    assert_eq!(opens, [100_000, 160_000, 220_000].into());
    assert!(windows.iter().all(|view| view.task.name == "cats-in-use"));
}

#[test]
fn a_window_that_passed_while_the_node_was_down_is_skipped() {
    let mut node = enrolled();
    node.now = 230_000;
    node = node.restart();
    pass(&mut node, 240_000);
    let numbers: BTreeSet<u64> = tasks::tasks(node.store())
        .unwrap()
        .iter()
        .map(|v| v.task.window)
        .collect();
    assert_eq!(numbers, [0, 2].into());
}

#[test]
fn only_feedback_windows_are_enrolled_in() {
    let mut node = Node::keeping(10, 1_000_000);
    let (mut task, challenge) = posed(&node);
    task.recurrence = None;
    node.command(Command::CreateChallenge { task, challenge })
        .unwrap();
    let budget = SourceBudget::default();
    let task = tasks::tasks(node.store()).unwrap()[0].id;
    let error = node.command(Command::Enrol { task, budget }).unwrap_err();
    assert_eq!(error.code, "invalid");
    let task = RecordId::new([3; 32]);
    let error = node.command(Command::Enrol { task, budget }).unwrap_err();
    assert_eq!(error.code, "not-found");
}

/// What the sources have spent, and how many charges stand.
fn spent(node: &Node) -> (f64, usize) {
    let budgets = crate::spending::budgets(node.store()).unwrap();
    let sums = budgets
        .iter()
        .map(|b| (b.rho_reserved + b.rho_committed, b.charges));
    sums.fold((0.0, 0), |(rho, charges), (more, one)| {
        (rho + more, charges + one)
    })
}

#[test]
fn a_clock_that_jumps_gives_no_budget_back_and_charges_nothing_twice() {
    let mut node = enrolled();
    for _ in 0..40 {
        node.serve(&[0.9, 0.1]);
    }
    node.now = 131_000;
    // Evaluates whatever is asked for, as a shell does: one record, nothing right.
    let tell = |node: &mut Node| {
        let outputs = node.driver.step([(node.now, Input::Timer)]).unwrap();
        for output in outputs {
            let Output::Compute { job, work } = output else {
                continue;
            };
            let Job::Evaluate { schema, .. } = *work else {
                continue;
            };
            let length = fieldmark_fl::schema::Schema::new(&schema).unwrap().len();
            let mut values = vec![0; length];
            values[0] = 1;
            let result = JobResult::Evaluated(Ok(values));
            node.driver
                .step([(node.now, Input::Done { job, result })])
                .unwrap();
        }
    };
    tell(&mut node);
    let (mut before, charges) = spent(&node);
    assert!(before > 0.0 && charges == 1, "{before} {charges}");
    for now in [1, 131_500, 99_000, 50_000_000, 0, u64::MAX / 4, 130_500, 131_000] {
        node.now = now;
        tell(&mut node);
        node = node.restart();
        tell(&mut node);
        let (now_spent, charges) = spent(&node);
        assert!(now_spent >= before, "{now}: {now_spent} of {before}");
        let windows = tasks::tasks(node.store()).unwrap().len();
        assert!(
            charges <= windows,
            "{now}: {charges} charges for {windows} windows"
        );
        before = now_spent;
    }
}
