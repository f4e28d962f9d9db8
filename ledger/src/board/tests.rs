//! Tests of `board`: what a caller notices.

use super::*;
use crate::testing::World;

fn checkpoint_of(world: &World) -> ContentHash {
    let inputs = gather(&world.store(), &world.challenge).unwrap().unwrap();
    checkpoint(&inputs, &TrustPolicy::default())
}

#[test]
fn a_board_lists_what_it_is_derived_from() {
    let world = World::released();
    let inputs = gather(&world.store(), &world.challenge).unwrap().unwrap();
    // Challenge, task, release, 3 × (transcript, commitment, share), 5 profiles.
    assert_eq!(inputs.ids().len(), 3 + 9 + 5);
    assert!(inputs.ids().is_sorted());
    assert_eq!(
        inputs.supporting.len(),
        4,
        "certificates of the committee and of the operator's node"
    );
    assert!(inputs.missing.is_empty() && inputs.forks.is_empty());
}

#[test]
fn the_checkpoint_ignores_aggregates_until_they_void_the_batch() {
    let mut world = World::released();
    let before = checkpoint_of(&world);
    world.aggregate(1, vec![7]);
    assert_eq!(checkpoint_of(&world), before);
    world.aggregate(2, vec![8]);
    assert_ne!(checkpoint_of(&world), before);
}

#[test]
fn forks_withdrawals_and_the_policy_change_the_checkpoint_and_strangers_do_not() {
    let world = World::released();
    let before = checkpoint_of(&world);
    let mut withdrawn = world.clone();
    let withdrawal = withdrawn.researcher.withdraw(world.release);
    withdrawn.records.push(withdrawal);
    assert_ne!(checkpoint_of(&withdrawn), before);
    let mut forked = world.clone();
    forked
        .records
        .push(crate::testing::Signer::identity(2).profile("nobody"));
    assert_ne!(checkpoint_of(&forked), before);
    let mut busy = world.clone();
    busy.records
        .push(crate::testing::Signer::identity(66).profile("stranger"));
    busy.records.push(world.researcher.clone().release("other", "1"));
    assert_eq!(checkpoint_of(&busy), before);
    let inputs = gather(&world.store(), &world.challenge).unwrap().unwrap();
    let policy = TrustPolicy {
        aggregators: [world.operator.author].into(),
    };
    assert_ne!(checkpoint(&inputs, &policy), before);
}

#[test]
fn a_release_that_is_not_held_is_named_as_missing() {
    let mut world = World::released();
    let release = world.release;
    world.records.retain(|record| record.id() != release);
    let inputs = gather(&world.store(), &world.challenge).unwrap().unwrap();
    assert_eq!(inputs.missing, [release]);
    assert_ne!(
        checkpoint(&inputs, &TrustPolicy::default()),
        checkpoint_of(&World::released())
    );
}
