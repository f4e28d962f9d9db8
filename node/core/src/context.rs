//! What a machine may touch while it handles one input: a view of the store that sees its own writes,
//! the node's keys, injected randomness, and the list of outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fieldmark_fl::seal;
use fieldmark_ledger::addresses;
use fieldmark_ledger::store::Overlay;
use fieldmark_ledger::tasks::TaskView;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError, Topic};
use fieldmark_protocol::report::Metadata;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, Record, RecordId, SecretKey};
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use fieldmark_protocol::wire;

use crate::compute::Job;
use crate::io::{CommandError, CommandId, Event, InboundId, JobId, Output, Reply, RequestId, Verdict};
use crate::limits::{Admission, Limiter, Traffic};
use crate::served::prediction::Keeping;
use crate::{params, rpc};

/// The node's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs profile, certificates, releases, tasks and challenges.
    pub identity: SecretKey,
    /// Signs committee records, reports, receipts and addresses; also the libp2p identity.
    pub node: SecretKey,
    /// Opens shares sealed to this node.
    pub hpke: seal::SecretKey,
    /// Its public half.
    pub hpke_public: [u8; 32],
}

/// What this node's owner decided.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Aggregators this node accepts, as contributor and as reader.
    pub trust: TrustPolicy,
    /// Largest ε of a task it contributes to.
    pub epsilon_max: f64,
    /// Largest δ of such a task; 0: any.
    pub delta_max: f64,
    /// Most source records that a report to such a task may count; 0: any number.
    pub records_max: u32,
    /// What becomes of served predictions.
    pub keeping: Keeping,
}

/// Why a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Frontier,
    Range { log: PublicKey },
    Ids,
    Proofs,
    Upload(BatchId),
    Committee { batch: BatchId, seat: usize, ask: Ask },
    Inclusion { batch: BatchId, seat: usize },
}

/// What a leader asks a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    /// Its part of the verification key.
    Key,
    /// The first step of this chunk.
    Init(u64),
    /// The second step of this chunk.
    Finish(u64),
    /// Whether it agrees to the conclusion.
    Conclude,
    /// To draw the replicate groups from the nonces of all.
    Groups,
}

/// Why a job was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Evaluate(BatchId),
    Shard(Metadata),
    Fetch {
        release: RecordId,
        blob: ContentHash,
    },
    LeaderInit {
        batch: BatchId,
        chunk: u64,
    },
    Combine {
        batch: BatchId,
        chunk: u64,
    },
    HelperInit {
        batch: BatchId,
        inbound: InboundId,
    },
    HelperFinish {
        batch: BatchId,
        inbound: InboundId,
    },
    /// Output shares are added up to this many of the accepted reports.
    Add {
        batch: BatchId,
        upto: usize,
        /// The replicate group that they belong to.
        group: usize,
    },
    Noise(BatchId),
    Post {
        subscription: ContentHash,
        item: ContentHash,
    },
}

/// What outlives one input and is shared by all machines.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) keys: Keys,
    pub(crate) policy: Policy,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) requests: BTreeMap<RequestId, (PublicKey, Purpose)>,
    pub(crate) jobs: BTreeMap<JobId, Work>,
    pub(crate) connected: BTreeSet<PublicKey>,
    /// Counts the writes that change what a frontier says.
    pub(crate) ledger_revision: u64,
    /// Requests and responses between two roles of this very node, which no network carries.
    pub(crate) loopback: VecDeque<Loopback>,
    /// Whether the parameters of tasks hold, by record id: a record never changes, and looking is costly.
    sound: BTreeMap<RecordId, Result<(), String>>,
    /// How much each peer has asked lately.
    limiter: Limiter,
    next_id: u64,
}

/// Most tasks whose parameters are remembered as checked.
const SOUND_MAX: usize = 1_024;

/// A message of this node to itself.
#[derive(Debug)]
pub(crate) enum Loopback {
    Request { inbound: InboundId, data: Vec<u8> },
    Response { request: RequestId, data: Vec<u8> },
}

/// Set in the id of a request that this node sent to itself.
const TO_SELF: InboundId = 1 << 63;

impl Shared {
    pub(crate) fn new(keys: Keys, policy: Policy, rng: ChaCha20Rng) -> Self {
        Self {
            keys,
            policy,
            rng,
            outputs: VecDeque::new(),
            requests: BTreeMap::new(),
            jobs: BTreeMap::new(),
            connected: BTreeSet::new(),
            ledger_revision: 0,
            loopback: VecDeque::new(),
            sound: BTreeMap::new(),
            limiter: Limiter::new(),
            next_id: 0,
        }
    }
}

