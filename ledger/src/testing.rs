//! A small network on paper for tests: signers, a task with its committee, and delivery in any order.

use fieldmark_protocol::address::{NodeCertificate, Roles};
use fieldmark_protocol::aggregation::{
    Abort, AbortReason, Aggregate, AggregateShare, BatchId, ShareCommitment, Transcript, commitment,
};
use fieldmark_protocol::challenge::{Challenge, Slice};
use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Store;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};
use fieldmark_protocol::task::{Aggregator, Eligibility, Privacy, Statistics, Task};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, SecretKey};

use crate::frontier;
use crate::log::{self, Ingest};
use crate::payload::{NodeRevocation, Profile, Withdrawal};
use crate::store::MemoryStore;

/// A key with the end of its log. A clone that signs on equivocates.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    pub(crate) author: PublicKey,
    pub(crate) last: Option<(u64, RecordId)>,
    pub(crate) clock: u64,
}

impl Signer {
    pub(crate) fn identity(seed: u8) -> Self {
        let key = SecretKey::from_seed(&[seed; 32]);
        Self {
            author: key.public(),
            key,
            last: None,
            clock: u64::from(seed) * 1000,
        }
    }

    pub(crate) fn node(seed: u8, identity: &Self) -> Self {
        Self {
            author: identity.author,
            ..Self::identity(seed)
        }
    }

    pub(crate) fn log(&self) -> PublicKey {
        self.key.public()
    }

    pub(crate) fn sign(&mut self, kind: Kind, payload: Vec<u8>) -> Record {
        self.clock += 1;
        let record = Record::sign(&self.key, self.author, self.last, kind, payload, self.clock);
        self.last = Some((record.header().seq, record.id()));
        record
    }

    pub(crate) fn profile(&mut self, name: &str) -> Record {
        self.sign(
            Kind::Profile,
            Profile {
                name: name.into(),
                about: String::new(),
            }
            .encode(),
        )
    }

    pub(crate) fn certify(&mut self, node: &Self) -> Record {
        let hpke = PublicKey::new(*ContentHash::of(node.log().as_bytes()).as_bytes());
        let certificate = NodeCertificate::new(self.author, &node.key, hpke, Roles(Roles::AGGREGATOR));
        self.sign(Kind::NodeCertificate, certificate.encode())
    }

    pub(crate) fn revoke(&mut self, node: &Self, records: u64) -> Record {
        let revocation = NodeRevocation {
            node_key: node.log(),
            reason: String::new(),
            records,
        };
        self.sign(Kind::NodeRevocation, revocation.encode())
    }

    pub(crate) fn release(&mut self, name: &str, version: &str) -> Record {
        self.sign(Kind::Release, release(name, version).encode())
    }

    pub(crate) fn withdraw(&mut self, release: RecordId) -> Record {
        self.sign(
            Kind::Withdrawal,
            Withdrawal {
                release,
                reason: "broken".into(),
            }
            .encode(),
        )
    }

    pub(crate) fn abort(&mut self, batch: BatchId) -> Record {
        let abort = Abort {
            batch,
            reason: AbortReason::ByHand,
            detail: "a typo".into(),
        };
        self.sign(Kind::Abort, abort.encode())
    }

    pub(crate) fn challenge(&mut self, name: &str, task: RecordId) -> Record {
        let slice = Slice {
            name: "clean".into(),
            description: String::new(),
        };
        let challenge = Challenge {
            name: name.into(),
            scenario: "Digits under bad light.".into(),
            task,
            slices: vec![slice],
            clean_slice: "clean".into(),
            metric: "accuracy".into(),
            previous: None,
        };
        self.sign(Kind::Challenge, challenge.encode())
    }
}

