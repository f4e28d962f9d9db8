//! Issues on models, with their comments and whether they are open: a pure function of the records held.
//!
//! **Which model.** An issue names a release; the model is that release's author and name. An issue whose
//! release is not held, or does not count, is not shown.
//!
//! **State.** An issue is open until it is closed. Its own author and the model's owner may close and
//! reopen it; a comment of anybody else that says so changes nothing and is shown as words. A change of
//! state names the change that its author saw in force. The state is what the change at the end of the
//! longest such chain says; of several as long, the latest by its author's clock, then by id. A chain and
//! not the clock decides, so that nobody can date a change into the future to have the last word. A change
//! counts once every change it builds on is held.
//!
//! **Floods.** Of one identity's issues on one model, and of its comments on one issue, the newest
//! [`ISSUES_SHOWN_PER_AUTHOR`] and [`COMMENTS_SHOWN_PER_AUTHOR`] are read and shown; the rest is counted
//! per author ([`Collapsed`]), so that a flood costs its author's own words their place and nobody else's.

mod state;

use std::collections::BTreeMap;

use fieldmark_protocol::issue::{Comment, Environment, Issue};
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::{Kind, PublicKey, RecordId};

use crate::catalogue::resolve::{Candidate, ResolveError, by_prefix, only};
use crate::catalogue::{self, Model, ReleaseView};
use crate::effect::Effects;
use crate::identity;
use crate::index::{self, Hit, Index};
use crate::payload::Body;

pub use state::{Change, State};

/// Issues of one identity on one model that are shown; older ones are collapsed.
pub const ISSUES_SHOWN_PER_AUTHOR: usize = 20;
/// Comments of one identity on one issue that are shown; older ones are collapsed.
pub const COMMENTS_SHOWN_PER_AUTHOR: usize = 50;
/// Identities whose issues on one release, or comments on one issue, are read, in the order of their keys.
pub const AUTHORS_READ_MAX: usize = 1_000;
/// Index entries of one author that are counted as collapsed; more are not counted.
pub const COLLAPSED_COUNTED_MAX: usize = 10_000;

/// An issue as its model's page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueView {
    /// The Issue record.
    pub id: RecordId,
    /// Who reported it.
    pub author: PublicKey,
    /// The reporter's name, if it published one.
    pub author_name: Option<String>,
    /// The model.
    pub model: Model,
    /// The release it is about.
    pub release: RecordId,
    /// That release's version.
    pub version: String,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// The slice it was seen on.
    pub slice: Option<String>,
    /// What it was seen on.
    pub environment: Option<Environment>,
    /// The author's clock.
    pub created_at_ms: u64,
    /// Open or closed, and since when.
    pub state: State,
}

/// What one author has beyond what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collapsed {
    /// Whose.
    pub author: PublicKey,
    /// The author's name, if it published one.
    pub author_name: Option<String>,
    /// How many, up to [`COLLAPSED_COUNTED_MAX`] per release or issue.
    pub count: usize,
}

/// The issues of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issues {
    /// Open ones first, newest first by their authors' clocks.
    pub issues: Vec<IssueView>,
    /// What is left out, by author.
    pub collapsed: Vec<Collapsed>,
}

/// A comment on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentView {
    /// The Comment record.
    pub id: RecordId,
    /// Who wrote it.
    pub author: PublicKey,
    /// The author's name, if it published one.
    pub author_name: Option<String>,
    /// Markdown.
    pub body: String,
    /// The author's clock.
    pub created_at_ms: u64,
    /// Set when it closed (`false`) or reopened (`true`) the issue and its author may; others' tries are
    /// words.
    pub opens: Option<bool>,
}

/// An issue with its comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The issue.
    pub issue: IssueView,
    /// Oldest first by their authors' clocks.
    pub comments: Vec<CommentView>,
    /// What is left out, by author.
    pub collapsed: Vec<Collapsed>,
}

/// The issues of a model on all of its releases.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn issues(store: &dyn Read, model: &Model) -> Result<Issues, StoreError> {
    let effects = Effects::new(store);
    let (mut by_author, mut rest) = (BTreeMap::<_, Vec<IssueView>>::new(), BTreeMap::new());
    for release in catalogue::of_model(store, model)? {
        let groups = groups(&effects, Index::Issues, &release.id, ISSUES_SHOWN_PER_AUTHOR)?;
        for (author, group) in groups {
            *rest.entry(author).or_insert(0) += group.more;
            let shown = by_author.entry(author).or_default();
            for id in group.newest {
                shown.extend(issue_of(&effects, &id, &release)?);
            }
        }
    }
    let mut found = Issues::default();
    for (author, mut shown) in by_author {
        shown.sort_by(newest_first);
        let over = shown.len().saturating_sub(ISSUES_SHOWN_PER_AUTHOR);
        shown.truncate(ISSUES_SHOWN_PER_AUTHOR);
        found.issues.extend(shown);
        let count = rest.get(&author).copied().unwrap_or(0) + over;
        found.collapsed.extend(collapsed(store, author, count)?);
    }
    let open_first = |a: &IssueView, b: &IssueView| b.state.open.cmp(&a.state.open).then(newest_first(a, b));
    found.issues.sort_by(open_first);
    Ok(found)
}

/// One issue with its comments; `None` when it is not held, does not count, or its release does not.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn thread(store: &dyn Read, id: &RecordId) -> Result<Option<Thread>, StoreError> {
    let effects = Effects::new(store);
    let Some((issue, release)) = held(&effects, id)? else {
        return Ok(None);
    };
    let Some(issue) = view(&effects, id, issue, &release)? else {
        return Ok(None);
    };
    let may = [issue.author, release.author];
    let (mut comments, mut rest) = (Vec::new(), Vec::new());
    for (author, group) in groups(&effects, Index::Comments, id, COMMENTS_SHOWN_PER_AUTHOR)? {
        rest.extend(collapsed(store, author, group.more)?);
        for id in group.newest {
            comments.extend(comment(&effects, &id, may)?);
        }
    }
    comments.sort_by_key(|comment| (comment.created_at_ms, comment.id));
    Ok(Some(Thread {
        issue,
        comments,
        collapsed: rest,
    }))
}

