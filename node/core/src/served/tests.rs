//! Tests of served predictions: what an owner and a caller notice.

use serde_json::json;

use super::view::{Order, tallies, waiting};
use super::*;
use crate::io::Command;
use crate::lone_node::Node;

#[test]
fn a_truth_is_kept_over_a_crash_and_tallied() {
    let mut node = Node::keeping(10, 1_000_000);
    let (right, wrong, open) = (
        node.serve(&[0.9, 0.1]),
        node.serve(&[0.8, 0.2]),
        node.serve(&[0.4, 0.6]),
    );
    node.label(right, "cat", false).unwrap();
    node.label(wrong, "dog", false).unwrap();
    let node = node.restart();
    let tally = tallies(node.store()).unwrap()[&node.release];
    assert_eq!(
        (tally.counted, tally.labelled, tally.correct, tally.unlabelled),
        (3, 2, 1, 1)
    );
    let left = waiting(node.store(), None, Order::Field, 10).unwrap();
    assert_eq!(
        left.iter().map(|kept| kept.request_id).collect::<Vec<_>>(),
        [open]
    );
}

#[test]
fn counted_predictions_come_first_and_uncertain_ones_only_locally() {
    let mut node = Node::keeping(1_000, 300_000);
    for at in 0..60u8 {
        let sure = 0.5 + f32::from(at) / 200.0;
        node.serve(&[sure, 1.0 - sure]);
    }
    let field = waiting(node.store(), Some(&node.release), Order::Field, 100).unwrap();
    let first_other = field.iter().position(|kept| !kept.counted).unwrap();
    assert!((5..35).contains(&first_other) && field[first_other..].iter().all(|kept| !kept.counted));
    let uncertain = waiting(node.store(), None, Order::Uncertain, 100).unwrap();
    assert!(uncertain.is_sorted_by(|a, b| a.certainty() <= b.certainty()));
    // A counted prediction labelled in that order stays unlabelled for the report.
    let counted = uncertain.iter().find(|kept| kept.counted).unwrap().request_id;
    node.label(counted, "cat", true).unwrap();
    let tally = tallies(node.store()).unwrap()[&node.release];
    assert_eq!(
        (tally.local, tally.labelled, tally.unlabelled),
        (1, 0, tally.counted)
    );
}

#[test]
fn what_is_kept_is_bounded_and_can_be_off() {
    let mut node = Node::keeping(5, 1_000_000);
    let ids: Vec<ServedId> = (0..20).map(|_| node.serve(&[0.9, 0.1])).collect();
    let kept: Vec<bool> = ids
        .iter()
        .map(|id| prediction(node.store(), id).unwrap().unwrap().input.is_some())
        .collect();
    assert_eq!(kept.iter().filter(|input| **input).count(), 5);
    assert!(
        kept[15..].iter().all(|input| *input),
        "the newest inputs stay: {kept:?}"
    );
    // Without its input a prediction still counts, and its truth can be given by id.
    node.label(ids[0], "cat", false).unwrap();
    let Reply::Forgotten(18) = node
        .command(Command::Forget {
            before_ms: node.now - 2,
        })
        .unwrap()
    else {
        panic!("all but the last two were served before")
    };
    let mut off = Node::keeping(0, 1_000_000);
    let answer = Answer {
        input: json!(1),
        probabilities: vec![0.9, 0.1],
        outlying: None,
    };
    let served = off.command(Command::Serve {
        release: off.release,
        answers: vec![answer],
    });
    assert_eq!(served.unwrap(), Reply::Served(Vec::new()));
}

#[test]
fn bad_feedback_is_refused_by_name() {
    let mut node = Node::keeping(10, 1_000_000);
    let id = node.serve(&[0.9, 0.1]);
    assert_eq!(node.label(id, "bird", false).unwrap_err().code, "invalid");
    assert_eq!(
        node.label(ServedId::new([7; 16]), "cat", false).unwrap_err().code,
        "not-found"
    );
    for probabilities in [vec![], vec![f32::NAN, 0.5], vec![0.0, 0.0, 1.0]] {
        let answer = Answer {
            input: json!(null),
            probabilities,
            outlying: None,
        };
        let release = node.release;
        let refused = node.command(Command::Serve {
            release,
            answers: vec![answer],
        });
        assert_eq!(refused.unwrap_err().code, "invalid");
    }
    node.label(id, "dog", false).unwrap();
    node.label(id, "cat", false).unwrap();
    assert_eq!(node.label(id, "cat", true).unwrap_err().code, "conflict");
}
