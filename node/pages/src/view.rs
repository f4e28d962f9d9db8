//! What each page shows, as plain values. Times are milliseconds since 1970 in UTC, sizes are bytes.

use std::collections::BTreeMap;

use fieldmark_node_core::board::{Board, Cell, Trend};
use fieldmark_node_core::lifecycle::Stage;
use fieldmark_node_core::news::News;
use fieldmark_protocol::challenge::Slice;
use fieldmark_protocol::issue::Environment;
use fieldmark_protocol::release::Release;
use fieldmark_protocol::{PublicKey, RecordId};

/// What a node says of itself on each of its pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Site {
    /// Whether its models run without isolation, so that nobody should rely on what it reports.
    pub isolation_off: bool,
}

/// Who signed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The identity.
    pub identity: PublicKey,
    /// The name of its profile, which nobody vouches for.
    pub name: Option<String>,
}

/// The catalogue: releases that match a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CataloguePage {
    /// Text searched for, as typed; empty for all.
    pub text: String,
    /// Tag searched for; empty for all.
    pub tag: String,
    /// Releases to show, in order.
    pub releases: Vec<ReleaseSummary>,
    /// Releases that match, shown or not.
    pub total: u64,
}

/// One release in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSummary {
    /// The Release record.
    pub id: RecordId,
    /// Name of the model.
    pub name: String,
    /// Version of the release.
    pub version: String,
    /// Who published it.
    pub author: Author,
    /// Its licence, as the author states it.
    pub license: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it does, as the author states it.
    pub task: String,
    /// One paragraph of the author's.
    pub summary: String,
    /// Bytes of all artifacts.
    pub size_bytes: u64,
    /// When its record was signed.
    pub published_at_ms: u64,
    /// Whether its author withdrew it since.
    pub withdrawn: bool,
}

/// One release with its card.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPage {
    /// The Release record.
    pub id: RecordId,
    /// Who published it.
    pub author: Author,
    /// The manifest.
    pub release: Release,
    /// When its record was signed.
    pub published_at_ms: u64,
    /// Whether its author withdrew it since.
    pub withdrawn: bool,
    /// Whether every artifact is on this node.
    pub held: bool,
    /// The package's card in Markdown, if this node has it; cut after [`crate::CARD_BYTES_MAX`].
    pub card: Option<String>,
    /// The model's other releases, newest first.
    pub versions: Vec<Version>,
    /// Challenges it is entered in.
    pub placements: Vec<Placement>,
    /// Issues on the model, on this release and its others.
    pub issues: IssueList,
}

/// A model's news as a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage<'a> {
    /// Who owns the model.
    pub owner: Author,
    /// Name of the model.
    pub model: String,
    /// The release whose page the feed belongs to.
    pub release: RecordId,
    /// When that was published.
    pub published_at_ms: u64,
    /// `http://host:port` of the pages, if known; links are relative to it.
    pub base: Option<String>,
    /// Oldest first.
    pub items: &'a [News],
}

/// The issues of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueList {
    /// What `fieldmark issue open` calls the model.
    pub reference: String,
    /// Issues to show, in order.
    pub issues: Vec<IssueEntry>,
    /// What is left out of a flood, by author.
    pub hidden: Vec<Hidden>,
}

/// One issue in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueEntry {
    /// The Issue record.
    pub id: RecordId,
    /// Who reported it.
    pub author: Author,
    /// One line.
    pub title: String,
    /// Version of the release it is about.
    pub version: String,
    /// Slice it was seen on.
    pub slice: Option<String>,
    /// The author's clock.
    pub created_at_ms: u64,
    /// Whether it is open.
    pub open: bool,
}

/// What one author has beyond what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Whose.
    pub author: Author,
    /// How many.
    pub count: usize,
}

/// One issue with its comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuePage {
    /// The issue.
    pub issue: IssueEntry,
    /// `name@version` of its release.
    pub reference: String,
    /// The Release record.
    pub release: RecordId,
    /// Markdown.
    pub body: String,
    /// What it was seen on.
    pub environment: Option<Environment>,
    /// The close or reopen in force.
    pub change: Option<ChangeEntry>,
    /// Oldest first.
    pub comments: Vec<CommentEntry>,
    /// What is left out of a flood, by author.
    pub hidden: Vec<Hidden>,
}

