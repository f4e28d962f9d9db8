//! Every target runs over what is known of it, its kept failures and some thousands of mutations.

use std::time::Duration;

use fieldmark_fuzz::{Options, TARGETS, fuzz};

/// Mutations of each target.
const RUNS: u64 = 3_000;

#[test]
fn no_target_panics_or_takes_memory_out_of_proportion() {
    let options = Options {
        runs: RUNS,
        time: Duration::from_secs(3),
        seed: 7,
    };
    for target in TARGETS {
        let runs = fuzz(target, options).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(runs > 10, "{} ran on {runs} inputs only", target.name);
    }
}

#[test]
fn targets_have_names_of_their_own_and_something_to_start_from() {
    let names: std::collections::BTreeSet<&str> = TARGETS.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    for target in TARGETS {
        assert!(!(target.known)().is_empty(), "{} knows no input", target.name);
    }
}
