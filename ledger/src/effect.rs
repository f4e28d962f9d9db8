//! Which held records count (design §4, the fork rule), as a pure function of the held records and
//! proofs.
//!
//! **The end of a log.** A log counts up to its end, a seq that is the least of
//! - its lowest proven fork,
//! - for a node key's log, `records` of every revocation of that key by the log's author,
//! - for a node key's log without an effective certificate by its author, 0.
//!
//! A certificate is effective when it stands in the identity's own log below that log's lowest fork.
//! No clock takes part: how much of a revoked node's log stands is what its owner signed, because a
//! stolen key could date its records back.
//!
//! **Below the end** every held record counts ([`Effect::Own`]). **From the end on** only these do
//! ([`Effect::Stands`]):
//! - revocations of a node that the same identity effectively certified;
//! - aborts by those who may abort the batch of a task that counts;
//! - a Task that all k seats of its committee cite in Transcripts that count below the end of their
//!   logs; the Releases such a Task lists; its Challenges by the Task's author. Otherwise forking one's
//!   own old log would be a delete key for a bad score;
//! - certificates of node keys that signed something of that sort, which is how a reader knows that the
//!   identity named as author did answer for the key. Such a certificate vouches for those records
//!   alone and makes nothing else effective.
//!
//! Deviation: cosigned checkpoints do not keep records in force yet; no reader accepts any so far.

use std::cell::RefCell;
use std::collections::BTreeMap;

use fieldmark_protocol::aggregation::{Abort, BatchId};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId};

use crate::index::{self, Index};
use crate::log;
use crate::payload::Body;

/// Whether and why a held record counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It does not.
    None,
    /// It stands below the end of its log.
    Own,
    /// It lies beyond the end of its log and counts all the same.
    Stands {
        /// Whether a proven fork, not a revocation, is what ended the log.
        author_equivocated: bool,
    },
}

impl Effect {
    /// Whether the record counts.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the record counts only because others built on it before its author equivocated.
    #[must_use]
    pub const fn author_equivocated(self) -> bool {
        matches!(
            self,
            Self::Stands {
                author_equivocated: true
            }
        )
    }
}

/// The effect of records over one view of the store, with a memo. Make one per query: it does not see
/// later writes.
pub struct Effects<'a> {
    store: &'a dyn Read,
    ends: RefCell<BTreeMap<(PublicKey, PublicKey), u64>>,
    cited: RefCell<BTreeMap<RecordId, bool>>,
}

