//! A committee with more reports than are under way at a time: each counts once, also when the leader is
//! killed in between; and a peer that floods it gets nothing but refusals.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::collections::{BTreeMap, VecDeque};

use fieldmark_fl::privacy::{Delta, Epsilon, calibrate};
use fieldmark_fl::schema::{Measurement, Schema};
use fieldmark_fl::seal;
use fieldmark_ledger::batch;
use fieldmark_ledger::log::{self, Ingest};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_node_core::compute::{self, Job, JobResult};
use fieldmark_node_core::context::{Keys, Policy};
use fieldmark_node_core::driver::Driver;
use fieldmark_node_core::io::{Input, Output};
use fieldmark_node_core::leader::{CHUNK, CHUNKS_MAX};
use fieldmark_node_core::limits::Traffic;
use fieldmark_node_core::{NodeCore, NodeOptions, params, reveal};
use fieldmark_protocol::address::{NodeCertificate, Roles};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Column, Read, Store};
use fieldmark_protocol::report::{Metadata, Report};
use fieldmark_protocol::task::{Aggregator, Eligibility, Extra, Privacy, Statistics, Task};
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, ReportId, SecretKey, wire};
use prost::Message;

const SEATS: usize = 3;
const NOW: u64 = 1_000_000;
/// More than the chunks that are under way at a time.
const REPORTS: usize = CHUNK * CHUNKS_MAX + CHUNK + 7;
/// Where inbound requests come from: the network, or a seat in one of its lives. No answer reaches a later
/// life, as no connection does.
const SENDER_SHIFT: u32 = 32;
const NETWORK: u64 = 9;
const LIFE: u64 = 16;

fn seed(what: &str, number: usize) -> [u8; 32] {
    *blake3::hash(format!("{what} {number}").as_bytes()).as_bytes()
}

fn options(seat: usize, life: usize) -> NodeOptions {
    let (hpke, hpke_public) = seal::keypair(&seed("hpke", seat));
    NodeOptions {
        keys: Keys {
            identity: SecretKey::from_seed(&seed("identity", seat)),
            node: SecretKey::from_seed(&seed("node", seat)),
            hpke,
            hpke_public,
        },
        name: format!("aggregator-{seat}"),
        roles: Roles(Roles::AGGREGATOR),
        policy: Policy::default(),
        seed: seed("randomness", seat + 10 * life),
    }
}

fn task(reports: usize) -> Task {
    let seat = |seat| {
        let keys = options(seat, 0).keys;
        Aggregator {
            identity: keys.identity.public(),
            node_key: keys.node.public(),
            hpke_key: PublicKey::new(keys.hpke_public),
        }
    };
    let mut task = Task {
        name: "many".into(),
        committee: (0..SEATS).map(seat).collect(),
        statistics: Statistics {
            releases: vec![RecordId::new([1; 32])],
            slices: vec!["clean".into()],
            records_max: 3,
            paired: false,
            calibration: false,
            extra: Extra::default(),
        },
        privacy: Privacy {
            epsilon_micro: 20_000_000,
            delta_pico: 1_000_000,
            sigma_squared: 1,
            l2_squared: 1,
        },
        eligibility: Eligibility::Open,
        min_batch: 2,
        reports_expected: u32::try_from(reports).unwrap(),
        opens_at_ms: NOW - 1,
        closes_at_ms: NOW + 3_600_000,
        window: 0,
        patience_ms: 0,
        recurrence: None,
        replicate_groups: 1,
    };
    let schema = Schema::new(&params::schema_params(&task)).unwrap();
    task.privacy.l2_squared = schema.l2_sensitivity_squared();
    let (epsilon, delta) = (Epsilon::new(20.0).unwrap(), Delta::new(1e-6).unwrap());
    task.privacy.sigma_squared = calibrate(task.privacy.l2_squared, epsilon, delta)
        .unwrap()
        .sigma_squared;
    task
}

fn contributor(number: usize) -> (SecretKey, SecretKey) {
    let key = |what| SecretKey::from_seed(&seed(what, number));
    (key("contributor"), key("contributor node"))
}

/// The committee, its stores, and the messages and jobs on their way.
struct World {
    task: Task,
    batch: BatchId,
    nodes: Vec<Driver<MemoryStore>>,
    lives: Vec<u64>,
    waiting: VecDeque<(usize, Input)>,
    receipts: BTreeMap<u64, rpc_response::Body>,
    now: u64,
    scores: BTreeMap<PublicKey, i32>,
}

