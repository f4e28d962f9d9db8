//! Tasks and challenges that count.

use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{Kind, PublicKey, RecordId};

use crate::catalogue::ResolveError;
use crate::catalogue::resolve::{Candidate, by_prefix, only};
use crate::effect::Effects;
use crate::identity;
use crate::index::{self, Index};
use crate::payload::Body;

/// A task with who stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// The Task record.
    pub id: RecordId,
    /// The operator.
    pub author: PublicKey,
    /// The operator's name, if it published one.
    pub author_name: Option<String>,
    /// The key that signed it.
    pub log: PublicKey,
    /// The task.
    pub task: Task,
    /// The author's clock.
    pub created_at_ms: u64,
    /// It counts only because its committee built on it before its author equivocated.
    pub author_equivocated: bool,
}

impl TaskView {
    /// The batch of this task.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        BatchId {
            task: self.id,
            window: self.task.window,
        }
    }
}

/// A challenge with who stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeView {
    /// The Challenge record.
    pub id: RecordId,
    /// The operator.
    pub author: PublicKey,
    /// The operator's name, if it published one.
    pub author_name: Option<String>,
    /// The key that signed it.
    pub log: PublicKey,
    /// The challenge.
    pub challenge: Challenge,
    /// The author's clock.
    pub created_at_ms: u64,
    /// It counts only because its task's committee built on that task before the author equivocated.
    pub author_equivocated: bool,
}

/// The task with this record id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn task(store: &dyn Read, id: &RecordId) -> Result<Option<TaskView>, StoreError> {
    task_view(&Effects::new(store), id)
}

/// Every task, newest first by its author's clock.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn tasks(store: &dyn Read) -> Result<Vec<TaskView>, StoreError> {
    let effects = Effects::new(store);
    let mut found = Vec::new();
    for hit in index::all(store, Index::TasksByTime, &[])? {
        found.extend(task_view(&effects, &hit.id()?)?);
    }
    Ok(found)
}

/// Tasks that measure a release, whether they count or not, by id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn tasks_of(store: &dyn Read, release: &RecordId) -> Result<Vec<RecordId>, StoreError> {
    let hits = index::all(store, Index::Uses, &[release.as_bytes()])?;
    hits.iter().map(index::Hit::id).collect()
}

pub(crate) fn task_view(effects: &Effects<'_>, id: &RecordId) -> Result<Option<TaskView>, StoreError> {
    let Some((record, effect)) = effects.held(id)? else {
        return Ok(None);
    };
    let Some(Body::Task(task)) = Body::of(&record).filter(|_| effect.counts()) else {
        return Ok(None);
    };
    let header = record.header();
    Ok(Some(TaskView {
        id: *id,
        author: header.author,
        author_name: identity::name(effects.store(), &header.author)?,
        log: header.log,
        task: *task,
        created_at_ms: header.created_at_ms,
        author_equivocated: effect.author_equivocated(),
    }))
}

/// The challenge with this record id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn challenge(store: &dyn Read, id: &RecordId) -> Result<Option<ChallengeView>, StoreError> {
    challenge_view(&Effects::new(store), id)
}

/// Every challenge, newest first by its author's clock.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn challenges(store: &dyn Read) -> Result<Vec<ChallengeView>, StoreError> {
    challenge_views(store, Index::ChallengesByTime, &[])
}

/// Challenges that a task measures, by id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn challenges_of(store: &dyn Read, task: &RecordId) -> Result<Vec<ChallengeView>, StoreError> {
    challenge_views(store, Index::ChallengesByTask, &[task.as_bytes()])
}

fn challenge_views(
    store: &dyn Read,
    index: Index,
    parts: &[&[u8]],
) -> Result<Vec<ChallengeView>, StoreError> {
    let effects = Effects::new(store);
    let mut found = Vec::new();
    for hit in index::all(store, index, parts)? {
        found.extend(challenge_view(&effects, &hit.id()?)?);
    }
    Ok(found)
}

pub(crate) fn challenge_view(
    effects: &Effects<'_>,
    id: &RecordId,
) -> Result<Option<ChallengeView>, StoreError> {
    let Some((record, effect)) = effects.held(id)? else {
        return Ok(None);
    };
    let Some(Body::Challenge(challenge)) = Body::of(&record).filter(|_| effect.counts()) else {
        return Ok(None);
    };
    let header = record.header();
    Ok(Some(ChallengeView {
        id: *id,
        author: header.author,
        author_name: identity::name(effects.store(), &header.author)?,
        log: header.log,
        challenge: *challenge,
        created_at_ms: header.created_at_ms,
        author_equivocated: effect.author_equivocated(),
    }))
}

/// The challenge that `text` means: its name, or the start of its id.
///
/// # Errors
/// [`ResolveError`] when nothing fits, or several do.
pub fn resolve_challenge(store: &dyn Read, text: &str) -> Result<RecordId, ResolveError> {
    let text = text.trim();
    let mut found = challenge_views(store, Index::ChallengesByName, &[text.as_bytes(), &[0]])?;
    for id in by_prefix(store, Kind::Challenge, text)? {
        found.extend(challenge(store, &id)?);
    }
    let candidate = |view: &ChallengeView| Candidate {
        id: view.id,
        label: format!("{}/{}", view.author.short(), view.challenge.name),
    };
    only("challenge", text, found.iter().map(candidate).collect())
}
