//! A ledger on paper for tests: signers, and challenges with the result that a test wants.

use fieldmark_fl::schema::{Details, RecordOutcome, Schema, ViewOutcome};
use fieldmark_ledger::log::{self, Ingest};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::address::{NodeCertificate, Roles};
use fieldmark_protocol::aggregation::{
    Aggregate, AggregateShare, BatchId, ShareCommitment, Transcript, commitment,
};
use fieldmark_protocol::challenge::{Challenge, Slice};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Store;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};
use fieldmark_protocol::task::{Aggregator, Eligibility, Extra, Privacy, Statistic, Statistics, Task};
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, SecretKey};

use crate::params::schema_params;

/// Modulus of the field that shares are in: 2^128 − 7·2^66 + 1.
const MODULUS: u128 = 0xffff_ffff_ffff_ffe4_0000_0000_0000_0001;

/// A key with the end of its log.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    pub(crate) author: PublicKey,
    last: Option<(u64, RecordId)>,
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

    fn node(seed: u8, identity: &Self) -> Self {
        Self {
            author: identity.author,
            ..Self::identity(seed)
        }
    }

    /// Signs the next record and puts it into the store.
    pub(crate) fn say(&mut self, store: &mut MemoryStore, kind: Kind, payload: Vec<u8>) -> RecordId {
        self.clock += 1;
        let record = Record::sign(&self.key, self.author, self.last, kind, payload, self.clock);
        self.last = Some((record.header().seq, record.id()));
        let Ingest::Stored(batch) = log::ingest(store, &record).unwrap() else {
            panic!("{kind:?} was not stored")
        };
        store.commit(&batch).unwrap();
        record.id()
    }

    pub(crate) fn release(&mut self, store: &mut MemoryStore, version: &str) -> RecordId {
        self.say(store, Kind::Release, release(version).encode())
    }
}

pub(crate) fn release(version: &str) -> Release {
    let tensor = |name: &str| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape: vec![-1, 4],
    };
    Release {
        name: "digits".into(),
        version: version.into(),
        runtime: "torchscript".into(),
        artifacts: vec![Artifact {
            path: "model.pt".into(),
            blake3: ContentHash::of(version.as_bytes()),
            sha256: ContentHash::new([2; 32]),
            size: 1,
        }],
        entry: "model.pt".into(),
        inputs: vec![tensor("in")],
        outputs: vec![tensor("out")],
        labels: vec![],
        license: "MIT".into(),
        tags: vec![],
        task: "image-classification".into(),
        summary: "Reads digits.".into(),
        parent: None,
        reference: vec![],
        input_reference: vec![],
    }
}

/// A researcher, an operator and two aggregators.
pub(crate) struct Field {
    pub(crate) store: MemoryStore,
    pub(crate) ada: Signer,
    operator: Signer,
    nodes: Vec<Signer>,
    /// What the next challenge names as its previous window.
    previous: Option<RecordId>,
    opens_at_ms: u64,
}

impl Field {
    pub(crate) fn new() -> Self {
        let mut store = MemoryStore::new();
        let mut nodes = Vec::new();
        for seed in [3, 4] {
            let mut identity = Signer::identity(seed);
            let node = Signer::node(seed + 10, &identity);
            let hpke = PublicKey::new([seed; 32]);
            let certificate =
                NodeCertificate::new(identity.author, &node.key, hpke, Roles(Roles::AGGREGATOR));
            identity.say(&mut store, Kind::NodeCertificate, certificate.encode());
            nodes.push(node);
        }
        Self {
            store,
            ada: Signer::identity(1),
            operator: Signer::identity(2),
            nodes,
            previous: None,
            opens_at_ms: 0,
        }
    }

    /// A reader who accepts the committee.
    pub(crate) fn policy(&self) -> TrustPolicy {
        let mut policy = TrustPolicy::default();
        policy
            .aggregators
            .extend(self.nodes.iter().map(|node| node.author));
        policy
    }

