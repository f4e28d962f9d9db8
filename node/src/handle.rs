//! What the HTTP layer and the command line hold of a running node: commands in, views and events out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fieldmark_blobs::BlobStore;
use fieldmark_ledger::{frontier, log};
use fieldmark_ledger_rocks::RocksReader;
use fieldmark_node_core::board::TrendCache;
use fieldmark_node_core::io::{Command, CommandError, CommandId, Event, Input, Reply};
use fieldmark_protocol::{PublicKey, RecordId};
use fieldmark_supervisor::{RunnerStatus, Tensor};
use serde::Serialize;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use crate::home::Home;
use crate::runners::{Drifted, Inferred, Runners};
use crate::speed::Speeds;
use crate::webhook::Authorities;

/// Events kept for a watcher that is slow; older ones are dropped for it.
pub const EVENTS_MAX: usize = 1024;

type Waiting = BTreeMap<CommandId, oneshot::Sender<Result<Reply, CommandError>>>;

/// Where a node is reached, once it is up.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Always `ready`.
    pub event: &'static str,
    /// The identity.
    pub identity: PublicKey,
    /// The node key.
    pub node_key: PublicKey,
    /// The private API.
    pub api: SocketAddr,
    /// The public pages, if they are on.
    pub pages: Option<SocketAddr>,
    /// The blob plane.
    pub blobs: SocketAddr,
    /// libp2p addresses.
    pub multiaddrs: Vec<String>,
}

/// A node's state for people and programs.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Where it is reached.
    #[serde(flatten)]
    pub ready: Ready,
    /// Its published name.
    pub name: String,
    /// Node keys of the peers it is connected to.
    pub peers: Vec<PublicKey>,
    /// Logs it holds.
    pub logs: usize,
    /// Records it holds.
    pub records: u64,
    /// Logs that forked.
    pub forks: usize,
    /// Bytes of blobs fetched from others since it started.
    pub blob_bytes_fetched: u64,
    /// Bytes sent to peers in requests, responses and gossip since it started, before encryption.
    pub message_bytes_sent: u64,
    /// Bytes of blobs it stores.
    pub blob_bytes_stored: u64,
    /// Resident memory of the node process, in bytes.
    pub memory_bytes: u64,
    /// Its runners.
    pub runners: Vec<RunnerView>,
    /// Releases that were asked and came with a reference.
    pub drift: Vec<Drifted>,
}

/// A runner for people and programs.
#[derive(Debug, Clone, Serialize)]
pub struct RunnerView {
    /// The release it serves.
    pub name: String,
    /// What it is doing.
    pub state: String,
    /// Isolation layers in force.
    pub layers: Vec<String>,
    /// Times it was restarted.
    pub restarts: u64,
    /// Memory it uses, in bytes.
    pub memory_bytes: u64,
    /// Most memory it may use, in bytes.
    pub memory_bytes_max: u64,
    /// Most seconds of CPU time of one process.
    pub cpu_seconds_max: u64,
    /// Threads within one operation.
    pub threads: u32,
    /// Where it computes.
    pub device: String,
    /// Longest time for one request, in milliseconds.
    pub request_timeout_ms: u64,
    /// The latest failure of a process.
    pub last_failure: Option<String>,
}

impl From<RunnerStatus> for RunnerView {
    fn from(status: RunnerStatus) -> Self {
        Self {
            name: status.name,
            state: format!("{:?}", status.state).to_lowercase(),
            layers: status.layers,
            restarts: status.restarts,
            memory_bytes: status.memory_bytes,
            memory_bytes_max: status.limits.memory_bytes_max,
            cpu_seconds_max: status.limits.cpu_seconds_max,
            threads: status.threads,
            device: status.device,
            request_timeout_ms: u64::try_from(status.limits.request_timeout.as_millis()).unwrap_or(u64::MAX),
            last_failure: status.last_failure,
        }
    }
}

/// Counters that the shells keep.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) blob_bytes_fetched: AtomicU64,
    pub(crate) message_bytes_sent: AtomicU64,
    pub(crate) peers: Mutex<std::collections::BTreeSet<PublicKey>>,
}

