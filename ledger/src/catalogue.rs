//! The catalogue: releases that count, by author, text and tag, and what a person's words for one
//! resolve to ([`resolve()`]).

pub mod resolve;

use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::release::Release;
use fieldmark_protocol::{PublicKey, Record, RecordId};

use crate::effect::{Effect, Effects};
use crate::identity;
use crate::index::{self, Hit, Index};
use crate::payload::Body;

pub use resolve::{Candidate, ResolveError, resolve};

/// Most releases of one answer.
pub const QUERY_LIMIT_MAX: usize = 1000;
/// Index entries read at a time.
const PAGE: usize = 128;

/// Which releases are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Words that name, summary, tags, card task or author's name must all hold; empty: any.
    pub text: String,
    /// A tag the release must have.
    pub tag: Option<String>,
    /// Whose releases.
    pub author: Option<PublicKey>,
    /// Most answers, up to [`QUERY_LIMIT_MAX`]. Default 100.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            text: String::new(),
            tag: None,
            author: None,
            limit: 100,
        }
    }
}

/// A model: a name owned by an identity. Its releases are all those that bear both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    /// Who owns the name.
    pub owner: PublicKey,
    /// The name.
    pub name: String,
}

/// A release as the catalogue shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseView {
    /// The Release record.
    pub id: RecordId,
    /// Its author.
    pub author: PublicKey,
    /// The author's name, if it published one.
    pub author_name: Option<String>,
    /// The key that signed it.
    pub log: PublicKey,
    /// The manifest.
    pub release: Release,
    /// The author's clock.
    pub created_at_ms: u64,
    /// Set when its author withdrew it.
    pub withdrawn: Option<WithdrawnView>,
    /// It counts only because a committee built on it before its author equivocated.
    pub author_equivocated: bool,
}

impl ReleaseView {
    /// The model it is a version of.
    #[must_use]
    pub fn model(&self) -> Model {
        Model {
            owner: self.author,
            name: self.release.name.clone(),
        }
    }

    /// `name@version`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.release.name, self.release.version)
    }
}

/// The withdrawal of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawnView {
    /// The Withdrawal record.
    pub id: RecordId,
    /// Why.
    pub reason: String,
    /// The author's clock.
    pub created_at_ms: u64,
}

/// The release with this record id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn release(store: &dyn Read, id: &RecordId) -> Result<Option<ReleaseView>, StoreError> {
    view(&Effects::new(store), id)
}

/// Every release of an author, withdrawn ones too, newest first by the author's clock.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn by_author(store: &dyn Read, author: &PublicKey) -> Result<Vec<ReleaseView>, StoreError> {
    let effects = Effects::new(store);
    let mut found = views(
        &effects,
        &index::all(store, Index::ReleasesByAuthor, &[author.as_bytes()])?,
    )?;
    newest_first(&mut found);
    Ok(found)
}

/// Every release of a model, withdrawn ones too, newest first by the author's clock.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn of_model(store: &dyn Read, model: &Model) -> Result<Vec<ReleaseView>, StoreError> {
    let mut found = by_author(store, &model.owner)?;
    found.retain(|view| view.release.name == model.name);
    Ok(found)
}

/// Releases that answer a query, newest first by their authors' clocks.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn releases(store: &dyn Read, query: &Query) -> Result<Vec<ReleaseView>, StoreError> {
    let limit = query.limit.min(QUERY_LIMIT_MAX);
    if let Some(author) = &query.author {
        let mut found = by_author(store, author)?;
        found.retain(|view| matches(view, query));
        found.truncate(limit);
        return Ok(found);
    }
    let effects = Effects::new(store);
    let prefix = Index::ReleasesByTime.key(&[]);
    let (mut from, mut found) = (prefix.clone(), Vec::new());
    while found.len() < limit {
        let page = index::hits_from(store, &prefix, &from, PAGE)?;
        let Some(last) = page.last() else { break };
        from = last.after();
        found.extend(
            views(&effects, &page)?
                .into_iter()
                .filter(|view| matches(view, query)),
        );
    }
    found.truncate(limit);
    Ok(found)
}

fn newest_first(found: &mut [ReleaseView]) {
    found.sort_by(|a, b| b.created_at_ms.cmp(&a.created_at_ms).then(a.id.cmp(&b.id)));
}

fn matches(view: &ReleaseView, query: &Query) -> bool {
    let release = &view.release;
    if query.tag.as_ref().is_some_and(|tag| !release.tags.contains(tag)) {
        return false;
    }
    let mut text = format!(
        "{}@{} {} {}",
        release.name, release.version, release.summary, release.task
    );
    for more in release.tags.iter().chain(&view.author_name) {
        text.push(' ');
        text.push_str(more);
    }
    let text = text.to_lowercase();
    query
        .text
        .to_lowercase()
        .split_whitespace()
        .all(|word| text.contains(word))
}

/// Views of the releases among `hits` that count.
pub(crate) fn views(effects: &Effects<'_>, hits: &[Hit]) -> Result<Vec<ReleaseView>, StoreError> {
    let mut found = Vec::new();
    for hit in hits {
        found.extend(view(effects, &hit.id()?)?);
    }
    Ok(found)
}

fn view(effects: &Effects<'_>, id: &RecordId) -> Result<Option<ReleaseView>, StoreError> {
    let Some((record, effect)) = effects.held(id)? else {
        return Ok(None);
    };
    let Some(Body::Release(release)) = Body::of(&record).filter(|_| effect.counts()) else {
        return Ok(None);
    };
    build(effects, &record, effect, *release).map(Some)
}

fn build(
    effects: &Effects<'_>,
    record: &Record,
    effect: Effect,
    release: Release,
) -> Result<ReleaseView, StoreError> {
    let (header, id) = (record.header(), record.id());
    Ok(ReleaseView {
        id,
        author: header.author,
        author_name: identity::name(effects.store(), &header.author)?,
        log: header.log,
        release,
        created_at_ms: header.created_at_ms,
        withdrawn: withdrawn(effects, &header.author, &id)?,
        author_equivocated: effect.author_equivocated(),
    })
}

/// The earliest withdrawal of a release by its own author.
fn withdrawn(
    effects: &Effects<'_>,
    author: &PublicKey,
    release: &RecordId,
) -> Result<Option<WithdrawnView>, StoreError> {
    let mut first: Option<WithdrawnView> = None;
    for hit in index::all(effects.store(), Index::Withdrawals, &[release.as_bytes()])? {
        let id = hit.id()?;
        let Some((record, effect)) = effects.held(&id)? else {
            continue;
        };
        if !effect.counts() || record.header().author != *author {
            continue;
        }
        let Some(Body::Withdrawal(withdrawal)) = Body::of(&record) else {
            continue;
        };
        let created_at_ms = record.header().created_at_ms;
        if first
            .as_ref()
            .is_none_or(|f| (created_at_ms, id) < (f.created_at_ms, f.id))
        {
            first = Some(WithdrawnView {
                id,
                reason: withdrawal.reason,
                created_at_ms,
            });
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests;
