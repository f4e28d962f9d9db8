//! What goes into a node's machines and what comes out: the whole contract with the shells.
//!
//! Shells translate between these and libp2p, quinn, RocksDB and runners, and decide nothing.

use fieldmark_fl::budget::RecordSketch;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::endorsement::Endorsement;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::issue::Issue;
use fieldmark_protocol::machine::{Batch, Topic};
use fieldmark_protocol::release::Release;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, RecordId, ServedId};
use serde::{Deserialize, Serialize};

use crate::compute::{Job, JobResult};
use crate::served::prediction::{Answer, Prediction};
use crate::subscriptions::subscription::Channel;

mod event;

pub use event::{Event, phase_name};

/// Names a request this node sent, until its response.
pub type RequestId = u64;
/// Names a request a peer sent, until it is answered.
pub type InboundId = u64;
/// Names work handed to a shell, until its result.
pub type JobId = u64;
/// Names a command of the local user, until its reply.
pub type CommandId = u64;

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// The node started (again): resume what the store says was under way.
    Start,
    /// Where this node is reached.
    Listening {
        /// libp2p multiaddresses.
        multiaddrs: Vec<String>,
        /// Socket address of the blob plane.
        blobs: Option<String>,
    },
    /// A peer is connected.
    Connected {
        /// Its node key.
        peer: PublicKey,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// Its node key.
        peer: PublicKey,
    },
    /// A gossip message, to be judged with [`Output::Verdict`].
    Gossip {
        /// The message's id.
        message: [u8; 32],
        /// Where it came on.
        topic: Topic,
        /// Who passed it on.
        from: PublicKey,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A request, to be answered with [`Output::Respond`].
    Request {
        /// Who asks.
        peer: PublicKey,
        /// To answer it by.
        inbound: InboundId,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// The response to an [`Output::Send`], or why there is none.
    Response {
        /// The request.
        request: RequestId,
        /// The bytes, or what failed.
        result: Result<Vec<u8>, String>,
    },
    /// Work is done.
    Done {
        /// The job.
        job: JobId,
        /// Its result.
        result: JobResult,
    },
    /// The time of the last [`Output::Timer`] has come.
    Timer,
    /// The local user wants something.
    Command {
        /// To reply by.
        id: CommandId,
        /// What.
        command: Box<Command>,
    },
}

/// Something to be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write this before anything that follows leaves.
    Persist(Batch),
    /// Ask a peer; its response comes back as [`Input::Response`].
    Send {
        /// Whom.
        peer: PublicKey,
        /// To tell the response by.
        request: RequestId,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Answer a peer.
    Respond {
        /// The request.
        inbound: InboundId,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Tell everyone.
    Broadcast {
        /// On which topic.
        topic: Topic,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Judge a gossip message.
    Verdict {
        /// The message.
        message: [u8; 32],
        /// Whether it is passed on, and whether its sender is to blame.
        verdict: Verdict,
    },
    /// Change the score that this node gives a peer: 0 for one that floods nobody, less for one that does.
    Score {
        /// Whose.
        peer: PublicKey,
        /// Its new value.
        score: i32,
    },
    /// Connect to a node.
    Dial {
        /// A libp2p multiaddress.
        multiaddr: String,
    },
    /// Do work.
    Compute {
        /// To tell the result by.
        job: JobId,
        /// What.
        work: Box<Job>,
    },
    /// Call again at this time; replaces the call asked for before.
    Timer {
        /// Milliseconds since 1970.
        at_ms: u64,
    },
    /// Answer the local user.
    Reply {
        /// The command.
        id: CommandId,
        /// What came of it.
        result: Result<Reply, CommandError>,
    },
    /// Tell whoever watches the node.
    Event(Event),
}

/// What becomes of a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Accept,
    /// Do not pass it on; nobody is to blame.
    Ignore,
    /// Do not pass it on; its sender should have known better.
    Reject,
}

/// What the local user can ask of a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Sign and announce a release whose artifacts are in this node's blob store.
    Publish(Release),
    /// Sign and announce a task and the challenge it measures (the challenge's `task` is filled in).
    CreateChallenge {
        /// The task.
        task: Task,
        /// The challenge.
        challenge: Challenge,
    },
    /// End a batch without a release, before any share is public.
    Abort {
        /// The batch.
        batch: BatchId,
        /// Why, for people.
        detail: String,
    },
    /// Tell the node of a dataset, or of a new version of one.
    AddDataset {
        /// The dataset.
        dataset: Dataset,
        /// A sketch of its records, by which copies are found.
        sketch: RecordSketch,
        /// The privacy filter of a new source; a known source keeps its own.
        budget: SourceBudget,
    },
    /// Set the organisation's own budget over all data sources.
    LimitBudget {
        /// ε of its promise.
        epsilon: f64,
        /// δ of its promise.
        delta: f64,
        /// Whether it may be above the one before.
        raise: bool,
    },
    /// Take part in a task with a dataset.
    Join {
        /// The Task record.
        task: RecordId,
        /// Name of the dataset.
        dataset: String,
    },
    /// Sign and announce an issue on a release.
    OpenIssue(Issue),
    /// Sign and announce a comment on an issue.
    Comment {
        /// The Issue record.
        issue: RecordId,
        /// Markdown; may be empty when the state changes.
        body: String,
        /// Also reopen (`true`) or close (`false`) the issue.
        opens: Option<bool>,
    },
    /// Sign and announce a word on another identity.
    Endorse(Endorsement),
    /// Subscribe to the model of a release; the same wish twice is one subscription.
    Subscribe {
        /// Any release of the model.
        release: RecordId,
        /// Where its news goes.
        channel: Channel,
        /// Whether what happened before is news, too.
        history: bool,
    },
    /// End a subscription and forget what it was told.
    Unsubscribe {
        /// Which.
        subscription: ContentHash,
    },
    /// A reader has these items of news.
    ConfirmNews {
        /// Of which subscription.
        subscription: ContentHash,
        /// Their ids.
        items: Vec<ContentHash>,
    },
    /// Keep what a release answered.
    Serve {
        /// The Release record.
        release: RecordId,
        /// Its answers.
        answers: Vec<Answer>,
    },
    /// Report the real use of a feedback window's release in this window's series, from the next one on.
    Enrol {
        /// The Task record of any window of the series.
        task: RecordId,
        /// The budget for what the release serves.
        budget: SourceBudget,
    },
    /// The truth about a served prediction.
    Label {
        /// Which one.
        request_id: ServedId,
        /// A label of its release.
        label: String,
        /// Whether it was given in the least-certain-first order.
        local: bool,
    },
    /// Forget what was served before this time.
    Forget {
        /// Milliseconds since 1970.
        before_ms: u64,
    },
    /// The owner changed whom it trusts.
    Trust(TrustPolicy),
    /// Fetch a release's artifacts.
    Pull {
        /// The Release record.
        release: RecordId,
    },
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// These records were signed.
    Recorded(Vec<RecordId>),
    /// The dataset is known.
    DatasetAdded {
        /// Whether its source was known before, so that its budget goes on.
        known_source: bool,
    },
    /// The organisation's budget is set.
    Limited,
    /// The subscription stands.
    Subscribed {
        /// Its id.
        subscription: ContentHash,
        /// Whether it stood before.
        known: bool,
    },
    /// Predictions were kept under these ids; none when the owner keeps none.
    Served(Vec<ServedId>),
    /// The prediction as it is kept now.
    Labelled(Box<Prediction>),
    /// This many predictions were forgotten.
    Forgotten(u64),
    /// The node takes part.
    Joined,
    /// Every artifact is here.
    Pulled {
        /// Bytes of the release.
        bytes: u64,
    },
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// A stable word for programs: `not-found`, `refused`, `budget`, `invalid`, `conflict`.
    pub code: &'static str,
    /// What, where, why, and what to do.
    pub message: String,
}

impl CommandError {
    /// An error with its stable word.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The promise of a data source's budget. It is fixed when the source is made; what is stated for a source that is
/// known must be what it has.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SourceBudget {
    /// ε, above 0 and at most 100; `None` for [`EPSILON_DEFAULT`](crate::budgets::EPSILON_DEFAULT).
    pub epsilon: Option<f64>,
    /// δ, above 0 and below 1; `None` for [`DELTA_DEFAULT`](crate::budgets::DELTA_DEFAULT).
    pub delta: Option<f64>,
    /// The Rényi order that losses are added up at, above 1 and at most 10⁶; `None` for zCDP, which holds at
    /// every order.
    pub order: Option<f64>,
}

/// A dataset as the node knows it. The data stays where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// The data source, which a new version shares with the old one: it owns the budget.
    pub source: String,
    /// BLAKE3 of the content, in hex.
    pub version: String,
    /// Where the file is.
    pub path: String,
    /// Source records.
    pub records: u64,
    /// Rows (views of records).
    pub rows: u64,
    /// Slices found, sorted.
    pub slices: Vec<String>,
    /// Features per row.
    pub features: u64,
    /// Label values found, sorted; none when the target is a number.
    pub labels: Vec<String>,
    /// Records with a view in each of the slices, in their order; empty in notes of old: all.
    #[serde(default)]
    pub slice_records: Vec<u64>,
    /// What a label is: `class`, `value` or `preference`; empty in notes of old: `class`.
    #[serde(default)]
    pub target: String,
    /// Groups for fairness statistics, sorted.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Attributes of its records; absent in notes of old.
    #[serde(default)]
    pub attributes: Option<Vec<String>>,
    /// How the file is read, in the reader's own words (JSON); not interpreted by the machines.
    #[serde(default)]
    pub reading: String,
}
