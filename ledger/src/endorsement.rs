//! Who endorses whom. Only an identity's own log is read, below its end; of several endorsements of one
//! subject in one role by one author the latest in its log counts.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_protocol::endorsement::Endorsement;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::{PublicKey, RecordId};

use crate::effect::Effects;
use crate::index::{self, Index};
use crate::payload::Body;

/// Most endorsements of one subject by one author that are looked at.
pub const PER_AUTHOR_MAX: usize = 256;

/// How an identity stands with a set of endorsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// One of them endorses it.
    Endorsed,
    /// One of them did, and it has expired or was taken back.
    Lapsed,
    /// None of them ever did, as far as is known here.
    Unknown,
}

/// An endorsement with who stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementView {
    /// The Endorsement record.
    pub id: RecordId,
    /// Who endorses.
    pub author: PublicKey,
    /// Whom, as what, until when.
    pub endorsement: Endorsement,
    /// The author's clock.
    pub created_at_ms: u64,
}

/// What everyone says of `subject`: for each author and role the latest word, sorted by author and role.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn endorsements(store: &dyn Read, subject: &PublicKey) -> Result<Vec<EndorsementView>, StoreError> {
    let effects = Effects::new(store);
    found(&effects, &[subject.as_bytes()])
}

/// How `subject` stands with `endorsers` in `role`, up to a time in milliseconds since 1970.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn standing(
    store: &dyn Read,
    endorsers: &BTreeSet<PublicKey>,
    subject: &PublicKey,
    role: &str,
    until_ms: u64,
) -> Result<Standing, StoreError> {
    let effects = Effects::new(store);
    let mut standing = Standing::Unknown;
    for endorser in endorsers {
        for view in found(&effects, &[subject.as_bytes(), endorser.as_bytes()])? {
            if view.endorsement.role != role {
                continue;
            }
            if view.endorsement.holds_until(until_ms) {
                return Ok(Standing::Endorsed);
            }
            standing = Standing::Lapsed;
        }
    }
    Ok(standing)
}

fn found(effects: &Effects<'_>, parts: &[&[u8]]) -> Result<Vec<EndorsementView>, StoreError> {
    let mut latest: BTreeMap<(PublicKey, String), (u64, EndorsementView)> = BTreeMap::new();
    for hit in index::hits(effects.store(), Index::Endorsements, parts, PER_AUTHOR_MAX * 64)? {
        let id = hit.id()?;
        let Some((record, effect)) = effects.held(&id)? else {
            continue;
        };
        let Some(Body::Endorsement(endorsement)) = Body::of(&record).filter(|_| effect.counts()) else {
            continue;
        };
        let header = record.header();
        let key = (header.author, endorsement.role.clone());
        let view = EndorsementView {
            id,
            author: header.author,
            endorsement,
            created_at_ms: header.created_at_ms,
        };
        if latest.get(&key).is_none_or(|(seq, _)| *seq < header.seq) {
            latest.insert(key, (header.seq, view));
        }
    }
    Ok(latest.into_values().map(|(_, view)| view).collect())
}

#[cfg(test)]
mod tests;