/// A running node.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    /// What is committed in the ledger and beside it.
    pub store: RocksReader,
    /// The artifacts.
    pub blobs: BlobStore,
    /// The data folder.
    pub home: Arc<Home>,
    /// The runners.
    pub runners: Arc<Runners>,
    /// Whose certificates webhooks may show.
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) ready: Arc<Mutex<Option<Ready>>>,
    pub(crate) stop: Arc<Notify>,
    /// How fast releases were here when they were last timed.
    pub(crate) speeds: Arc<Speeds>,
    /// Trends as far as they were folded in for readers before.
    pub(crate) trends: Arc<Mutex<TrendCache>>,
    waiting: Arc<Mutex<Waiting>>,
    next: Arc<AtomicU64>,
}

/// What a handle is made of.
pub(crate) struct Parts {
    pub(crate) store: RocksReader,
    pub(crate) blobs: BlobStore,
    pub(crate) home: Arc<Home>,
    pub(crate) runners: Arc<Runners>,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) inputs: mpsc::Sender<Input>,
}

impl NodeHandle {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            blobs: parts.blobs,
            home: parts.home,
            runners: parts.runners,
            authorities: parts.authorities,
            counters: Arc::default(),
            inputs: parts.inputs,
            events: broadcast::Sender::new(EVENTS_MAX),
            ready: Arc::default(),
            stop: Arc::default(),
            speeds: Arc::default(),
            trends: Arc::default(),
            waiting: Arc::default(),
            next: Arc::default(),
        }
    }

    /// Asks the machines for something and waits for the reply.
    ///
    /// # Errors
    /// What the machines say, or `stopping` when the node ends first.
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, reply);
        let stopping = || CommandError::new("stopping", "the node is stopping");
        let input = Input::Command {
            id,
            command: Box::new(command),
        };
        self.inputs.send(input).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Tells the machines whom the owner trusts now.
    ///
    /// # Errors
    /// `invalid` when the trust policy's file cannot be read, `stopping` when the node ends first.
    pub async fn refresh_trust(&self) -> Result<(), CommandError> {
        let trust = self
            .home
            .trust_now()
            .map_err(|e| CommandError::new("invalid", e.to_string()))?;
        self.command(Command::Trust(trust)).await.map(|_| ())
    }

    pub(crate) fn reply(&self, id: CommandId, result: Result<Reply, CommandError>) {
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        if let Some(waiting) = waiting {
            // A caller that left does not want to know.
            let _ = waiting.send(result);
        }
    }

    /// Forgets every caller that waits; they are told that the node is stopping.
    pub(crate) fn drop_waiting(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The node's events from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The node's state; `None` until it is up.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let ready = self
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let heads = frontier::heads(&self.store).unwrap_or_default();
        let usage = self.blobs.usage();
        let peers = self.counters.peers.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Status {
            ready,
            name: self.home.config.name.clone(),
            peers: peers.iter().copied().collect(),
            logs: heads.len(),
            records: heads.iter().map(|h| h.next).sum(),
            forks: log::forks(&self.store).map_or(0, |f| f.len()),
            blob_bytes_fetched: self.counters.blob_bytes_fetched.load(Ordering::Relaxed),
            message_bytes_sent: self.counters.message_bytes_sent.load(Ordering::Relaxed),
            blob_bytes_stored: usage.bytes,
            memory_bytes: resident_bytes(),
            runners: self.runners.status().into_iter().map(RunnerView::from).collect(),
            drift: self.runners.drift(),
        })
    }

    /// Runs a release on one request.
    ///
    /// # Errors
    /// `not-found` when its artifacts are not here, or the runner's one clear error.
    pub async fn infer(&self, release: RecordId, inputs: Vec<Tensor>) -> Result<Inferred, CommandError> {
        self.runners.infer(release, inputs).await
    }

    /// Asks the node to end in an orderly way.
    pub fn shutdown(&self) {
        self.stop.notify_waiters();
        self.stop.notify_one();
    }
}

/// Resident memory of this process, in bytes; 0 where the kernel does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
