//! Tests of `log`: what a caller notices.

use fieldmark_protocol::Kind;
use fieldmark_protocol::machine::Store;

use super::*;
use crate::frontier::{behind, heads, lacks_proof, range};
use crate::store::MemoryStore;
use crate::testing::{Item, Signer, World, deliver, pull, take};
use crate::{catalogue, effect, identity};

fn accept(store: &mut MemoryStore, record: &Record) {
    let Ingest::Stored(batch) = ingest(store, record).unwrap() else {
        panic!(
            "seq {} was not stored: {:?}",
            record.header().seq,
            ingest(store, record).unwrap()
        )
    };
    store.commit(&batch).unwrap();
}

#[test]
fn a_chain_is_stored_in_order_and_served_from_anywhere() {
    let (mut store, mut signer) = (MemoryStore::new(), Signer::identity(1));
    let records: Vec<Record> = (0..4).map(|i| signer.profile(&format!("name {i}"))).collect();
    assert_eq!(ingest(&store, &records[2]).unwrap(), Ingest::Gap { next: 0 });
    for record in &records {
        accept(&mut store, record);
        assert_eq!(ingest(&store, record).unwrap(), Ingest::Known);
    }
    assert_eq!(last(&store, &signer.log()).unwrap(), Some((3, records[3].id())));
    assert_eq!(
        range(&store, &signer.log(), 1, 2, usize::MAX).unwrap(),
        records[1..3]
    );
    assert_eq!(
        range(&store, &signer.log(), 1, 9, 1).unwrap(),
        records[1..2],
        "one record whatever its size"
    );
    assert_eq!(
        record(&store, &records[0].id()).unwrap().as_ref(),
        Some(&records[0])
    );
    assert_eq!(heads(&store).unwrap()[0].next, 4);
}

#[test]
fn a_second_record_for_one_place_proves_a_fork_and_ends_the_log_there() {
    let (mut store, mut signer) = (MemoryStore::new(), Signer::identity(1));
    accept(&mut store, &signer.profile("honest"));
    let mut equivocator = signer.clone();
    accept(&mut store, &signer.profile("one"));
    accept(&mut store, &signer.profile("one more"));
    let other = equivocator.profile("another");
    let Ingest::Conflict { proof, batch } = ingest(&store, &other).unwrap() else {
        panic!("no conflict")
    };
    assert_eq!((proof.log(), proof.seq()), (signer.log(), 1));
    store.commit(&batch).unwrap();
    assert_eq!(fork(&store, &signer.log()).unwrap(), Some(1));
    assert_eq!(self::proof(&store, &signer.log()).unwrap(), Some(*proof.clone()));
    assert_eq!(ingest(&store, &other).unwrap(), Ingest::Ended { at: 1 });
    assert_eq!(
        ingest_proof(&store, &proof).unwrap(),
        None,
        "the same proof is no news"
    );
    assert_eq!(
        identity::name(&store, &signer.log()).unwrap().as_deref(),
        Some("honest")
    );
    assert_eq!(range(&store, &signer.log(), 0, 9, usize::MAX).unwrap().len(), 1);
}

