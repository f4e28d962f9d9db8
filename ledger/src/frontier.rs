//! What nodes tell each other about the logs they hold: comparing frontiers, and serving records.
//!
//! What is served of a log is what counts (see [`crate::effect`]): its chain up to its end, then the
//! later records that stand. A frontier's [`wire::Head`] says the same in short, so that two nodes whose
//! heads are equal hold the same records that count.

use std::collections::BTreeMap;

use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::{PublicKey, Record, RecordId, wire};

use crate::effect::Effects;
use crate::index::{self, Index};
use crate::log::{at, chain, chain_key, fork, record};

/// Most records beyond a log's end that a head sums up and a range serves.
pub const STANDING_PER_LOG_MAX: usize = 2048;

/// What this node holds, one head per log, sorted by log.
///
/// `next` and `head` describe the chain up to the log's end; `standing` is empty unless the log has
/// ended and later records stand.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn heads(store: &dyn Read) -> Result<Vec<wire::Head>, StoreError> {
    let mut authors: BTreeMap<PublicKey, PublicKey> = BTreeMap::new();
    for hit in index::all(store, Index::AuthorLogs, &[])? {
        authors.entry(hit.part(33)?).or_insert(hit.part(1)?);
    }
    let effects = Effects::new(store);
    let mut heads = Vec::new();
    for (log, author) in authors {
        let head = head(&effects, &author, &log)?;
        if head.next > 0 || !head.standing.is_empty() {
            heads.push(head);
        }
    }
    Ok(heads)
}

/// The head of one log; `author` where nothing of its chain is held.
fn head(effects: &Effects<'_>, author: &PublicKey, log: &PublicKey) -> Result<wire::Head, StoreError> {
    let store = effects.store();
    let chain = chain(store, log)?;
    let author = chain.map_or(*author, |c| c.author);
    let end = effects.end(&author, log)?;
    let next = chain.map_or(0, |c| c.next).min(end);
    let head = match next.checked_sub(1) {
        None => Vec::new(),
        Some(seq) => at(store, log, seq)?.map(RecordId::to_vec).unwrap_or_default(),
    };
    let standing = if end == u64::MAX {
        Vec::new()
    } else {
        standing_hash(effects, log, end)?
    };
    Ok(wire::Head {
        author: author.to_vec(),
        log: log.to_vec(),
        next,
        head,
        standing,
    })
}

fn standing_hash(effects: &Effects<'_>, log: &PublicKey, end: u64) -> Result<Vec<u8>, StoreError> {
    let standing = standing(effects, log, end)?;
    if standing.is_empty() {
        return Ok(Vec::new());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"fieldmark/v1/standing\0");
    for record in &standing {
        hasher.update(record.id().as_bytes());
    }
    Ok(hasher.finalize().as_bytes().to_vec())
}

/// Records of a log at or above `from` that stand beyond its end, by (seq, id).
fn standing(effects: &Effects<'_>, log: &PublicKey, from: u64) -> Result<Vec<Record>, StoreError> {
    let prefix = Index::MayStand.key(&[log.as_bytes()]);
    let start = Index::MayStand.key(&[log.as_bytes(), &from.to_be_bytes()]);
    let mut found = Vec::new();
    for hit in index::hits_from(effects.store(), &prefix, &start, STANDING_PER_LOG_MAX)? {
        let Some((record, effect)) = effects.held(&hit.id()?)? else {
            continue;
        };
        // A Task may stand here before the certificate that vouches for it came; the two bring each
        // other in, so it is served without.
        if effect.counts() || effects.stands(&record)? {
            found.push(record);
        }
    }
    Ok(found)
}

/// From which seq on a peer's log should be fetched; `None` when the peer has nothing that is missing
/// here. A head that does not decode has nothing.
///
/// Equal lengths with different heads mean a fork that neither has proven: the first record that
/// differs gives the proof, and it is looked for by going back in halves.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn behind(store: &dyn Read, peer: &wire::Head) -> Result<Option<u64>, StoreError> {
    let (Ok(log), Ok(author)) = (
        PublicKey::from_slice(&peer.log),
        PublicKey::from_slice(&peer.author),
    ) else {
        return Ok(None);
    };
    let effects = Effects::new(store);
    let ours = head(&effects, &author, &log)?;
    let end = effects.end(&author, &log)?;
    let uncertified = !effects.certified(&author, &log)?;
    if peer.next > ours.next && (uncertified || ours.next < end) {
        return Ok(Some(ours.next));
    }
    let shared = peer.next.min(ours.next);
    let same_chain = match shared.checked_sub(1) {
        Some(seq) if peer.next == shared => {
            at(store, &log, seq)?.is_some_and(|id| id.as_bytes()[..] == peer.head)
        }
        _ => true,
    };
    if !same_chain {
        return Ok(Some(shared / 2));
    }
    let later = !peer.standing.is_empty() && peer.standing != ours.standing;
    Ok(later.then_some(ours.next))
}

/// Whether a peer knows of a lower fork than this node.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn lacks_proof(store: &dyn Read, peer: &wire::ProvenFork) -> Result<bool, StoreError> {
    let Ok(log) = PublicKey::from_slice(&peer.log) else {
        return Ok(false);
    };
    Ok(fork(store, &log)?.is_none_or(|seq| peer.seq < seq))
}

/// Records of a log from `from` on for a peer: the chain up to its end, then the later ones that
/// stand. At most `limit` records and `bytes_max` encoded bytes, but at least one record if there is
/// any.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn range(
    store: &dyn Read,
    log: &PublicKey,
    from: u64,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Record>, StoreError> {
    let effects = Effects::new(store);
    let chain = chain(store, log)?;
    let end = match chain {
        Some(chain) => effects.end(&chain.author, log)?,
        None => 0,
    };
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    let mut take = |found: &mut Vec<Record>, record: Record| {
        bytes = bytes.saturating_add(record.encode().len());
        let fits = found.len() < limit && (bytes <= bytes_max || found.is_empty());
        if fits {
            found.push(record);
        }
        fits
    };
    let start = chain_key(log, from);
    for (key, id) in store.scan(Column::Logs, log.as_bytes(), &start, limit)? {
        let id = RecordId::from_slice(&id).map_err(|e| StoreError::damaged(Column::Logs, &key, e))?;
        let record = record(store, &id)?
            .ok_or_else(|| StoreError::damaged(Column::Logs, &key, format!("record {id} is missing")))?;
        if record.header().seq >= end {
            break;
        }
        if !take(&mut found, record) {
            return Ok(found);
        }
    }
    let reached = chain.map_or(0, |c| c.next).min(end);
    let next = found.last().map_or(from, |r| r.header().seq.saturating_add(1));
    if end < u64::MAX && next >= reached {
        for record in standing(&effects, log, from.max(end))? {
            if !take(&mut found, record) {
                break;
            }
        }
    }
    Ok(found)
}