impl World {
    fn new(reports: usize) -> Self {
        let task = task(reports);
        let operator = SecretKey::from_seed(&seed("operator", 0));
        let record = Record::sign(&operator, operator.public(), None, Kind::Task, task.encode(), NOW);
        let batch = BatchId {
            task: record.id(),
            window: 0,
        };
        let mut store = MemoryStore::new();
        take(&mut store, &record);
        for number in 0..reports {
            let (identity, node) = contributor(number);
            let hpke = PublicKey::new([7; 32]);
            let certificate = NodeCertificate::new(identity.public(), &node, hpke, Roles(Roles::CONTRIBUTOR));
            let (kind, payload) = (Kind::NodeCertificate, certificate.encode());
            take(
                &mut store,
                &Record::sign(&identity, identity.public(), None, kind, payload, NOW),
            );
        }
        let mut world = Self {
            task,
            batch,
            nodes: Vec::new(),
            lives: vec![0; SEATS],
            waiting: VecDeque::new(),
            receipts: BTreeMap::new(),
            now: NOW,
            scores: BTreeMap::new(),
        };
        for seat in 0..SEATS {
            world
                .nodes
                .push(Driver::new(NodeCore::new(options(seat, 0)), store.clone()));
        }
        (0..SEATS).for_each(|seat| world.start(seat));
        world
    }

    fn start(&mut self, seat: usize) {
        self.waiting.push_back((seat, Input::Start));
        for other in (0..SEATS).filter(|other| *other != seat) {
            let peer = node_key(other);
            self.waiting.push_back((seat, Input::Connected { peer }));
        }
    }

    /// Ends a node as a crash does: what was not committed is gone, and so is what was on its way to it.
    fn kill(&mut self, seat: usize) {
        let node = self.nodes.remove(seat);
        let again = Driver::new(NodeCore::new(options(seat, 1)), node.into_store());
        self.nodes.insert(seat, again);
        self.lives[seat] += 1;
        self.waiting.retain(|(to, _)| *to != seat);
        self.start(seat);
    }

    fn upload(&mut self, number: usize) {
        let (peer, report) = report(self, number);
        let body = Some(rpc_request::Body::Upload(report.to_wire()));
        self.request(peer, number as u64, wire::RpcRequest { body }.encode_to_vec());
    }

    fn request(&mut self, peer: PublicKey, id: u64, data: Vec<u8>) {
        let inbound = NETWORK << SENDER_SHIFT | id;
        self.waiting
            .push_back((0, Input::Request { peer, inbound, data }));
    }

    /// Handles what waits, one input at a time; false when nothing did.
    fn step(&mut self) -> bool {
        let Some((seat, input)) = self.waiting.pop_front() else {
            return false;
        };
        let outputs = self.nodes[seat].step([(self.now, input)]).unwrap();
        for output in outputs {
            self.carry(seat, output);
        }
        true
    }

    fn carry(&mut self, seat: usize, output: Output) {
        match output {
            Output::Send { peer, request, data } => {
                if let Some(to) = (0..SEATS).find(|to| node_key(*to) == peer) {
                    let inbound = self.sender(seat) << SENDER_SHIFT | request;
                    let peer = node_key(seat);
                    self.waiting
                        .push_back((to, Input::Request { peer, inbound, data }));
                }
            }
            Output::Respond { inbound, data } => {
                let (to, request) = (inbound >> SENDER_SHIFT, inbound & 0xffff_ffff);
                if to == NETWORK {
                    let body = wire::RpcResponse::decode(data.as_slice()).unwrap().body.unwrap();
                    self.receipts.insert(request, body);
                } else if let Some(to) = (0..SEATS).find(|seat| self.sender(*seat) == to) {
                    let result = Ok(data);
                    self.waiting.push_back((to, Input::Response { request, result }));
                }
            }
            Output::Broadcast { topic, data } => {
                for to in (0..SEATS).filter(|to| *to != seat) {
                    let from = node_key(seat);
                    let message = *blake3::hash(&data).as_bytes();
                    let data = data.clone();
                    let gossip = Input::Gossip {
                        message,
                        topic,
                        from,
                        data,
                    };
                    self.waiting.push_back((to, gossip));
                }
            }
            Output::Compute { job, work } => {
                let result = compute::run(&work).unwrap();
                self.waiting.push_back((seat, Input::Done { job, result }));
            }
            Output::Score { peer, score } => {
                self.scores.insert(peer, score);
            }
            _ => {}
        }
    }

    /// Runs until nothing happens any more, with time going on.
    fn settle(&mut self) {
        for _ in 0..20 {
            while self.step() {}
            self.now += 1_500;
            (0..SEATS).for_each(|seat| self.waiting.push_back((seat, Input::Timer)));
        }
    }

    fn sender(&self, seat: usize) -> u64 {
        LIFE * self.lives[seat] + seat as u64
    }

    fn leader(&self) -> &MemoryStore {
        self.nodes[0].store()
    }

    /// Entries of the leader's reports: those with a body, and those that are decided.
    fn taken(&self) -> (usize, usize) {
        let prefix = [self.batch.key(), vec![b'R']].concat();
        let entries = self.leader().scan_all(Column::Aggregation, &prefix).unwrap();
        let decided = entries.iter().filter(|(_, value)| value.len() == 28).count();
        (entries.len() - decided, decided)
    }
}

fn node_key(seat: usize) -> PublicKey {
    options(seat, 0).keys.node.public()
}

fn take(store: &mut MemoryStore, record: &Record) {
    let Ingest::Stored(batch) = log::ingest(store, record).unwrap() else {
        panic!("the record is not taken");
    };
    store.commit(&batch).unwrap();
}

