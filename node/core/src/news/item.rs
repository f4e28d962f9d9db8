//! One piece of news, and its name.

use fieldmark_ledger::catalogue::Model;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::{PublicKey, RecordId};
use serde::{Deserialize, Serialize};

/// What sort of item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NewsKind {
    /// A release was published.
    Release,
    /// A release was withdrawn.
    Withdrawal,
    /// An issue was opened.
    Issue,
    /// Somebody commented on an issue.
    Comment,
    /// An issue was closed.
    IssueClosed,
    /// An issue was opened again.
    IssueReopened,
    /// A challenge in which a release stands was released.
    Aggregate,
    /// A release is significantly worse than the one before it.
    Regression,
    /// What a release meets in the field differs from its reference.
    Drift,
}

impl NewsKind {
    /// Its name in output and in hashes, which never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Withdrawal => "withdrawal",
            Self::Issue => "issue",
            Self::Comment => "comment",
            Self::IssueClosed => "issue-closed",
            Self::IssueReopened => "issue-reopened",
            Self::Aggregate => "aggregate",
            Self::Regression => "regression",
            Self::Drift => "drift",
        }
    }
}

/// One thing that happened to a model. Its JSON is what watchers, webhooks and `--json` carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Names this item on every node.
    pub id: ContentHash,
    /// What sort.
    pub kind: NewsKind,
    /// Name of the model.
    pub model: String,
    /// Its owner.
    pub owner: PublicKey,
    /// The release it is about.
    pub release: RecordId,
    /// That release's version.
    pub version: String,
    /// When, by the authors' clocks, in milliseconds since 1970.
    pub at_ms: u64,
    /// One line.
    pub title: String,
    /// More for people; may be empty.
    pub detail: String,
    /// Where the public pages show it.
    pub path: String,
    /// Records it follows from.
    pub records: Vec<RecordId>,
}

/// The id of an item: BLAKE3 of its kind, the model and what it is about, each led by its length.
#[must_use]
pub fn news_id(kind: NewsKind, model: &Model, about: &[&[u8]]) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"fieldmark/v1/news\0");
    let head: [&[u8]; 3] = [
        kind.name().as_bytes(),
        model.owner.as_bytes(),
        model.name.as_bytes(),
    ];
    for part in head.iter().chain(about) {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    ContentHash::new(*hasher.finalize().as_bytes())
}