impl std::fmt::Debug for Effects<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effects")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl<'a> Effects<'a> {
    /// Effects over `store` as it is now.
    #[must_use]
    pub fn new(store: &'a dyn Read) -> Self {
        Self {
            store,
            ends: RefCell::default(),
            cited: RefCell::default(),
        }
    }

    /// The store that is read.
    #[must_use]
    pub fn store(&self) -> &'a dyn Read {
        self.store
    }

    /// The first seq of `log` that has no effect of its own when it names `author`; `u64::MAX` for a
    /// log that has not ended.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails or is damaged.
    pub fn end(&self, author: &PublicKey, log: &PublicKey) -> Result<u64, StoreError> {
        if let Some(end) = self.ends.borrow().get(&(*author, *log)) {
            return Ok(*end);
        }
        let mut end = log::fork(self.store, log)?.unwrap_or(u64::MAX);
        if author != log {
            if self.certificates(author, log)?.is_empty() {
                end = 0;
            }
            for hit in index::all(
                self.store,
                Index::Revocations,
                &[log.as_bytes(), author.as_bytes()],
            )? {
                end = end.min(hit.number()?);
            }
        }
        self.ends.borrow_mut().insert((*author, *log), end);
        Ok(end)
    }

    /// Whether `author` has effectively certified `node`, revoked since or not.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails or is damaged.
    pub fn certified(&self, author: &PublicKey, node: &PublicKey) -> Result<bool, StoreError> {
        Ok(author == node || !self.certificates(author, node)?.is_empty())
    }

    /// Effective certificates of `node` by `author`, as (seq, id), by seq.
    pub(crate) fn certificates(
        &self,
        author: &PublicKey,
        node: &PublicKey,
    ) -> Result<Vec<(u64, RecordId)>, StoreError> {
        let fork = log::fork(self.store, author)?.unwrap_or(u64::MAX);
        let mut found = Vec::new();
        for hit in index::all(
            self.store,
            Index::Certificates,
            &[node.as_bytes(), author.as_bytes()],
        )? {
            let seq = hit.number()?;
            if seq < fork {
                found.push((seq, hit.id()?));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether and why a record counts. The record itself need not be held.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails or is damaged.
    pub fn of(&self, record: &Record) -> Result<Effect, StoreError> {
        let header = record.header();
        if header.seq < self.end(&header.author, &header.log)? {
            return Ok(Effect::Own);
        }
        if !index::may_stand(header.kind) || !self.vouched(record)? || !self.stands(record)? {
            return Ok(Effect::None);
        }
        let forked_log = log::fork(self.store, &header.log)?.is_some_and(|seq| seq <= header.seq);
        let lost_certificate = log::fork(self.store, &header.author)?.is_some()
            && !self.certified(&header.author, &header.log)?;
        Ok(Effect::Stands {
            author_equivocated: forked_log || lost_certificate,
        })
    }

    /// The effect of a held record, with the record; `None` when it is not held.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails or is damaged.
    pub fn held(&self, id: &RecordId) -> Result<Option<(Record, Effect)>, StoreError> {
        let Some(record) = log::record(self.store, id)? else {
            return Ok(None);
        };
        let effect = self.of(&record)?;
        Ok(Some((record, effect)))
    }

    /// Whether the identity named as author ever certified the key that signed. Aborts need no voucher:
    /// the task itself names who may abort it.
    fn vouched(&self, record: &Record) -> Result<bool, StoreError> {
        let header = record.header();
        if header.log == header.author || header.kind == Kind::Abort {
            return Ok(true);
        }
        let parts: [&[u8]; 2] = [header.log.as_bytes(), header.author.as_bytes()];
        Ok(!index::hits(self.store, Index::Certificates, &parts, 1)?.is_empty())
    }

    /// Whether a record counts beyond the end of its log, if its signer was vouched for.
    pub(crate) fn stands(&self, record: &Record) -> Result<bool, StoreError> {
        let header = record.header();
        match Body::of(record) {
            Some(Body::Revocation(revocation)) => self.certified(&header.author, &revocation.node_key),
            Some(Body::Certificate(certificate)) => self.vouches(&header.author, &certificate.node_key),
            Some(Body::Abort(abort)) => self.may_abort(record, &abort),
            Some(Body::Task(task)) => self.is_cited(record.id(), &task),
            Some(Body::Release(_)) => self.is_listed(&record.id()),
            Some(Body::Challenge(challenge)) => {
                let Some((by, task)) = self.counted_task(&challenge.task)? else {
                    return Ok(false);
                };
                Ok(by.header().author == header.author && self.is_cited(challenge.task, &task)?)
            }
            _ => Ok(false),
        }
    }

    /// A held Task that counts.
    fn counted_task(&self, id: &RecordId) -> Result<Option<(Record, Task)>, StoreError> {
        let Some((record, effect)) = self.held(id)? else {
            return Ok(None);
        };
        Ok(match Body::of(&record) {
            Some(Body::Task(task)) if effect.counts() => Some((record, *task)),
            _ => None,
        })
    }

    /// Whether every seat of the committee published a Transcript of the task that counts.
    fn is_cited(&self, id: RecordId, task: &Task) -> Result<bool, StoreError> {
        if let Some(known) = self.cited.borrow().get(&id) {
            return Ok(*known);
        }
        let batch = BatchId {
            task: id,
            window: task.window,
        };
        let mut cited = true;
        for seat in &task.committee {
            let end = self.end(&seat.identity, &seat.node_key)?;
            let prefix = index::batch_prefix(batch, Kind::Transcript, &seat.node_key);
            let first = index::hits(self.store, Index::Batches, &[&prefix], 1)?;
            let counts = first
                .first()
                .map(|hit| Ok::<_, StoreError>((hit.seq()?, hit.author()?)))
                .transpose()?;
            cited &= counts.is_some_and(|(seq, author)| seq < end && author == seat.identity);
        }
        self.cited.borrow_mut().insert(id, cited);
        Ok(cited)
    }

    /// Whether a Task that counts and is cited lists the release.
    fn is_listed(&self, release: &RecordId) -> Result<bool, StoreError> {
        for hit in index::all(self.store, Index::Uses, &[release.as_bytes()])? {
            let id = hit.id()?;
            if let Some((_, task)) = self.counted_task(&id)?
                && self.is_cited(id, &task)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a held record of `node`'s log for `author` stands beyond its end, so that a certificate
    /// beyond the end of the author's log is needed to vouch for it.
    fn vouches(&self, author: &PublicKey, node: &PublicKey) -> Result<bool, StoreError> {
        let end = self.end(author, node)?;
        for hit in index::all(self.store, Index::MayStand, &[node.as_bytes()])? {
            if hit.seq()? < end {
                continue;
            }
            let Some(record) = log::record(self.store, &hit.id()?)? else {
                continue;
            };
            let cited = matches!(record.header().kind, Kind::Task | Kind::Release | Kind::Challenge);
            if cited && record.header().author == *author && self.stands(&record)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the signer of an abort may abort that batch: a seat of the committee, the task author's
    /// identity key, or the key that signed the task.
    pub(crate) fn may_abort(&self, record: &Record, abort: &Abort) -> Result<bool, StoreError> {
        let Some((by, task)) = self.counted_task(&abort.batch.task)? else {
            return Ok(false);
        };
        let (header, of_task) = (record.header(), by.header());
        let seat = task
            .committee
            .iter()
            .any(|s| s.identity == header.author && s.node_key == header.log);
        let operator =
            header.author == of_task.author && (header.log == of_task.author || header.log == of_task.log);
        Ok(abort.batch.window == task.window && (seat || operator))
    }
}

/// Records read from the store at a time.
const PAGE: usize = 512;

/// Hash over the ids of every record that counts, sorted, and the proven forks: equal on nodes whose
/// ledgers have converged. Reads the whole ledger; for simulations, tests and `doctor`.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn ledger_digest(store: &dyn Read) -> Result<ContentHash, StoreError> {
    let effects = Effects::new(store);
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"fieldmark/v1/ledger\0");
    let mut from = Vec::new();
    loop {
        let page = store.scan(Column::Records, &[], &from, PAGE)?;
        for (key, value) in &page {
            let record = log::stored(key, value)?;
            if effects.of(&record)?.counts() {
                hasher.update(record.id().as_bytes());
            }
        }
        let Some((last, _)) = page.last() else { break };
        from = [last.as_slice(), &[0]].concat();
    }
    hasher.update(b"forks\0");
    for (log, seq) in log::forks(store)? {
        hasher.update(log.as_bytes());
        hasher.update(&seq.to_be_bytes());
    }
    Ok(ContentHash::new(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests;