fn values(number: usize) -> Vec<u64> {
    vec![3, (number % 4) as u64]
}

fn report(world: &World, number: usize) -> (PublicKey, Report) {
    let (identity, node) = contributor(number);
    let metadata = Metadata {
        batch: world.batch,
        report_id: ReportId::from_slice(&seed("report", number)[..16]).unwrap(),
        contributor: identity.public(),
        node_key: node.public(),
    };
    let job = Job::Shard {
        shape: params::shape(&world.task),
        metadata,
        values: values(number),
        recipients: world
            .task
            .committee
            .iter()
            .map(|a| *a.hpke_key.as_bytes())
            .collect(),
        seed: seed("shard", number),
    };
    let Some(JobResult::Sharded(Ok((public, sealed)))) = compute::run(&job) else {
        panic!("the report is not sharded");
    };
    (node.public(), Report::sign(&node, metadata, public, sealed))
}

/// The released sum is that of every report once, up to the noise.
fn assert_released(world: &World, reports: usize) {
    let view = batch::batch(world.leader(), world.batch).unwrap();
    assert_eq!(view.transcript().unwrap().count, reports as u64);
    let schema = Schema::new(&params::schema_params(&world.task)).unwrap();
    let mut expected = vec![0_i128; schema.len()];
    for number in 0..reports {
        let released = schema.release(&Measurement::new(&schema, values(number)).unwrap());
        expected
            .iter_mut()
            .zip(released)
            .for_each(|(sum, value)| *sum += value);
    }
    let found = reveal::sum(&world.task, &view).unwrap();
    let sigma = (world.task.privacy.sigma_squared as f64 * SEATS as f64).sqrt();
    // One report changes the sum by several of these.
    let near = found
        .iter()
        .zip(&expected)
        .all(|(a, b)| ((a - b).abs() as f64) < 8.0 * sigma);
    assert!(
        near,
        "{found:?} was released, {expected:?} was measured, sigma {sigma}"
    );
}

#[test]
fn every_report_of_many_chunks_counts_once() {
    let mut world = World::new(REPORTS);
    (0..REPORTS).for_each(|number| world.upload(number));
    world.settle();
    assert_eq!(world.receipts.len(), REPORTS);
    assert_released(&world, REPORTS);
    assert_eq!(world.taken(), (0, REPORTS));
    for node in &world.nodes {
        for tag in [b'S', b'O', b'A'] {
            let prefix = [world.batch.key(), vec![tag]].concat();
            let left = node.store().scan_all(Column::Aggregation, &prefix).unwrap();
            assert_eq!(left.len(), 0, "{} is not dropped after its use", char::from(tag));
        }
    }
}

#[test]
fn a_leader_killed_between_chunks_goes_on_where_it_was() {
    let mut world = World::new(REPORTS);
    (0..REPORTS).for_each(|number| world.upload(number));
    while world.taken().1 < CHUNK {
        assert!(world.step());
    }
    let (waiting, decided) = world.taken();
    assert!(waiting > 0 && decided >= CHUNK);
    world.kill(0);
    world.settle();
    assert_released(&world, REPORTS);
    assert_eq!(world.taken(), (0, REPORTS));
}

#[test]
fn a_report_of_the_wrong_length_is_refused_before_it_costs_anything() {
    let mut world = World::new(4);
    let (peer, report) = report(&world, 0);
    let mut longer = report.sealed.clone();
    longer[0].push(0);
    let longer = Report::sign(&contributor(0).1, report.metadata, report.public_share, longer);
    let body = Some(rpc_request::Body::Upload(longer.to_wire()));
    world.request(peer, 0, wire::RpcRequest { body }.encode_to_vec());
    while world.step() {}
    let refused = matches!(&world.receipts[&0], rpc_response::Body::Refusal(refusal) if refusal.code == 3);
    assert!(refused, "{:?}", world.receipts);
    assert_eq!(world.taken(), (0, 0));
}

#[test]
fn a_peer_that_floods_is_refused_loses_score_and_costs_nobody_else() {
    let mut world = World::new(4);
    let (peer, report) = report(&world, 0);
    let body = Some(rpc_request::Body::Upload(report.to_wire()));
    let data = wire::RpcRequest { body }.encode_to_vec();
    let flood = 10 * Traffic::Upload.burst();
    (0..flood).for_each(|id| world.request(peer, id, data.clone()));
    for number in 1..4 {
        let (peer, report) = self::report(&world, number);
        let body = Some(rpc_request::Body::Upload(report.to_wire()));
        world.request(
            peer,
            flood + number as u64,
            wire::RpcRequest { body }.encode_to_vec(),
        );
    }
    while world.step() {}
    let taken = |body: &rpc_response::Body| matches!(body, rpc_response::Body::Receipt(_));
    let of_flood = world
        .receipts
        .range(..flood)
        .filter(|(_, body)| taken(body))
        .count() as u64;
    assert_eq!(of_flood, Traffic::Upload.burst());
    assert!(world.receipts.range(flood..).all(|(_, body)| taken(body)));
    assert!(world.scores[&peer] < 0);
    assert_eq!(world.scores.len(), 1);
}
