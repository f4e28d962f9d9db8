//! Author logs as they are held, whether their records count or not. Taking records in is
//! [`ingest`](mod@ingest); what counts is [`crate::effect`]'s to say, what peers are served
//! [`crate::frontier`]'s.

pub mod ingest;

use fieldmark_protocol::decode;
use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::{PublicKey, Record, RecordId, wire};

use crate::index::{self, Index};
use crate::payload::Body;

pub use ingest::{Ingest, ingest, ingest_cited, ingest_proof};

/// Most logs (nodes) of one author.
pub const LOGS_PER_AUTHOR_MAX: usize = 1024;
/// Most records of one log.
pub const RECORDS_PER_LOG_MAX: u64 = 1 << 20;
/// Most records held of one log outside its chain: later records that stand beyond its end.
pub const LOOSE_PER_LOG_MAX: usize = 1024;
/// Most bytes of a stored head.
const HEAD_BYTES_MAX: usize = 256;

/// The record with this id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn record(store: &dyn Read, id: &RecordId) -> Result<Option<Record>, StoreError> {
    let Some(bytes) = store.get(Column::Records, id.as_bytes())? else {
        return Ok(None);
    };
    stored(id.as_bytes(), &bytes).map(Some)
}

/// A stored value of `Column::Records`.
pub(crate) fn stored(key: &[u8], value: &[u8]) -> Result<Record, StoreError> {
    Record::decode_stored(value).map_err(|e| StoreError::damaged(Column::Records, key, e))
}

/// The last record held in the log's chain, as [`Record::sign`] wants it for the next one.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn last(store: &dyn Read, log: &PublicKey) -> Result<Option<(u64, RecordId)>, StoreError> {
    Ok(chain(store, log)?.and_then(|chain| Some((chain.next.checked_sub(1)?, chain.head))))
}

/// The lowest seq at which the log is proven to have forked.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn fork(store: &dyn Read, log: &PublicKey) -> Result<Option<u64>, StoreError> {
    let hits = index::hits(store, Index::Fork, &[log.as_bytes()], 1)?;
    hits.first().map(index::Hit::number).transpose()
}

/// Every log with a proven fork and its lowest forked seq, by log.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn forks(store: &dyn Read) -> Result<Vec<(PublicKey, u64)>, StoreError> {
    let hits = index::all(store, Index::Fork, &[])?;
    hits.iter().map(|hit| Ok((hit.part(1)?, hit.number()?))).collect()
}

/// The proof with the lowest seq of a forked log.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn proof(store: &dyn Read, log: &PublicKey) -> Result<Option<EquivocationProof>, StoreError> {
    let Some(bytes) = store.get(Column::Forks, log.as_bytes())? else {
        return Ok(None);
    };
    let proof = EquivocationProof::decode(&bytes);
    proof
        .map(Some)
        .map_err(|e| StoreError::damaged(Column::Forks, log.as_bytes(), e))
}

/// Ids that a record is about and that are not held, to be fetched.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn missing(store: &dyn Read, record: &Record) -> Result<Vec<RecordId>, StoreError> {
    let mut missing = Vec::new();
    for id in Body::of(record).map(|body| body.cites()).unwrap_or_default() {
        if store.get(Column::Records, id.as_bytes())?.is_none() {
            missing.push(id);
        }
    }
    Ok(missing)
}

/// A log's chain as it is held, whether it counts or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The author that its first record names, hence every one.
    pub(crate) author: PublicKey,
    /// Number of records.
    pub(crate) next: u64,
    /// Id of the last one.
    pub(crate) head: RecordId,
}

/// The chain held of `log`.
pub(crate) fn chain(store: &dyn Read, log: &PublicKey) -> Result<Option<Chain>, StoreError> {
    let Some(bytes) = store.get(Column::Heads, log.as_bytes())? else {
        return Ok(None);
    };
    let damaged = |detail: String| StoreError::damaged(Column::Heads, log.as_bytes(), detail);
    let head: wire::Head =
        decode::bounded("a stored head", &bytes, HEAD_BYTES_MAX).map_err(|e| damaged(e.to_string()))?;
    Ok(Some(Chain {
        author: PublicKey::from_slice(&head.author).map_err(|e| damaged(e.to_string()))?,
        next: head.next,
        head: RecordId::from_slice(&head.head).map_err(|e| damaged(e.to_string()))?,
    }))
}

/// Key of a chain position in `Column::Logs`.
pub(crate) fn chain_key(log: &PublicKey, seq: u64) -> Vec<u8> {
    [log.as_bytes().as_slice(), &seq.to_be_bytes()].concat()
}

/// Id of the record at `seq` of the log's chain.
pub(crate) fn at(store: &dyn Read, log: &PublicKey, seq: u64) -> Result<Option<RecordId>, StoreError> {
    let key = chain_key(log, seq);
    let Some(id) = store.get(Column::Logs, &key)? else {
        return Ok(None);
    };
    RecordId::from_slice(&id)
        .map(Some)
        .map_err(|e| StoreError::damaged(Column::Logs, &key, e))
}

#[cfg(test)]
mod tests;