pub(crate) fn release(name: &str, version: &str) -> Release {
    let tensor = |name: &str| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape: vec![-1, 4],
    };
    Release {
        name: name.into(),
        version: version.into(),
        runtime: "onnx".into(),
        artifacts: vec![Artifact {
            path: "model.onnx".into(),
            blake3: ContentHash::of(version.as_bytes()),
            sha256: ContentHash::new([2; 32]),
            size: 1,
        }],
        entry: "model.onnx".into(),
        inputs: vec![tensor("in")],
        outputs: vec![tensor("out")],
        labels: vec![],
        license: "MIT".into(),
        tags: vec!["vision".into()],
        task: "image-classification".into(),
        summary: "Reads digits.".into(),
        parent: None,
        reference: Vec::new(),
        input_reference: Vec::new(),
    }
}

/// An operator, a researcher and three aggregators, with everything up to a released batch.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) operator: Signer,
    /// Certified by the operator; signs task and challenge.
    pub(crate) operator_node: Signer,
    pub(crate) researcher: Signer,
    pub(crate) identities: Vec<Signer>,
    pub(crate) nodes: Vec<Signer>,
    pub(crate) release: RecordId,
    pub(crate) task: RecordId,
    pub(crate) challenge: RecordId,
    /// Everything signed so far, in an order in which it can be stored.
    pub(crate) records: Vec<Record>,
    pub(crate) shares: Vec<AggregateShare>,
}

impl World {
    /// Up to task and challenge.
    pub(crate) fn new() -> Self {
        let (mut operator, mut researcher) = (Signer::identity(1), Signer::identity(2));
        let mut operator_node = Signer::node(11, &operator);
        let mut records = vec![operator.profile("Operator"), operator.certify(&operator_node)];
        records.push(researcher.profile("Researcher"));
        let release = researcher.release("digits", "1.0.0");
        records.push(release.clone());
        let (mut identities, mut nodes) = (Vec::new(), Vec::new());
        for seat in 0..3 {
            let mut identity = Signer::identity(20 + seat);
            let node = Signer::node(30 + seat, &identity);
            records.push(identity.profile(&format!("Aggregator {seat}")));
            records.push(identity.certify(&node));
            identities.push(identity);
            nodes.push(node);
        }
        let task = operator_node.sign(Kind::Task, task(&[release.id()], &nodes).encode());
        let challenge = operator_node.challenge("field", task.id());
        let (task_id, challenge_id) = (task.id(), challenge.id());
        records.extend([task, challenge]);
        Self {
            operator,
            operator_node,
            researcher,
            identities,
            nodes,
            release: release.id(),
            task: task_id,
            challenge: challenge_id,
            records,
            shares: Vec::new(),
        }
    }

    /// Up to a released batch with its aggregate.
    pub(crate) fn released() -> Self {
        let mut world = Self::new();
        world.transcripts();
        world.commitments();
        world.reveal(&[0, 1, 2]);
        world.aggregate(0, vec![7]);
        world
    }

    pub(crate) fn batch(&self) -> BatchId {
        BatchId {
            task: self.task,
            window: 0,
        }
    }

    pub(crate) fn transcript(&self, count: u64) -> Transcript {
        Transcript {
            batch: self.batch(),
            count,
            report_root: ContentHash::of(b"root"),
            group_seed: None,
            rejections: vec![],
        }
    }

    pub(crate) fn transcripts(&mut self) {
        let payload = self.transcript(5).encode();
        for node in &mut self.nodes {
            self.records.push(node.sign(Kind::Transcript, payload.clone()));
        }
    }

    pub(crate) fn commitments(&mut self) {
        let (batch, transcript) = (self.batch(), self.transcript(5).digest());
        for (seat, node) in (0u8..).zip(&mut self.nodes) {
            let share = AggregateShare {
                batch,
                share: vec![seat + 1; 32],
                nonce: [seat; 32],
            };
            let commitment = commitment(batch, &share.share, &share.nonce);
            let promise = ShareCommitment {
                batch,
                transcript,
                commitment,
            };
            self.records
                .push(node.sign(Kind::ShareCommitment, promise.encode()));
            self.shares.push(share);
        }
    }