/// The hands of a machine.
pub(crate) struct Context<'a> {
    pub(crate) now: u64,
    pub(crate) view: Overlay<'a>,
    pub(crate) shared: &'a mut Shared,
    /// Records that took their place in the ledger during this input, for the other machines.
    pub(crate) fresh: VecDeque<Record>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    pub(crate) fn new(now: u64, store: &'a dyn Read, shared: &'a mut Shared) -> Self {
        Self {
            now,
            view: Overlay::new(store),
            shared,
            fresh: VecDeque::new(),
        }
    }

    /// Whether sensitivity, noise and promise of a task belong together, or why not.
    pub(crate) fn sound(&mut self, task: &TaskView) -> Result<(), String> {
        if let Some(known) = self.shared.sound.get(&task.id) {
            return known.clone();
        }
        if self.shared.sound.len() >= SOUND_MAX {
            self.shared.sound.clear();
        }
        let sound = params::check(&task.task)
            .map(|_| ())
            .map_err(|error| error.to_string());
        self.shared.sound.insert(task.id, sound.clone());
        sound
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    pub(crate) fn node_key(&self) -> PublicKey {
        self.shared.keys.node.public()
    }

    pub(crate) fn identity(&self) -> PublicKey {
        self.shared.keys.identity.public()
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.shared.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn next_id(&mut self) -> u64 {
        self.shared.next_id += 1;
        self.shared.next_id
    }

    fn push(&mut self, output: Output) {
        self.shared.outputs.push_back(output);
    }

    pub(crate) fn persist(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.view.apply(&batch);
            let in_frontier = |column| matches!(column, Column::Records | Column::Forks | Column::Addresses);
            if batch.writes().iter().any(|write| in_frontier(write.column)) {
                self.shared.ledger_revision += 1;
            }
            self.push(Output::Persist(batch));
        }
    }

    pub(crate) fn connected(&self, peer: &PublicKey) -> bool {
        self.shared.connected.contains(peer)
    }

    pub(crate) fn send(&mut self, peer: PublicKey, body: wire::rpc_request::Body, purpose: Purpose) {
        let request = self.next_id();
        self.shared.requests.insert(request, (peer, purpose));
        let data = wire::RpcRequest { body: Some(body) }.encode_to_vec();
        if peer == self.node_key() {
            let inbound = request | TO_SELF;
            self.shared
                .loopback
                .push_back(Loopback::Request { inbound, data });
        } else {
            self.push(Output::Send { peer, request, data });
        }
    }

    /// Dials a peer at the addresses it announced, unless it is connected. Returns whether it is.
    pub(crate) fn reach(&mut self, peer: &PublicKey) -> Result<bool, StoreError> {
        if self.connected(peer) || *peer == self.node_key() {
            return Ok(true);
        }
        if let Some(address) = addresses::of(&self.view, peer)? {
            for multiaddr in address.multiaddrs.into_iter().take(4) {
                self.push(Output::Dial { multiaddr });
            }
        }
        Ok(false)
    }

    pub(crate) fn respond(&mut self, inbound: InboundId, body: wire::rpc_response::Body) {
        let data = wire::RpcResponse { body: Some(body) }.encode_to_vec();
        if inbound & TO_SELF != 0 {
            let request = inbound & !TO_SELF;
            self.shared
                .loopback
                .push_back(Loopback::Response { request, data });
        } else {
            self.push(Output::Respond { inbound, data });
        }
    }

    pub(crate) fn refuse(&mut self, inbound: InboundId, code: rpc::RefusalCode, detail: impl Into<String>) {
        let refusal = wire::Refusal {
            code: code.number(),
            detail: detail.into(),
        };
        self.respond(inbound, wire::rpc_response::Body::Refusal(refusal));
    }

    pub(crate) fn broadcast(&mut self, topic: Topic, body: wire::announcement::Body) {
        let data = wire::Announcement { body: Some(body) }.encode_to_vec();
        self.push(Output::Broadcast { topic, data });
    }

    /// Counts a message of a peer, and says whether it is within the peer's limits.
    pub(crate) fn admits(&mut self, peer: PublicKey, traffic: Traffic) -> bool {
        if peer == self.node_key() {
            return true;
        }
        let (admission, score) = self.shared.limiter.admit(self.now, peer, traffic);
        if let Some(score) = score {
            self.push(Output::Score { peer, score });
        }
        admission == Admission::Admitted
    }

    pub(crate) fn verdict(&mut self, message: [u8; 32], verdict: Verdict) {
        self.push(Output::Verdict { message, verdict });
    }

    pub(crate) fn compute(&mut self, work: Job, purpose: Work) {
        let job = self.next_id();
        self.shared.jobs.insert(job, purpose);
        self.push(Output::Compute {
            job,
            work: Box::new(work),
        });
    }

    /// Whether a job of this purpose is out.
    pub(crate) fn working_on(&self, purpose: Work) -> bool {
        self.shared.jobs.values().any(|work| *work == purpose)
    }

    /// Whether a job is out that makes this node's share of a batch.
    pub(crate) fn working_on_share(&self, of: BatchId) -> bool {
        let about = |work: &Work| match work {
            Work::Add { batch, .. } | Work::Noise(batch) => *batch == of,
            _ => false,
        };
        self.shared.jobs.values().any(about)
    }

    pub(crate) fn reply(&mut self, id: CommandId, result: Result<Reply, CommandError>) {
        self.push(Output::Reply { id, result });
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(crate) fn timer(&mut self, at_ms: u64) {
        self.push(Output::Timer { at_ms });
    }

    /// Takes note of a record that was stored: tells watchers now and the other machines afterwards.
    pub(crate) fn stored(&mut self, record: Record) {
        let kind = record.header().kind.name().to_owned();
        self.event(Event::Record {
            id: record.id(),
            kind,
        });
        self.fresh.push_back(record);
    }
}