/// Who closed or reopened an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEntry {
    /// Who.
    pub by: Author,
    /// Their clock.
    pub at_ms: u64,
}

/// One comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentEntry {
    /// Who wrote it.
    pub author: Author,
    /// Markdown.
    pub body: String,
    /// The author's clock.
    pub created_at_ms: u64,
    /// Set when it closed (`false`) or reopened (`true`) the issue.
    pub opens: Option<bool>,
}

/// Another release of the same model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The Release record.
    pub id: RecordId,
    /// Its version.
    pub version: String,
    /// Whether its author withdrew it since.
    pub withdrawn: bool,
}

/// How a release did in a challenge.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The Challenge record.
    pub challenge: RecordId,
    /// Name of the challenge.
    pub name: String,
    /// Phase of its batch, as [`fieldmark_node_core::io::phase_name`] gives it.
    pub phase: String,
    /// Best and worst rank it could have, once released.
    pub rank: Option<[u16; 2]>,
    /// Models in the challenge.
    pub models: u64,
    /// Its field score, once released.
    pub field: Option<Cell>,
}

/// All challenges a node knows.
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengesPage {
    /// The challenges, in order.
    pub challenges: Vec<ChallengeSummary>,
}

/// One challenge in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeSummary {
    /// The Challenge record.
    pub id: RecordId,
    /// Its name.
    pub name: String,
    /// The scenario, for people.
    pub scenario: String,
    /// Where it stands in its life.
    pub stage: Stage,
    /// Phase of its batch, as [`fieldmark_node_core::io::phase_name`] gives it.
    pub phase: String,
    /// Models entered.
    pub models: u64,
    /// Slices measured.
    pub slices: u64,
    /// Reports received or accepted so far.
    pub reports: u64,
    /// Fewest reports that are released.
    pub min_batch: u32,
    /// ε per source record.
    pub epsilon: f64,
    /// Reports are taken from here.
    pub opens_at_ms: u64,
    /// Until here.
    pub closes_at_ms: u64,
    /// `name@version` of the highest field score, once released.
    pub leader: Option<String>,
}

/// How fast one node found a release on its public sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeedView {
    /// Half of the requests took at most this long, in milliseconds.
    pub p50_ms: f64,
    /// 95% of them.
    pub p95_ms: f64,
    /// 99% of them.
    pub p99_ms: f64,
    /// The most memory that the runner held, in bytes.
    pub memory_bytes: u64,
    /// Energy of the machine's processors by request, in joules; absent where it cannot be read.
    pub energy_joules: Option<f64>,
}

/// One challenge with its leaderboard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChallengePage<'a> {
    /// The leaderboard, whatever its phase.
    pub board: &'a Board,
    /// Where it stands in its life.
    pub stage: Stage,
    /// Its windows in a row; shown where there are several.
    pub trend: Option<&'a Trend>,
    /// What this node timed of its models.
    pub speeds: &'a BTreeMap<RecordId, SpeedView>,
    /// The slices with words for people.
    pub slices: &'a [Slice],
    /// Who signed the challenge.
    pub operator: Option<&'a Author>,
    /// Reports are taken from here (the leader's clock).
    pub opens_at_ms: u64,
    /// Until here.
    pub closes_at_ms: u64,
    /// The window ends early with this many reports; 0: only by time.
    pub reports_expected: u32,
    /// Reports received so far, where this node knows.
    pub reports: Option<u64>,
}

/// What a node tells the public about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPage {
    /// The node's name.
    pub node: String,
    /// The network it belongs to.
    pub network: String,
    /// Version of the program.
    pub version: String,
    /// Who answers for it.
    pub identity: PublicKey,
    /// The node's own key.
    pub node_key: PublicKey,
    /// Its roles: `aggregator`, `contributor`, `provider`, …
    pub roles: Vec<String>,
    /// Peers connected.
    pub peers: u64,
    /// Logs held.
    pub logs: u64,
    /// Records held.
    pub records: u64,
    /// Logs that ended in a fork.
    pub forks: u64,
    /// Releases known.
    pub releases: u64,
    /// Challenges known.
    pub challenges: u64,
}