    pub(crate) fn reveal(&mut self, seats: &[usize]) {
        for &seat in seats {
            let record = self.nodes[seat].sign(Kind::AggregateShare, self.shares[seat].encode());
            self.records.push(record);
        }
    }

    /// Publishes a sum that cites the last k records of kind AggregateShare.
    pub(crate) fn aggregate(&mut self, seat: usize, values: Vec<i64>) {
        let shares = self
            .records
            .iter()
            .filter(|r| r.header().kind == Kind::AggregateShare);
        let shares = shares.map(Record::id).collect();
        let aggregate = Aggregate {
            batch: self.batch(),
            count: 5,
            values,
            shares,
        };
        self.records
            .push(self.nodes[seat].sign(Kind::Aggregate, aggregate.encode()));
    }

    pub(crate) fn store(&self) -> MemoryStore {
        let mut store = MemoryStore::new();
        let items: Vec<Item> = self.records.iter().cloned().map(Item::Record).collect();
        deliver(&mut store, &items);
        store
    }
}

pub(crate) fn task(releases: &[RecordId], nodes: &[Signer]) -> Task {
    let seat = |node: &Signer| Aggregator {
        identity: node.author,
        node_key: node.log(),
        hpke_key: PublicKey::new(*ContentHash::of(node.log().as_bytes()).as_bytes()),
    };
    Task {
        name: "field".into(),
        committee: nodes.iter().map(seat).collect(),
        statistics: Statistics {
            releases: releases.to_vec(),
            slices: vec!["clean".into()],
            records_max: 100,
            paired: false,
            calibration: false,
            extra: fieldmark_protocol::task::Extra::default(),
        },
        privacy: Privacy {
            epsilon_micro: 1_000_000,
            delta_pico: 1_000_000,
            sigma_squared: 100,
            l2_squared: 4,
        },
        eligibility: Eligibility::Open,
        patience_ms: 0,
        recurrence: None,
        replicate_groups: 1,
        min_batch: 3,
        reports_expected: 0,
        opens_at_ms: 1000,
        closes_at_ms: 2000,
        window: 0,
    }
}

/// Something that arrives.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Record(Record),
    Proof(EquivocationProof),
}

/// Delivers the items in order, again and again until nothing changes any more, as repeated syncs do.
pub(crate) fn deliver(store: &mut MemoryStore, items: &[Item]) {
    loop {
        let mut changed = false;
        for item in items {
            changed |= take(store, item);
        }
        if !changed {
            return;
        }
    }
}

/// Takes one item in; whether the store changed.
pub(crate) fn take(store: &mut MemoryStore, item: &Item) -> bool {
    let batch = match item {
        Item::Proof(proof) => log::ingest_proof(store, proof).unwrap(),
        Item::Record(record) => match log::ingest(store, record).unwrap() {
            Ingest::Stored(batch) => Some(batch),
            Ingest::Conflict { batch, .. } => {
                store.commit(&batch).unwrap();
                take(store, item);
                return true;
            }
            _ => None,
        },
    };
    batch.is_some_and(|batch| store.commit(&batch).is_ok())
}

/// Pulls everything that `from` has and `to` lacks, as two nodes do after they connect.
pub(crate) fn pull(to: &mut MemoryStore, from: &MemoryStore) -> bool {
    let mut changed = false;
    for (key, seq) in log::forks(from).unwrap() {
        let told = fieldmark_protocol::wire::ProvenFork {
            log: key.to_vec(),
            seq,
        };
        if frontier::lacks_proof(to, &told).unwrap() {
            changed |= take(to, &Item::Proof(log::proof(from, &key).unwrap().unwrap()));
        }
    }
    for head in frontier::heads(from).unwrap() {
        let key = PublicKey::from_slice(&head.log).unwrap();
        while let Some(start) = frontier::behind(to, &head).unwrap() {
            let mut news = false;
            for record in frontier::range(from, &key, start, 100, 1 << 20).unwrap() {
                news |= take(to, &Item::Record(record));
            }
            changed |= news;
            if !news {
                break;
            }
        }
    }
    changed
}
