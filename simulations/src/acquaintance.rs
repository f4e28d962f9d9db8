//! Networks whose nodes know each other from the start: the same keys and the same first records for
//! every seed, made once per process, because signing and checking them is what a small run would
//! spend most of its time on.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use fieldmark_ledger::log::{self, Ingest};
use fieldmark_ledger::payload::Profile;
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::address::{NodeAddress, NodeCertificate};
use fieldmark_protocol::endorsement::Endorsement;
use fieldmark_protocol::machine::{Batch, Column, Store};
use fieldmark_protocol::task::CONTRIBUTOR_ROLE;
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, SecretKey};

use crate::host::EPOCH_MS;
use crate::part::{HostId, Part, Role};
use crate::scenario::{EligibilityPlan, Scenario};
use crate::script::release;

/// Tag of a release whose artifacts are complete, in `Column::Downloads`.
const COMPLETE: u8 = b'c';
/// Signed this long before the run.
const BEFORE_MS: u64 = 60_000;

/// Everyone who can appear in an acquainted network, whatever the seed.
const KEYS_OF: u64 = 0;

/// The part of a role, with the keys that it has in every acquainted network.
pub(crate) fn part(at: HostId, role: Role) -> Part {
    static PARTS: OnceLock<Mutex<BTreeMap<u64, Part>>> = OnceLock::new();
    let number = match role {
        Role::Operator => 0,
        Role::Aggregator(seat) => 1_000 + seat,
        Role::Company(number) => 2_000 + number,
        Role::Researcher(number) => 3_000 + number,
        Role::Relay => 4_000 + u64::try_from(at).unwrap_or(0),
        Role::Face { equivocator, .. } => 10_000 + equivocator,
    };
    let parts = PARTS.get_or_init(Mutex::default);
    let mut parts = parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let known = parts
        .entry(number)
        .or_insert_with(|| Part::new(KEYS_OF, at, role, number));
    Part {
        role,
        ..known.clone()
    }
}

/// Who publishes the models of an acquainted network; it has no host.
fn publisher(number: u64) -> SecretKey {
    part(0, Role::Researcher(number)).keys.identity
}

/// The ledger that everyone starts with, and the models in it.
#[derive(Debug)]
pub(crate) struct Acquaintance {
    store: MemoryStore,
    models: Vec<RecordId>,
}

impl Acquaintance {
    /// Of everyone in the cast and of the scenario's models. `also` are identities without a host, with
    /// their nodes.
    pub(crate) fn of(scenario: &Scenario, parts: &[Part], also: &[Part]) -> Self {
        let mut store = MemoryStore::default();
        for (at, part) in parts.iter().chain(also).enumerate() {
            let records = if part.role == Role::Operator
                && scenario.challenge.eligibility == EligibilityPlan::Endorsed
            {
                endorsing(part, scenario.companies, also)
            } else {
                introduction(part)
            };
            for record in records {
                take(&mut store, &record);
            }
            put_address(&mut store, at, part);
        }
        let models = (0..scenario.researchers).map(|number| {
            let record = model(number);
            take(&mut store, &record);
            record.id()
        });
        let models = models.collect();
        Self { store, models }
    }

    /// The disk that a host starts with: companies have the models.
    pub(crate) fn store_of(&self, part: &Part) -> MemoryStore {
        let mut store = self.store.clone();
        if matches!(part.role, Role::Company(_)) {
            let mut batch = Batch::new();
            for model in &self.models {
                batch.put(
                    Column::Downloads,
                    [&[COMPLETE][..], model.as_bytes()].concat(),
                    [],
                );
            }
            commit(&mut store, &batch);
        }
        store
    }

    /// The Release records.
    pub(crate) fn models(&self) -> &[RecordId] {
        &self.models
    }
}

fn commit(store: &mut MemoryStore, batch: &Batch) {
    store.commit(batch).expect("memory takes every write");
}

fn take(store: &mut MemoryStore, record: &Record) {
    if let Ok(Ingest::Stored(batch)) = log::ingest(&*store, record) {
        commit(store, &batch);
    }
}

fn put_address(store: &mut MemoryStore, at: HostId, part: &Part) {
    let address = remembered(&ADDRESSES, (at, part.node_key()), || {
        NodeAddress::sign(
            &part.keys.node,
            vec![format!("/memory/{at}")],
            None,
            EPOCH_MS - BEFORE_MS,
        )
    });
    let mut batch = Batch::new();
    let bytes = prost::Message::encode_to_vec(&address.to_wire());
    batch.put(Column::Addresses, part.node_key().to_vec(), bytes);
    commit(store, &batch);
}

type Remembered<K, V> = OnceLock<Mutex<BTreeMap<K, V>>>;

static ADDRESSES: Remembered<(HostId, PublicKey), NodeAddress> = OnceLock::new();
static INTRODUCTIONS: Remembered<PublicKey, Vec<Record>> = OnceLock::new();
static ENDORSING: Remembered<u64, Vec<Record>> = OnceLock::new();
static MODELS: Remembered<u64, Record> = OnceLock::new();

/// A value that is made once per process; it must follow from its key.
fn remembered<K: Ord, V: Clone>(values: &Remembered<K, V>, key: K, make: impl FnOnce() -> V) -> V {
    let values = values.get_or_init(Mutex::default);
    let mut values = values.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    values.entry(key).or_insert_with(make).clone()
}

/// Profile and certificate of a node, as it would sign them at its first start.
fn introduction(part: &Part) -> Vec<Record> {
    remembered(&INTRODUCTIONS, part.identity(), || {
        chain(&part.keys.identity, payloads(part))
    })
}

fn payloads(part: &Part) -> Vec<(Kind, Vec<u8>)> {
    let keys = &part.keys;
    let profile = Profile {
        name: part.name.clone(),
        about: String::new(),
    };
    let hpke = PublicKey::new(keys.hpke_public);
    let certificate = NodeCertificate::new(part.identity(), &keys.node, hpke, part.role.protocol());
    vec![
        (Kind::Profile, profile.encode()),
        (Kind::NodeCertificate, certificate.encode()),
    ]
}

/// The operator's first records where it endorses the companies, and takes its word on an accomplice back.
fn endorsing(operator: &Part, companies: u64, accomplices: &[Part]) -> Vec<Record> {
    remembered(&ENDORSING, companies, || {
        let mut payloads = payloads(operator);
        let mut word = |part: &Part, revoked| {
            let endorsement = Endorsement {
                subject: part.identity(),
                role: CONTRIBUTOR_ROLE.to_owned(),
                expires_at_ms: 0,
                revoked,
            };
            payloads.push((Kind::Endorsement, endorsement.encode()));
        };
        for number in 0..companies {
            word(&part(0, Role::Company(number)), false);
        }
        for accomplice in accomplices.iter().take(1) {
            word(accomplice, false);
            word(accomplice, true);
        }
        chain(&operator.keys.identity, payloads)
    })
}

fn model(number: u64) -> Record {
    remembered(&MODELS, number, || {
        let payload = release(&format!("model-{number}")).encode();
        chain(&publisher(number), [(Kind::Release, payload)])
            .pop()
            .expect("one payload makes one record")
    })
}

/// The first records of an identity's own log.
fn chain(key: &SecretKey, payloads: impl IntoIterator<Item = (Kind, Vec<u8>)>) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (kind, payload) in payloads {
        let prev = records.last().map(|last| (last.header().seq, last.id()));
        records.push(Record::sign(
            key,
            key.public(),
            prev,
            kind,
            payload,
            EPOCH_MS - BEFORE_MS,
        ));
    }
    records
}
