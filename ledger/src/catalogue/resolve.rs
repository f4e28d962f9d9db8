//! What a person's words for a release or challenge mean: a name, `name@version`,
//! `author/name[@version]`, or the start of an id. Names are not unique across authors, so a name that
//! several authors use is refused with the candidates rather than guessed.

use std::fmt;

use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::{Kind, RecordId};

use super::ReleaseView;
use crate::effect::Effects;
use crate::index::{self, Index};

/// Fewest hex digits that are taken as the start of an id or of an author's key.
pub const PREFIX_DIGITS_MIN: usize = 6;
/// Most candidates an error lists.
pub const CANDIDATES_MAX: usize = 10;

/// Something the words could have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The record.
    pub id: RecordId,
    /// Words that mean only this one, more or less: `author/name@version`.
    pub label: String,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id.short(), self.label)
    }
}

/// Words that do not mean exactly one record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Nothing fits.
    #[error(
        "no {what} '{text}' is known here; give a name, the first {PREFIX_DIGITS_MIN} or more digits of an id, or wait \
         until this node has heard of it"
    )]
    NotFound {
        /// `release` or `challenge`.
        what: &'static str,
        /// The words.
        text: String,
    },
    /// Several fit.
    #[error(
        "'{text}' could mean several {what}s; give one of these ids: {}",
        list(candidates)
    )]
    Ambiguous {
        /// `release` or `challenge`.
        what: &'static str,
        /// The words.
        text: String,
        /// What they could mean, at most [`CANDIDATES_MAX`].
        candidates: Vec<Candidate>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(candidates: &[Candidate]) -> String {
    candidates
        .iter()
        .map(Candidate::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The one of `candidates` that `text` means.
pub(crate) fn only(
    what: &'static str,
    text: &str,
    mut candidates: Vec<Candidate>,
) -> Result<RecordId, ResolveError> {
    candidates.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
    candidates.dedup();
    match candidates.as_slice() {
        [] => Err(ResolveError::NotFound {
            what,
            text: text.to_owned(),
        }),
        [one] => Ok(one.id),
        _ => {
            candidates.truncate(CANDIDATES_MAX);
            Err(ResolveError::Ambiguous {
                what,
                text: text.to_owned(),
                candidates,
            })
        }
    }
}

/// Ids of `kind` that start with these hex digits; none when `text` is too short or no hex.
pub(crate) fn by_prefix(store: &dyn Read, kind: Kind, text: &str) -> Result<Vec<RecordId>, StoreError> {
    let digits = text.to_ascii_lowercase();
    if !is_prefix(&digits) {
        return Ok(Vec::new());
    }
    let whole = digits.get(..digits.len() / 2 * 2).unwrap_or_default();
    let Ok(bytes) = hex_bytes(whole) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for hit in index::all(store, Index::Ids, &[&kind.number().to_be_bytes(), &bytes])? {
        let id = hit.id()?;
        if id.to_string().starts_with(&digits) {
            found.push(id);
        }
    }
    Ok(found)
}

fn is_prefix(digits: &str) -> bool {
    (PREFIX_DIGITS_MIN..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn hex_bytes(digits: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16))
        .collect()
}

/// The release that `text` means: `name`, `name@version`, `author/name[@version]` with the author's
/// published name or the start of its key, or the start of a release id.
///
/// A name without a version means its author's newest release that is not withdrawn. A withdrawn
/// release is found by its version or id.
///
/// # Errors
/// [`ResolveError`] when nothing fits, or several do.
pub fn resolve(store: &dyn Read, text: &str) -> Result<RecordId, ResolveError> {
    let text = text.trim();
    let (author, rest) = text
        .split_once('/')
        .map_or((None, text), |(author, rest)| (Some(author), rest));
    let (name, version) = rest
        .split_once('@')
        .map_or((rest, None), |(name, version)| (name, Some(version)));
    let effects = Effects::new(store);
    let hits = index::all(store, Index::ReleasesByName, &[name.as_bytes(), &[0]])?;
    let mut named = super::views(&effects, &hits)?;
    named.retain(|view| {
        author.is_none_or(|author| is_by(view, author))
            && match version {
                Some(version) => view.release.version == version,
                None => view.withdrawn.is_none(),
            }
    });
    if version.is_none() {
        named = newest_of_each_author(named);
    }
    let mut candidates: Vec<Candidate> = named.iter().map(candidate).collect();
    if author.is_none() && version.is_none() {
        for id in by_prefix(store, Kind::Release, text)? {
            candidates.extend(super::release(store, &id)?.as_ref().map(candidate));
        }
    }
    only("release", text, candidates)
}

fn is_by(view: &ReleaseView, author: &str) -> bool {
    let digits = author.to_ascii_lowercase();
    let by_key = is_prefix(&digits) && view.author.to_string().starts_with(&digits);
    by_key
        || view
            .author_name
            .as_ref()
            .is_some_and(|name| name.eq_ignore_ascii_case(author))
}

fn newest_of_each_author(mut views: Vec<ReleaseView>) -> Vec<ReleaseView> {
    super::newest_first(&mut views);
    let mut seen = std::collections::BTreeSet::new();
    views.retain(|view| seen.insert(view.author));
    views
}

fn candidate(view: &ReleaseView) -> Candidate {
    Candidate {
        id: view.id,
        label: format!("{}/{}", view.author.short(), view.label()),
    }
}
