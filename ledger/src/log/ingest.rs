//! Taking a checked record or proof in: where it belongs, or why it is not taken.
//!
//! Nothing is written here; the batch that comes back makes the record held. What is refused is not
//! remembered: the sender is asked again by later frontier exchanges, so a refusal that depends on
//! something still missing ([`Ingest::Gap`], [`Ingest::Uncertified`], [`Ingest::Ended`]) heals itself.

use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::{PublicKey, Record, RecordId, wire};
use prost::Message;

use super::{
    Chain, LOGS_PER_AUTHOR_MAX, LOOSE_PER_LOG_MAX, RECORDS_PER_LOG_MAX, at, chain, chain_key, fork, record,
};
use crate::effect::Effects;
use crate::index::{self, Index};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingest {
    /// New: persist this.
    Stored(Batch),
    /// Held already.
    Known,
    /// It contradicts a held record: persist the batch, which holds the proof, and spread the proof.
    /// The record itself is not in it; ingested again afterwards, it is stored if it counts.
    Conflict {
        /// Two headers for one place.
        proof: Box<EquivocationProof>,
        /// Stores the proof.
        batch: Batch,
    },
    /// Records before it are missing.
    Gap {
        /// The first missing seq.
        next: u64,
    },
    /// The record before it is not the one held: the log forked earlier. The sender's records from here
    /// on give the proof.
    Diverged {
        /// Where to start fetching; not yet where the fork is.
        from: u64,
    },
    /// Signed by a node key that the author has not effectively certified.
    Uncertified,
    /// At or beyond the end of its log, and of no effect as far as is known here.
    Ended {
        /// The end.
        at: u64,
    },
    /// A log has one author.
    WrongAuthor {
        /// The author of the log's first record.
        expected: PublicKey,
    },
    /// A limit is reached.
    Full {
        /// Which.
        what: &'static str,
    },
}

/// Takes in a record.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn ingest(store: &dyn Read, record: &Record) -> Result<Ingest, StoreError> {
    let (header, id) = (record.header(), record.id());
    if at(store, &header.log, header.seq)? == Some(id) {
        return Ok(Ingest::Known);
    }
    let chain = chain(store, &header.log)?;
    if let Some(conflict) = conflict(store, record)? {
        return Ok(conflict);
    }
    let effects = Effects::new(store);
    if header.seq >= effects.end(&header.author, &header.log)? {
        return beyond_end(&effects, record);
    }
    extend(store, record, chain)
}

/// Takes in a record that was fetched by id because others cite it: the same as [`ingest`], which stores
/// a record beyond the end of its log by its id if it counts, and any other only in its place.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn ingest_cited(store: &dyn Read, record: &Record) -> Result<Ingest, StoreError> {
    ingest(store, record)
}

/// Takes in a proof that a log forked; `None` when one with this or a lower seq is held.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn ingest_proof(store: &dyn Read, proof: &EquivocationProof) -> Result<Option<Batch>, StoreError> {
    let (log, seq) = (proof.log(), proof.seq());
    if fork(store, &log)?.is_some_and(|known| known <= seq) {
        return Ok(None);
    }
    let mut batch = Batch::new();
    batch.put(Column::Forks, log.to_vec(), proof.to_wire().encode_to_vec());
    batch.put(
        Column::Views,
        Index::Fork.key(&[log.as_bytes()]),
        seq.to_be_bytes(),
    );
    Ok(Some(batch))
}

/// The proof that a held record has the same place, if that is news.
fn conflict(store: &dyn Read, new: &Record) -> Result<Option<Ingest>, StoreError> {
    let (header, id) = (new.header(), new.id());
    let mut others: Vec<RecordId> = at(store, &header.log, header.seq)?.into_iter().collect();
    let place: [&[u8]; 2] = [header.log.as_bytes(), &header.seq.to_be_bytes()];
    for hit in index::hits(store, Index::Loose, &place, 2)? {
        others.push(hit.id()?);
    }
    others.retain(|other| *other != id);
    let Some(other) = others.first() else {
        return Ok(None);
    };
    let Some(held) = record(store, other)? else {
        return Ok(None);
    };
    let Ok(proof) = EquivocationProof::of(&held, new) else {
        return Ok(None);
    };
    Ok(ingest_proof(store, &proof)?.map(|batch| Ingest::Conflict {
        proof: Box::new(proof),
        batch,
    }))
}