    /// A challenge that was released: `percent[model][slice]` of 2,000 records are right, without noise.
    pub(crate) fn challenge(
        &mut self,
        name: &str,
        releases: &[RecordId],
        slices: &[&str],
        percent: &[&[usize]],
    ) -> RecordId {
        let task = self.task(releases, slices);
        let outcome = |record: usize| RecordOutcome {
            correct: percent
                .iter()
                .map(|model| model.iter().map(|right| record % 100 < *right).collect())
                .collect(),
            confidence: percent.iter().map(|model| vec![0.5; model.len()]).collect(),
            details: None,
        };
        let outcomes: Vec<_> = (0..2_000).map(outcome).collect();
        self.released(name, task, &outcomes)
    }

    /// The next window of a challenge, released as [`Self::challenge`] is.
    pub(crate) fn next(
        &mut self,
        name: &str,
        previous: RecordId,
        releases: &[RecordId],
        slices: &[&str],
        percent: &[&[usize]],
    ) -> RecordId {
        self.previous = Some(previous);
        let next = self.challenge(name, releases, slices, percent);
        self.previous = None;
        next
    }

    /// Both aggregators publish an aggregate; the second's is not the sum.
    pub(crate) fn contradict(&mut self, challenge: RecordId) {
        let inputs = fieldmark_ledger::board::gather(&self.store, &challenge)
            .unwrap()
            .unwrap();
        let sum = crate::reveal::sum(&inputs.task.task, &inputs.batch).unwrap();
        let mut values: Vec<i64> = sum.iter().map(|value| i64::try_from(*value).unwrap()).collect();
        for node in &mut self.nodes {
            let aggregate = Aggregate {
                batch: inputs.task.batch(),
                count: 5,
                values: values.clone(),
                shares: inputs
                    .batch
                    .shares()
                    .unwrap()
                    .iter()
                    .map(|share| share.id)
                    .collect(),
            };
            node.say(&mut self.store, Kind::Aggregate, aggregate.encode());
            values[0] += 1;
        }
    }

    /// A challenge of one release and one slice that measures drift: of 100 answers `first` are the first
    /// of two classes, and as many inputs lie in the first of two bins.
    pub(crate) fn drift(&mut self, name: &str, release: RecordId, first: usize) -> RecordId {
        let mut task = self.task(&[release], &["clean"]);
        task.statistics.extra = Extra {
            collected: [Statistic::Drift, Statistic::InputDrift].into(),
            classes: vec!["one".into(), "seven".into()],
            ..Extra::default()
        };
        let outcome = |record: usize| {
            let answer = u16::from(record % 100 >= first);
            RecordOutcome::detailed(Details {
                class: Some(0),
                views: vec![vec![Some(ViewOutcome {
                    correct: answer == 0,
                    answer: Some(answer),
                    outlying: Some(answer),
                    ..ViewOutcome::default()
                })]],
                ..Details::default()
            })
        };
        let outcomes: Vec<_> = (0..2_000).map(outcome).collect();
        self.released(name, task, &outcomes)
    }

    fn released(&mut self, name: &str, task: Task, outcomes: &[RecordOutcome]) -> RecordId {
        let id = self.operator.say(&mut self.store, Kind::Task, task.encode());
        let slices = &task.statistics.slices;
        let slice = |name: &String| Slice {
            name: name.clone(),
            description: String::new(),
        };
        let challenge = Challenge {
            name: name.into(),
            scenario: "On paper.".into(),
            task: id,
            slices: slices.iter().map(slice).collect(),
            clean_slice: slices[0].clone(),
            metric: "accuracy".into(),
            previous: self.previous,
        };
        let challenge = self
            .operator
            .say(&mut self.store, Kind::Challenge, challenge.encode());
        self.conclude(&task, id, outcomes);
        challenge
    }