#[test]
fn a_fork_below_the_held_head_is_found_by_going_back() {
    let mut signer = Signer::identity(1);
    let first = signer.profile("first");
    let mut equivocator = signer.clone();
    let (mut ours, mut theirs) = (MemoryStore::new(), MemoryStore::new());
    for store in [&mut ours, &mut theirs] {
        accept(store, &first);
    }
    for i in 0..20 {
        accept(&mut ours, &signer.profile(&format!("ours {i}")));
        accept(&mut theirs, &equivocator.profile(&format!("theirs {i}")));
    }
    let next = equivocator.profile("next");
    assert!(matches!(ingest(&ours, &next).unwrap(), Ingest::Diverged { from } if from < 21));
    accept(&mut theirs, &next);
    while pull(&mut ours, &theirs) | pull(&mut theirs, &ours) {}
    for store in [&ours, &theirs] {
        assert_eq!(fork(store, &signer.log()).unwrap(), Some(1));
    }
    let digests = [&ours, &theirs].map(|store| effect::ledger_digest(store).unwrap());
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_node_key_signs_for_the_identity_that_certified_it_and_no_other() {
    let (mut identity, mut stranger) = (Signer::identity(1), Signer::identity(2));
    let mut node = Signer::node(3, &identity);
    let (release, mut store) = (node.release("digits", "1"), MemoryStore::new());
    assert_eq!(ingest(&store, &release).unwrap(), Ingest::Uncertified);
    accept(&mut store, &stranger.profile("stranger"));
    accept(&mut store, &identity.certify(&node));
    accept(&mut store, &release);
    let certified = identity::certificate(&store, &node.log()).unwrap().unwrap();
    assert_eq!(certified.identity, identity.author);
    // The node agrees to a second identity as well; its log stays with the first.
    accept(
        &mut store,
        &stranger.certify(&Signer {
            author: stranger.author,
            ..node.clone()
        }),
    );
    let mut turncoat = Signer {
        author: stranger.author,
        ..node.clone()
    };
    let record = turncoat.release("digits", "2");
    assert_eq!(
        ingest(&store, &record).unwrap(),
        Ingest::WrongAuthor {
            expected: identity.author
        }
    );
}

#[test]
fn a_payload_that_does_not_decode_is_held_and_shown_nowhere() {
    let (mut store, mut signer) = (MemoryStore::new(), Signer::identity(1));
    for kind in [
        Kind::Profile,
        Kind::Release,
        Kind::Task,
        Kind::Unknown(99),
        Kind::NodeRevocation,
    ] {
        accept(&mut store, &signer.sign(kind, vec![0xff; 40]));
    }
    assert_eq!(range(&store, &signer.log(), 0, 9, usize::MAX).unwrap().len(), 5);
    assert!(
        catalogue::releases(&store, &catalogue::Query::default())
            .unwrap()
            .is_empty()
    );
    assert_eq!(identity::profile(&store, &signer.log()).unwrap(), None);
    assert_eq!(identity::identities(&store).unwrap(), [signer.log()]);
}

#[test]
fn an_abort_beyond_a_fork_still_reaches_a_node_that_never_saw_it() {
    let mut world = World::new();
    let mut equivocator = world.operator.clone();
    world.records.push(world.operator.profile("one"));
    world.records.push(equivocator.profile("other"));
    let abort = equivocator.abort(world.batch());
    let mut ours = world.store();
    assert_eq!(fork(&ours, &world.operator.log()).unwrap(), Some(2));
    let mut theirs = ours.clone();
    assert!(take(&mut theirs, &Item::Record(abort.clone())));
    assert!(pull(&mut ours, &theirs), "the heads differ");
    assert_eq!(record(&ours, &abort.id()).unwrap(), Some(abort));
    assert!(!pull(&mut ours, &theirs) && !pull(&mut theirs, &ours));
    assert_eq!(heads(&ours).unwrap(), heads(&theirs).unwrap());
}

#[test]
fn a_new_node_pulls_a_whole_world() {
    let world = World::released();
    let (theirs, mut ours) = (world.store(), MemoryStore::new());
    while pull(&mut ours, &theirs) {}
    assert_eq!(heads(&ours).unwrap(), heads(&theirs).unwrap());
    assert_eq!(
        effect::ledger_digest(&ours).unwrap(),
        effect::ledger_digest(&theirs).unwrap()
    );
    assert_eq!(ours.entries(), theirs.entries());
}

#[test]
fn the_task_of_a_transcript_is_named_as_missing() {
    let mut world = World::new();
    world.transcripts();
    let transcript = world.records.last().unwrap();
    assert_eq!(missing(&MemoryStore::new(), transcript).unwrap(), [world.task]);
    assert!(missing(&world.store(), transcript).unwrap().is_empty());
}

#[test]
fn a_head_of_nonsense_asks_for_nothing() {
    let store = MemoryStore::new();
    let head = wire::Head {
        author: vec![1],
        log: vec![2; 31],
        next: u64::MAX,
        head: vec![],
        standing: vec![7],
    };
    assert_eq!(behind(&store, &head).unwrap(), None);
    let fork = wire::ProvenFork {
        log: vec![1; 3],
        seq: 0,
    };
    assert!(!lacks_proof(&store, &fork).unwrap());
}

#[test]
fn a_loose_record_and_another_at_its_place_prove_a_fork() {
    // The operator's certificate is lost to a fork at seq 0, so that its node's task stands alone.
    let mut world = World::new();
    world.transcripts();
    let mut equivocator = Signer::identity(1);
    let mut items: Vec<Item> = world.records.iter().cloned().map(Item::Record).collect();
    items.insert(0, Item::Record(equivocator.profile("someone else")));
    let mut store = MemoryStore::new();
    deliver(&mut store, &items);
    assert!(record(&store, &world.task).unwrap().is_some());
    assert_eq!(chain(&store, &world.operator_node.log()).unwrap(), None);
    let mut other = Signer {
        last: None,
        ..world.operator_node.clone()
    };
    assert!(matches!(
        ingest(&store, &other.release("x", "1")).unwrap(),
        Ingest::Conflict { .. }
    ));
}