/// The next record of a chain that has not ended.
fn extend(store: &dyn Read, record: &Record, chain: Option<Chain>) -> Result<Ingest, StoreError> {
    let header = record.header();
    if let Some(chain) = chain
        && chain.author != header.author
    {
        return Ok(Ingest::WrongAuthor {
            expected: chain.author,
        });
    }
    let next = chain.map_or(0, |c| c.next);
    if header.seq > next {
        return Ok(Ingest::Gap { next });
    }
    if header.seq < next {
        let detail = format!("nothing at seq {} of a log with {next} records", header.seq);
        return Err(StoreError::damaged(
            Column::Logs,
            &chain_key(&header.log, header.seq),
            detail,
        ));
    }
    if header.prev != chain.map(|c| c.head) {
        return Ok(Ingest::Diverged { from: header.seq / 2 });
    }
    if next >= RECORDS_PER_LOG_MAX {
        return Ok(Ingest::Full {
            what: "records of one log",
        });
    }
    if chain.is_none() {
        let logs = index::hits(
            store,
            Index::AuthorLogs,
            &[header.author.as_bytes()],
            LOGS_PER_AUTHOR_MAX,
        )?;
        if logs.len() >= LOGS_PER_AUTHOR_MAX {
            return Ok(Ingest::Full {
                what: "logs of one author",
            });
        }
    }
    let mut batch = held(record);
    let id = record.id();
    let head = wire::Head {
        author: header.author.to_vec(),
        log: header.log.to_vec(),
        next: header.seq.saturating_add(1),
        head: id.to_vec(),
        standing: Vec::new(),
    };
    batch.put(Column::Logs, chain_key(&header.log, header.seq), id.to_vec());
    batch.put(Column::Heads, header.log.to_vec(), head.encode_to_vec());
    if store.get(Column::Views, &loose_key(record))?.is_some() {
        batch.delete(Column::Views, loose_key(record));
    }
    Ok(Ingest::Stored(batch))
}

/// A record beyond the end of its log: held by its id if it counts.
fn beyond_end(effects: &Effects<'_>, new: &Record) -> Result<Ingest, StoreError> {
    let (store, header) = (effects.store(), new.header());
    if store.get(Column::Records, new.id().as_bytes())?.is_some() {
        return Ok(Ingest::Known);
    }
    if !index::may_stand(header.kind) || !effects.stands(new)? {
        let certified = effects.certified(&header.author, &header.log)?;
        let at = effects.end(&header.author, &header.log)?;
        return Ok(if certified {
            Ingest::Ended { at }
        } else {
            Ingest::Uncertified
        });
    }
    let loose = index::hits(store, Index::Loose, &[header.log.as_bytes()], LOOSE_PER_LOG_MAX)?;
    if loose.len() >= LOOSE_PER_LOG_MAX {
        return Ok(Ingest::Full {
            what: "records beyond the end of one log",
        });
    }
    let mut batch = held(new);
    batch.put(Column::Views, loose_key(new), Vec::new());
    Ok(Ingest::Stored(batch))
}

fn held(record: &Record) -> Batch {
    let mut batch = Batch::new();
    batch.put(Column::Records, record.id().to_vec(), record.encode());
    index::put(&mut batch, record);
    batch
}

fn loose_key(record: &Record) -> Vec<u8> {
    let header = record.header();
    Index::Loose.key(&[
        header.log.as_bytes(),
        &header.seq.to_be_bytes(),
        record.id().as_bytes(),
    ])
}