/// The issue that `text` means: the start of its id.
///
/// # Errors
/// [`ResolveError`] when nothing fits, or several do.
pub fn resolve(store: &dyn Read, text: &str) -> Result<RecordId, ResolveError> {
    let text = text.trim();
    let effects = Effects::new(store);
    let mut candidates = Vec::new();
    for id in by_prefix(store, Kind::Issue, text)? {
        let Some((issue, release)) = held(&effects, &id)? else {
            continue;
        };
        candidates.push(Candidate {
            id,
            label: format!("{}: {}", release.release.name, issue.title),
        });
    }
    only("issue", text, candidates)
}

fn newest_first(a: &IssueView, b: &IssueView) -> std::cmp::Ordering {
    b.created_at_ms.cmp(&a.created_at_ms).then(a.id.cmp(&b.id))
}

/// What one author put on one thing.
struct Group {
    /// The newest that count, newest first.
    newest: Vec<RecordId>,
    /// How many index entries follow.
    more: usize,
}

/// The newest `limit` records of each author about one thing.
fn groups(
    effects: &Effects<'_>,
    index: Index,
    about: &RecordId,
    limit: usize,
) -> Result<Vec<(PublicKey, Group)>, StoreError> {
    let store = effects.store();
    let prefix = index.key(&[about.as_bytes()]);
    let (mut from, mut found) = (prefix.clone(), Vec::new());
    while found.len() < AUTHORS_READ_MAX {
        let Some(first) = index::hits_from(store, &prefix, &from, 1)?.pop() else {
            break;
        };
        let author = first.part(AUTHOR_AT)?;
        let entries = index::hits(
            store,
            index,
            &[about.as_bytes(), author.as_bytes()],
            COLLAPSED_COUNTED_MAX,
        )?;
        found.push((author, group(effects, &entries, limit)?));
        match first.after_group(AUTHOR_AT + 32) {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(found)
}

/// Where the author stands in a key of [`Index::Issues`] and [`Index::Comments`].
const AUTHOR_AT: usize = 33;

fn group(effects: &Effects<'_>, entries: &[Hit], limit: usize) -> Result<Group, StoreError> {
    let mut newest = Vec::new();
    for (at, hit) in entries.iter().enumerate() {
        if newest.len() == limit {
            return Ok(Group {
                newest,
                more: entries.len() - at,
            });
        }
        let id = hit.id()?;
        if effects.held(&id)?.is_some_and(|(_, effect)| effect.counts()) {
            newest.push(id);
        }
    }
    Ok(Group { newest, more: 0 })
}

fn collapsed(store: &dyn Read, author: PublicKey, count: usize) -> Result<Option<Collapsed>, StoreError> {
    if count == 0 {
        return Ok(None);
    }
    Ok(Some(Collapsed {
        author,
        author_name: identity::name(store, &author)?,
        count,
    }))
}

/// A held issue that counts, with its release if that counts.
fn held(effects: &Effects<'_>, id: &RecordId) -> Result<Option<(Issue, ReleaseView)>, StoreError> {
    let Some((record, effect)) = effects.held(id)? else {
        return Ok(None);
    };
    let Some(Body::Issue(issue)) = Body::of(&record).filter(|_| effect.counts()) else {
        return Ok(None);
    };
    let release = catalogue::release(effects.store(), &issue.release)?;
    Ok(release.map(|release| (*issue, release)))
}

fn issue_of(
    effects: &Effects<'_>,
    id: &RecordId,
    release: &ReleaseView,
) -> Result<Option<IssueView>, StoreError> {
    let Some((record, effect)) = effects.held(id)? else {
        return Ok(None);
    };
    match Body::of(&record).filter(|_| effect.counts()) {
        Some(Body::Issue(issue)) => view(effects, id, *issue, release),
        _ => Ok(None),
    }
}

fn view(
    effects: &Effects<'_>,
    id: &RecordId,
    issue: Issue,
    release: &ReleaseView,
) -> Result<Option<IssueView>, StoreError> {
    let Some(record) = crate::log::record(effects.store(), id)? else {
        return Ok(None);
    };
    let header = record.header();
    Ok(Some(IssueView {
        id: *id,
        author: header.author,
        author_name: identity::name(effects.store(), &header.author)?,
        model: release.model(),
        release: release.id,
        version: release.release.version.clone(),
        title: issue.title,
        body: issue.body,
        slice: issue.slice,
        environment: issue.environment,
        created_at_ms: header.created_at_ms,
        state: state::state(effects, id, [header.author, release.author])?,
    }))
}

/// A comment that counts. `may` are those who may change the issue's state.
fn comment(
    effects: &Effects<'_>,
    id: &RecordId,
    may: [PublicKey; 2],
) -> Result<Option<CommentView>, StoreError> {
    let Some((record, effect)) = effects.held(id)? else {
        return Ok(None);
    };
    let Some(Body::Comment(Comment { body, action, .. })) = Body::of(&record).filter(|_| effect.counts())
    else {
        return Ok(None);
    };
    let header = record.header();
    Ok(Some(CommentView {
        id: *id,
        author: header.author,
        author_name: identity::name(effects.store(), &header.author)?,
        body,
        created_at_ms: header.created_at_ms,
        opens: action.opens().filter(|_| may.contains(&header.author)),
    }))
}

#[cfg(test)]
mod tests;