    fn task(&mut self, releases: &[RecordId], slices: &[&str]) -> Task {
        let seat = |node: &Signer| Aggregator {
            identity: node.author,
            node_key: node.key.public(),
            hpke_key: PublicKey::new([7; 32]),
        };
        self.opens_at_ms += 1_000;
        let mut committee: Vec<Aggregator> = self.nodes.iter().map(seat).collect();
        for (at, seat) in (8u8..).zip(&mut committee) {
            seat.hpke_key = PublicKey::new([at; 32]);
        }
        Task {
            name: "on-paper".into(),
            committee,
            statistics: Statistics {
                releases: releases.to_vec(),
                slices: slices.iter().map(|name| (*name).into()).collect(),
                records_max: 10_000,
                paired: false,
                calibration: false,
                extra: Extra::default(),
            },
            privacy: Privacy {
                epsilon_micro: 1_000_000,
                delta_pico: 1_000_000,
                sigma_squared: 1,
                l2_squared: 4,
            },
            eligibility: Eligibility::Open,
            min_batch: 3,
            reports_expected: 0,
            opens_at_ms: self.opens_at_ms,
            closes_at_ms: self.opens_at_ms + 1_000,
            patience_ms: 0,
            recurrence: None,
            replicate_groups: 1,
            window: 0,
        }
    }

    fn conclude(&mut self, task: &Task, id: RecordId, outcomes: &[RecordOutcome]) {
        let schema = Schema::new(&schema_params(task)).unwrap();
        let vector = schema.release(&schema.measure(outcomes).unwrap());
        let element = |value: &i128| {
            let magnitude = value.unsigned_abs();
            let element = if *value < 0 {
                MODULUS - magnitude
            } else {
                magnitude
            };
            element.to_le_bytes()
        };
        let whole: Vec<u8> = vector.iter().flat_map(element).collect();
        let shares = [whole.clone(), vec![0; whole.len()]];
        let batch = BatchId { task: id, window: 0 };
        let transcript = Transcript {
            batch,
            count: 5,
            report_root: ContentHash::of(b"root"),
            group_seed: None,
            rejections: vec![],
        };
        for node in &mut self.nodes {
            node.say(&mut self.store, Kind::Transcript, transcript.encode());
        }
        for (node, share) in self.nodes.iter_mut().zip(&shares) {
            let promise = ShareCommitment {
                batch,
                transcript: transcript.digest(),
                commitment: commitment(batch, share, &[9; 32]),
            };
            node.say(&mut self.store, Kind::ShareCommitment, promise.encode());
        }
        for (node, share) in self.nodes.iter_mut().zip(shares) {
            let share = AggregateShare {
                batch,
                share,
                nonce: [9; 32],
            };
            node.say(&mut self.store, Kind::AggregateShare, share.encode());
        }
    }
}

/// A task of three aggregators that belongs to no ledger.
pub(crate) fn task() -> Task {
    let key = |byte| PublicKey::new([byte; 32]);
    let seat = |byte: u8| Aggregator {
        identity: key(byte),
        node_key: key(byte + 10),
        hpke_key: key(byte + 20),
    };
    Task {
        name: "field".into(),
        committee: vec![seat(1), seat(2), seat(3)],
        statistics: Statistics {
            releases: vec![RecordId::new([1; 32])],
            slices: vec!["clean".into()],
            records_max: 10,
            paired: false,
            calibration: false,
            extra: Extra::default(),
        },
        privacy: Privacy {
            epsilon_micro: 2_000_000,
            delta_pico: 1_000_000,
            sigma_squared: 100,
            l2_squared: 4,
        },
        eligibility: Eligibility::Open,
        min_batch: 2,
        reports_expected: 0,
        opens_at_ms: 0,
        closes_at_ms: 60_000,
        window: 0,
        patience_ms: 0,
        recurrence: None,
        replicate_groups: 1,
    }
}
