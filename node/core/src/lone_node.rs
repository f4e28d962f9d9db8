//! One node on a memory store for tests: it owns a model, serves it, and is told what time it is.

use fieldmark_fl::seal;
use fieldmark_ledger::log::{self, Ingest};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::address::{NodeCertificate, Roles};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Store as _;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};
use fieldmark_protocol::task::Aggregator;
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, SecretKey, ServedId};
use serde_json::json;

use crate::context::{Keys, Policy};
use crate::driver::Driver;
use crate::io::{Command, CommandError, Input, Output, Reply};
use crate::served::draw::Rate;
use crate::served::{Answer, Keeping};
use crate::{NodeCore, NodeOptions};

/// A node with one release, on a memory store.
pub(crate) struct Node {
    pub(crate) driver: Driver<MemoryStore>,
    pub(crate) options: NodeOptions,
    pub(crate) release: RecordId,
    pub(crate) now: u64,
}

impl Node {
    pub(crate) fn keeping(inputs_max: u64, ppm: u32) -> Self {
        let mut store = MemoryStore::default();
        for seat in &committee_keys() {
            certify(&mut store, seat);
        }
        let (hpke, hpke_public) = seal::keypair(&[3; 32]);
        let keeping = Keeping {
            inputs_max,
            rate: Rate::from_ppm(ppm).unwrap(),
        };
        let options = NodeOptions {
            keys: Keys {
                identity: SecretKey::from_seed(&[1; 32]),
                node: SecretKey::from_seed(&[2; 32]),
                hpke,
                hpke_public,
            },
            name: "acme".into(),
            roles: Roles(Roles::CONTRIBUTOR),
            policy: Policy {
                keeping,
                ..Policy::default()
            },
            seed: [9; 32],
        };
        let mut driver = Driver::new(NodeCore::new(options.clone()), store);
        driver.step([(1, Input::Start)]).unwrap();
        let mut node = Self {
            driver,
            options,
            release: RecordId::new([0; 32]),
            now: 10,
        };
        let Reply::Recorded(ids) = node.command(Command::Publish(release())).unwrap() else {
            panic!("a release is a record")
        };
        node.release = ids[0];
        node
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.now += 1;
        let input = Input::Command {
            id: self.now,
            command: Box::new(command),
        };
        let outputs = self.driver.step([(self.now, input)]).unwrap();
        let mut replies = outputs.into_iter().filter_map(|output| match output {
            Output::Reply { result, .. } => Some(result),
            _ => None,
        });
        replies.next().unwrap()
    }

    pub(crate) fn serve(&mut self, probabilities: &[f32]) -> ServedId {
        let answer = Answer {
            input: json!({ "x": [[1.0, 2.0]] }),
            probabilities: probabilities.to_vec(),
            outlying: None,
        };
        let served = self.command(Command::Serve {
            release: self.release,
            answers: vec![answer],
        });
        match served.unwrap() {
            Reply::Served(ids) => ids[0],
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn label(
        &mut self,
        request_id: ServedId,
        label: &str,
        local: bool,
    ) -> Result<Reply, CommandError> {
        self.command(Command::Label {
            request_id,
            label: label.into(),
            local,
        })
    }

    pub(crate) fn store(&self) -> &MemoryStore {
        self.driver.store()
    }

    /// Stops without warning and starts again on the same store.
    pub(crate) fn restart(self) -> Self {
        let core = NodeCore::new(NodeOptions {
            seed: [10; 32],
            ..self.options.clone()
        });
        let mut driver = Driver::new(core, self.driver.into_store());
        driver.step([(self.now, Input::Start)]).unwrap();
        Self {
            driver,
            options: self.options,
            release: self.release,
            now: self.now,
        }
    }
}

fn release() -> Release {
    let spec = |name: &str, size| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape: vec![-1, size],
    };
    Release {
        name: "cats".into(),
        version: "1.0.0".into(),
        runtime: "torchscript".into(),
        artifacts: vec![Artifact {
            path: "model.pt".into(),
            blake3: ContentHash::of(b"model"),
            sha256: ContentHash::of(b"sha"),
            size: 5,
        }],
        entry: "model.pt".into(),
        inputs: vec![spec("x", 2)],
        outputs: vec![spec("y", 2)],
        labels: vec!["cat".into(), "dog".into()],
        license: "MIT".into(),
        tags: Vec::new(),
        task: "image-classification".into(),
        summary: String::new(),
        parent: None,
        reference: Default::default(),
        input_reference: Default::default(),
    }
}

/// Identity, node key and HPKE key of one aggregator.
type SeatKeys = (SecretKey, SecretKey, PublicKey);

fn committee_keys() -> [SeatKeys; 2] {
    [20u8, 30].map(|byte| {
        let (_, hpke) = seal::keypair(&[byte + 2; 32]);
        let key = |seed: u8| SecretKey::from_seed(&[seed; 32]);
        (key(byte), key(byte + 1), PublicKey::new(hpke))
    })
}

/// Two aggregators that every such node knows.
pub(crate) fn committee() -> Vec<Aggregator> {
    let seat = |(identity, node, hpke_key): SeatKeys| Aggregator {
        identity: identity.public(),
        node_key: node.public(),
        hpke_key,
    };
    committee_keys().into_iter().map(seat).collect()
}

fn certify(store: &mut MemoryStore, (identity, node, hpke): &SeatKeys) {
    let certificate = NodeCertificate::new(identity.public(), node, *hpke, Roles(Roles::AGGREGATOR));
    let (author, kind) = (identity.public(), Kind::NodeCertificate);
    let record = Record::sign(identity, author, None, kind, certificate.encode(), 1);
    if let Ingest::Stored(batch) = log::ingest(&*store, &record).unwrap() {
        store.commit(&batch).unwrap();
    }
}
