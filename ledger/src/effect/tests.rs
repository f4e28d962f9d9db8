//! Tests of `effect`: what a caller notices.

use proptest::prelude::*;

use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::trust::TrustPolicy;

use super::*;
use crate::batch::{self, Phase};
use crate::store::MemoryStore;
use crate::testing::{Item, Signer, World, deliver, pull};
use crate::{board, catalogue, frontier, identity, tasks};

fn items(records: &[Record]) -> Vec<Item> {
    records.iter().cloned().map(Item::Record).collect()
}

/// Everything that a view shows, as text.
fn views(store: &MemoryStore, world: &World) -> String {
    let identities = identity::identities(store).unwrap();
    let mut text = format!("{:?}", ledger_digest(store).unwrap());
    for identity in &identities {
        text += &format!(
            "{:?} {:?}",
            identity::profile(store, identity).unwrap(),
            identity::nodes_of(store, identity).unwrap()
        );
    }
    let query = catalogue::Query::default();
    text += &format!("{:#?}", catalogue::releases(store, &query).unwrap());
    text += &format!("{:#?}", tasks::tasks(store).unwrap());
    text += &format!("{:#?}", tasks::challenges(store).unwrap());
    text += &format!("{:#?}", batch::batch(store, world.batch()).unwrap());
    if let Some(inputs) = board::gather(store, &world.challenge).unwrap() {
        text += &format!(
            "{:?} {inputs:#?}",
            board::checkpoint(&inputs, &TrustPolicy::default())
        );
    }
    text
}

#[test]
fn forking_ones_own_log_does_not_delete_what_a_committee_built_on() {
    let mut world = World::released();
    // Operator and researcher rewrite their logs from the first record on.
    let mut operator = Signer::identity(1);
    let mut researcher = Signer::identity(2);
    world.records.push(operator.profile("nobody"));
    world.records.push(researcher.profile("nobody"));
    let other = researcher.release("digits", "2.0.0");
    world.records.push(other.clone());
    let store = world.store();
    let task = tasks::task(&store, &world.task)
        .unwrap()
        .expect("the task stands");
    let challenge = tasks::challenge(&store, &world.challenge)
        .unwrap()
        .expect("the challenge stands");
    let release = catalogue::release(&store, &world.release)
        .unwrap()
        .expect("the release stands");
    assert!(task.author_equivocated && challenge.author_equivocated && release.author_equivocated);
    assert_eq!(
        batch::batch(&store, world.batch()).unwrap().phase,
        Phase::Released
    );
    assert_eq!(
        catalogue::release(&store, &other.id()).unwrap(),
        None,
        "nobody built on this one"
    );
    assert_eq!(identity::profile(&store, &operator.log()).unwrap(), None);
}

#[test]
fn a_task_no_committee_agreed_on_goes_with_its_authors_log() {
    let mut world = World::new();
    world.records.push(Signer::identity(1).profile("nobody"));
    let store = world.store();
    assert_eq!(tasks::task(&store, &world.task).unwrap(), None);
    assert_eq!(tasks::challenge(&store, &world.challenge).unwrap(), None);
}

#[test]
fn a_revocation_keeps_as_much_of_the_nodes_log_as_it_says() {
    for (records, left) in [(0, 0), (1, 1), (2, 2), (9, 3)] {
        let mut identity = Signer::identity(1);
        let mut node = Signer::node(2, &identity);
        let mut all = vec![identity.certify(&node)];
        all.extend((0..3).map(|i| node.release("digits", &i.to_string())));
        all.push(identity.revoke(&node, records));
        let mut store = MemoryStore::new();
        deliver(&mut store, &items(&all));
        assert_eq!(
            catalogue::by_author(&store, &identity.author).unwrap().len(),
            left
        );
        assert_eq!(identity::certificate(&store, &node.log()).unwrap(), None);
    }
}

#[test]
fn a_revocation_counts_beyond_a_fork() {
    let mut identity = Signer::identity(1);
    let mut node = Signer::node(2, &identity);
    let mut all = vec![identity.certify(&node), node.release("digits", "1")];
    let mut equivocator = identity.clone();
    all.push(identity.profile("one"));
    all.push(equivocator.profile("other"));
    all.push(equivocator.revoke(&node, 0));
    let mut store = MemoryStore::new();
    deliver(&mut store, &items(&all));
    assert!(catalogue::by_author(&store, &identity.author).unwrap().is_empty());
    assert_eq!(identity::certificate(&store, &node.log()).unwrap(), None);
}

#[test]
fn a_committee_of_sybils_cannot_put_a_release_into_a_strangers_name() {
    let victim = Signer::identity(9);
    let mut thief = Signer::node(8, &victim);
    let forged = thief.release("digits", "6.6.6");
    let mut world = World::new();
    let task = crate::testing::task(&[forged.id()], &world.nodes);
    let task = world.operator.sign(Kind::Task, task.encode());
    world.task = task.id();
    world.records.extend([task, forged.clone()]);
    world.transcripts();
    let store = world.store();
    assert!(
        log::record(&store, &forged.id()).unwrap().is_some(),
        "held, because a task that counts lists it"
    );
    assert_eq!(catalogue::release(&store, &forged.id()).unwrap(), None);
}

/// Records that count in one store and not in the other.
fn differences(a: &MemoryStore, b: &MemoryStore) -> Vec<String> {
    let mut found = Vec::new();
    for (name, here, there) in [("only in the first", a, b), ("only in the second", b, a)] {
        for (key, value) in here.scan_all(Column::Records, &[]).unwrap() {
            let record = log::stored(&key, &value).unwrap();
            let effects = [here, there].map(|store| {
                let held = Effects::new(store).held(&record.id()).unwrap();
                held.map_or(Effect::None, |(_, effect)| effect)
            });
            if effects[0].counts() && effects[0] != effects[1] {
                let h = record.header();
                found.push(format!(
                    "{name}: {:?} {} seq {} {:?}",
                    h.log,
                    h.kind.name(),
                    h.seq,
                    effects
                ));
            }
        }
    }
    found
}

