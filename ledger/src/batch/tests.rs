//! Tests of `batch`: what a caller notices.

use super::*;
use crate::testing::{Signer, World};

fn phase_of(world: &World) -> Phase {
    batch(&world.store(), world.batch()).unwrap().phase
}

#[test]
fn a_batch_goes_from_open_to_released() {
    let mut world = World::new();
    assert_eq!(phase_of(&world), Phase::Open);
    let payload = world.transcript(5).encode();
    world
        .records
        .push(world.nodes[0].sign(Kind::Transcript, payload.clone()));
    assert_eq!(phase_of(&world), Phase::Transcripts);
    for seat in [1, 2] {
        world
            .records
            .push(world.nodes[seat].sign(Kind::Transcript, payload.clone()));
    }
    assert_eq!(phase_of(&world), Phase::Commitments);
    world.commitments();
    assert_eq!(phase_of(&world), Phase::Commitments);
    world.reveal(&[1]);
    let view = batch(&world.store(), world.batch()).unwrap();
    assert_eq!((view.phase, view.silent()), (Phase::Shares, vec![0, 2]));
    world.reveal(&[0, 2]);
    let view = batch(&world.store(), world.batch()).unwrap();
    assert_eq!((view.phase, view.silent()), (Phase::Released, vec![]));
    assert_eq!(view.transcript().unwrap().count, 5);
    assert_eq!(view.shares().unwrap()[2].value, world.shares[2]);
}

#[test]
fn transcripts_that_differ_stop_the_batch() {
    let mut world = World::new();
    world.transcripts();
    let (last, other) = (world.records.len() - 1, world.transcript(6).encode());
    world.nodes[2].last = None;
    world.records[last] = world.nodes[2].sign(Kind::Transcript, other);
    assert_eq!(phase_of(&world), Phase::Disagreement);
}

#[test]
fn a_second_transcript_of_a_seat_is_too_late() {
    let mut world = World::new();
    world.transcripts();
    let other = world.transcript(6).encode();
    world.records.push(world.nodes[2].sign(Kind::Transcript, other));
    assert_eq!(phase_of(&world), Phase::Commitments);
}

#[test]
fn below_the_minimum_batch_nothing_is_released() {
    let mut world = World::new();
    let payload = world.transcript(2).encode();
    for node in &mut world.nodes {
        world.records.push(node.sign(Kind::Transcript, payload.clone()));
    }
    world.commitments();
    world.reveal(&[0, 1, 2]);
    let view = batch(&world.store(), world.batch()).unwrap();
    assert_eq!((view.phase, view.any_share()), (Phase::Commitments, false));
}

#[test]
fn a_share_that_does_not_open_its_commitment_is_no_share() {
    let mut world = World::new();
    world.transcripts();
    world.commitments();
    let other = AggregateShare {
        share: vec![99; 32],
        ..world.shares[0].clone()
    };
    world
        .records
        .push(world.nodes[0].sign(Kind::AggregateShare, other.encode()));
    assert_eq!(phase_of(&world), Phase::Commitments);
    world.reveal(&[0, 1, 2]);
    assert_eq!(
        phase_of(&world),
        Phase::Released,
        "the committed share may still come"
    );
}

#[test]
fn a_commitment_to_another_transcript_is_none() {
    let mut world = World::new();
    world.transcripts();
    let stray = ShareCommitment {
        batch: world.batch(),
        transcript: world.transcript(6).digest(),
        commitment: ContentHash::of(b"x"),
    };
    world
        .records
        .push(world.nodes[0].sign(Kind::ShareCommitment, stray.encode()));
    world.commitments();
    let view = batch(&world.store(), world.batch()).unwrap();
    assert!(view.seats[0].commitment.is_none() && view.seats[1].commitment.is_some());
    assert!(view.commitments().is_none());
}

#[test]
fn two_aggregates_that_differ_void_the_batch_and_equal_ones_do_not() {
    let mut world = World::released();
    world.aggregate(1, vec![7]);
    assert_eq!(phase_of(&world), Phase::Released);
    world.aggregate(2, vec![8]);
    assert_eq!(phase_of(&world), Phase::Void);
}

#[test]
fn a_stranger_voids_and_aborts_nothing() {
    let mut world = World::released();
    let honest = world.records.last().unwrap();
    let mut lie = Aggregate::decode(honest.payload()).unwrap();
    lie.values = vec![1000];
    let mut stranger = Signer::identity(77);
    world.records.push(stranger.sign(Kind::Aggregate, lie.encode()));
    assert_eq!(phase_of(&world), Phase::Released);
    let mut world = World::new();
    world.records.push(stranger.clone().abort(world.batch()));
    world.records.push(world.researcher.clone().abort(world.batch()));
    assert_eq!(phase_of(&world), Phase::Open);
}

#[test]
fn operator_and_aggregators_abort_until_a_share_is_public() {
    for who in 0..3 {
        let mut world = World::new();
        world.transcripts();
        world.commitments();
        let batch_id = world.batch();
        let signer = match who {
            0 => &mut world.operator,
            1 => &mut world.operator_node,
            _ => &mut world.nodes[2],
        };
        let abort = signer.abort(batch_id);
        world.records.push(abort);
        let view = batch(&world.store(), world.batch()).unwrap();
        assert_eq!((view.phase, view.aborts.len()), (Phase::Aborted, 1));
        world.reveal(&[0]);
        assert_eq!(
            phase_of(&world),
            Phase::Shares,
            "once a share is public the batch counts as released"
        );
    }
}

#[test]
fn an_unknown_task_or_window_is_an_open_batch_without_seats() {
    let world = World::released();
    let store = world.store();
    for id in [
        BatchId {
            window: 1,
            ..world.batch()
        },
        BatchId {
            task: world.release,
            window: 0,
        },
    ] {
        let view = batch(&store, id).unwrap();
        assert!(view.phase == Phase::Open && view.seats.is_empty() && view.silent().is_empty());
        assert!(view.transcripts().is_none() && view.shares().is_none());
    }
}

#[test]
fn a_seat_that_published_two_values_is_named_with_both_records() {
    let mut world = World::released();
    assert!(
        batch(&world.store(), world.batch())
            .unwrap()
            .contradictions
            .is_empty()
    );
    world.aggregate(0, vec![8]);
    let view = batch(&world.store(), world.batch()).unwrap();
    let [found] = view.contradictions.as_slice() else {
        panic!("{:?}", view.contradictions)
    };
    assert_eq!((found.seat, found.kind), (0, Kind::Aggregate));
    assert_ne!(found.records[0], found.records[1]);
    assert_eq!(view.phase, Phase::Void);
}