/// What an adversary of the property tests does.
#[derive(Debug, Clone, Copy)]
struct Deeds {
    /// The operator's identity forks at this seq, if below 5.
    operator_fork: u64,
    researcher_fork: u64,
    aggregator_fork: u64,
    node_fork: u64,
    /// An aggregator revokes its node, keeping this many records, if below 5.
    revoked: u64,
    aborted: bool,
    /// How far the batch got.
    steps: u8,
}

fn deeds() -> impl Strategy<Value = Deeds> {
    (0u64..8, 0u64..8, 0u64..8, 0u64..8, 0u64..8, any::<bool>(), 0u8..5).prop_map(
        |(operator_fork, researcher_fork, aggregator_fork, node_fork, revoked, aborted, steps)| Deeds {
            operator_fork,
            researcher_fork,
            aggregator_fork,
            node_fork,
            revoked,
            aborted,
            steps,
        },
    )
}

/// Signs on from `seq` of a log that `records` holds, contradicting what follows there.
fn fork_at(records: &mut Vec<Record>, signer: &Signer, seq: u64, world_batch: BatchId) {
    let of_log = |r: &&Record| r.header().log == signer.log();
    if seq > records.iter().filter(of_log).count() as u64 || seq > 4 {
        return;
    }
    let prev = seq.checked_sub(1);
    let before = prev.and_then(|prev| records.iter().filter(of_log).find(|r| r.header().seq == prev));
    let mut equivocator = signer.clone();
    equivocator.last = before.map(|r| (r.header().seq, r.id()));
    equivocator.clock += 1000;
    records.push(equivocator.profile("equivocator"));
    records.push(equivocator.release("evil", "1"));
    records.push(equivocator.abort(world_batch));
}

fn history(deeds: &Deeds) -> (World, Vec<Item>) {
    let mut world = World::new();
    let steps: [&dyn Fn(&mut World); 4] = [
        &World::transcripts,
        &World::commitments,
        &|w| w.reveal(&[0, 2]),
        &|w| w.reveal(&[1]),
    ];
    for step in steps.iter().take(usize::from(deeds.steps)) {
        step(&mut world);
    }
    let withdrawal = world.researcher.withdraw(world.release);
    world.records.push(withdrawal);
    let revoked = world.nodes[1].clone();
    if deeds.revoked < 5 {
        let revocation = world.identities[1].revoke(&revoked, deeds.revoked);
        world.records.push(revocation);
    }
    if deeds.aborted {
        let abort = world.operator.abort(world.batch());
        world.records.push(abort);
    }
    let mut records = world.records.clone();
    let batch = world.batch();
    fork_at(&mut records, &world.operator, deeds.operator_fork, batch);
    fork_at(&mut records, &world.researcher, deeds.researcher_fork, batch);
    fork_at(&mut records, &world.identities[1], deeds.aggregator_fork, batch);
    fork_at(&mut records, &world.nodes[0], deeds.node_fork, batch);
    let mut items = items(&records);
    // A proof may come without the records it is about.
    let (mut one, mut two) = (world.nodes[2].clone(), world.nodes[2].clone());
    let proof = EquivocationProof::of(&one.profile("one"), &two.profile("two")).unwrap();
    if deeds.aborted {
        items.push(Item::Proof(proof));
    }
    (world, items)
}

proptest! {
    #[test]
    fn views_do_not_depend_on_the_order_of_arrival(deeds in deeds(), one in any::<u64>(), two in any::<u64>()) {
        let (world, items) = history(&deeds);
        let (mut a, mut b) = (MemoryStore::new(), MemoryStore::new());
        deliver(&mut a, &shuffled(&items, one));
        deliver(&mut b, &shuffled(&items, two));
        prop_assert_eq!(differences(&a, &b), Vec::<String>::new());
        prop_assert_eq!(views(&a, &world), views(&b, &world));
        prop_assert_eq!(frontier::heads(&a).unwrap(), frontier::heads(&b).unwrap());
    }

    #[test]
    fn nodes_that_saw_different_parts_converge_by_exchanging_frontiers(
        deeds in deeds(), order in any::<u64>(), split in 0usize..40,
    ) {
        let (world, items) = history(&deeds);
        let order = shuffled(&items, order);
        let split = split.min(order.len());
        let (mut a, mut b, mut c) = (MemoryStore::new(), MemoryStore::new(), MemoryStore::new());
        deliver(&mut a, &order);
        deliver(&mut b, &order[..split]);
        deliver(&mut c, &order[split..]);
        for round in 0.. {
            prop_assert!(round < 60, "the exchange does not come to rest");
            let changed = pull(&mut b, &c) | pull(&mut c, &b) | pull(&mut a, &b) | pull(&mut b, &a);
            if !changed {
                break;
            }
        }
        prop_assert_eq!(differences(&b, &c), Vec::<String>::new());
        prop_assert_eq!(differences(&a, &b), Vec::<String>::new());
        prop_assert_eq!(views(&b, &world), views(&c, &world));
        prop_assert_eq!(views(&a, &world), views(&b, &world));
    }
}

/// The items in an order drawn from `seed`.
fn shuffled(items: &[Item], seed: u64) -> Vec<Item> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|i| ContentHash::of(&[seed.to_be_bytes(), (*i as u64).to_be_bytes()].concat()));
    order.into_iter().map(|i| items[i].clone()).collect()
}
