//! Secondary indexes in `Column::Views`: from what is looked up to record ids.
//!
//! Every entry is a function of one held record (or proof) alone, so the indexes never depend on the
//! order of arrival. Whether a record counts is decided when it is read ([`crate::effect`]), never here.
//! Numbers are big endian, so that keys sort by them; `~created` is `u64::MAX - created_at_ms`, so that
//! newer sorts first; ids and keys have 32 bytes; `kind` is the four-byte wire number of a record's kind.
//! The first byte says which index it is:
//!
//! | key | value | finds |
//! | --- | --- | --- |
//! | `A` author, log | | logs of an author |
//! | `L` log, seq, id | | records held outside their chain |
//! | `K` log, seq, id | | records that may stand beyond the end of their log |
//! | `F` log | seq | the lowest proven fork |
//! | `P` author, id | | profiles |
//! | `C` node, author, id | seq in the author's log | certificates of a node |
//! | `N` author, node, id | | nodes of an identity |
//! | `X` node, author, id | records that stand | revocations of a node |
//! | `R` ~created, id | | releases, newest first |
//! | `r` author, id | | releases of an author |
//! | `m` name, 0, id | | releases by name |
//! | `W` release, id | | withdrawals of a release |
//! | `U` release, task | | tasks that measure a release |
//! | `T` ~created, id | | tasks, newest first |
//! | `H` ~created, id | | challenges, newest first |
//! | `h` task, id | | challenges of a task |
//! | `M` name, 0, id | | challenges by name |
//! | `B` task, window, kind, log, seq, id | author | committee records and aborts of a batch |
//! | `i` release, author, ~created, id | | issues on a release, by author, newest first |
//! | `c` issue, author, ~created, id | | comments on an issue, by author, newest first |
//! | `I` kind, id | | releases, challenges and issues by the start of their id |
//! | `E` subject, author, id | | endorsements of an identity |

use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId};

use crate::payload::Body;

/// Which index; the first byte of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Index {
    AuthorLogs = b'A',
    Loose = b'L',
    MayStand = b'K',
    Fork = b'F',
    Profiles = b'P',
    Certificates = b'C',
    Nodes = b'N',
    Revocations = b'X',
    ReleasesByTime = b'R',
    ReleasesByAuthor = b'r',
    ReleasesByName = b'm',
    Withdrawals = b'W',
    Uses = b'U',
    TasksByTime = b'T',
    ChallengesByTime = b'H',
    ChallengesByTask = b'h',
    ChallengesByName = b'M',
    Batches = b'B',
    Issues = b'i',
    Comments = b'c',
    Endorsements = b'E',
    Ids = b'I',
}

impl Index {
    /// The key made of these parts.
    pub(crate) fn key(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = vec![self as u8];
        for part in parts {
            key.extend_from_slice(part);
        }
        key
    }
}

/// An entry of an index: what follows the searched prefix ends in a record id.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Hit {
    /// The last 32 bytes: a record id.
    pub(crate) fn id(&self) -> Result<RecordId, StoreError> {
        let start = self.key.len().saturating_sub(32);
        RecordId::from_slice(self.key.get(start..).unwrap_or_default()).map_err(|e| self.damaged(e))
    }

    /// The eight bytes before the id: a seq.
    pub(crate) fn seq(&self) -> Result<u64, StoreError> {
        let end = self.key.len().saturating_sub(32);
        number(self.key.get(end.saturating_sub(8)..end).unwrap_or_default())
            .ok_or_else(|| self.damaged("no seq before the id"))
    }

    /// The key part at `at`, of 32 bytes.
    pub(crate) fn part(&self, at: usize) -> Result<PublicKey, StoreError> {
        PublicKey::from_slice(self.key.get(at..at.saturating_add(32)).unwrap_or_default())
            .map_err(|e| self.damaged(e))
    }

    /// The value as a number.
    pub(crate) fn number(&self) -> Result<u64, StoreError> {
        number(&self.value).ok_or_else(|| self.damaged("the value is not a number"))
    }

    /// The value as a key.
    pub(crate) fn author(&self) -> Result<PublicKey, StoreError> {
        PublicKey::from_slice(&self.value).map_err(|e| self.damaged(e))
    }

    /// The smallest key above this one: where a paged scan goes on.
    pub(crate) fn after(&self) -> Vec<u8> {
        [self.key.as_slice(), &[0]].concat()
    }

    /// The smallest key above all whose first `length` bytes are this one's: where a scan that has seen
    /// enough of one group goes on. `None` when there can be none.
    pub(crate) fn after_group(&self, length: usize) -> Option<Vec<u8>> {
        let mut key = self.key.get(..length)?.to_vec();
        while let Some(last) = key.pop() {
            if let Some(next) = last.checked_add(1) {
                key.push(next);
                return Some(key);
            }
        }
        None
    }

    fn damaged(&self, detail: impl std::fmt::Display) -> StoreError {
        StoreError::damaged(Column::Views, &self.key, detail)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Entries of `index` below the prefix made of `parts`, ascending.
pub(crate) fn hits(
    store: &dyn Read,
    index: Index,
    parts: &[&[u8]],
    limit: usize,
) -> Result<Vec<Hit>, StoreError> {
    let prefix = index.key(parts);
    hits_from(store, &prefix, &prefix, limit)
}

/// Entries whose keys start with `prefix` and are not below `from`.
pub(crate) fn hits_from(
    store: &dyn Read,
    prefix: &[u8],
    from: &[u8],
    limit: usize,
) -> Result<Vec<Hit>, StoreError> {
    let entries = store.scan(Column::Views, prefix, from, limit)?;
    Ok(entries
        .into_iter()
        .map(|(key, value)| Hit { key, value })
        .collect())
}

/// All entries of an index.
pub(crate) fn all(store: &dyn Read, index: Index, parts: &[&[u8]]) -> Result<Vec<Hit>, StoreError> {
    hits(store, index, parts, usize::MAX)
}

/// Prefix parts of one seat's records of `kind` in a batch.
pub(crate) fn batch_prefix(batch: BatchId, kind: Kind, log: &PublicKey) -> Vec<u8> {
    [
        batch.key().as_slice(),
        &kind.number().to_be_bytes(),
        log.as_bytes(),
    ]
    .concat()
}

/// Writes every index entry of a record that is being stored.
pub(crate) fn put(batch: &mut Batch, record: &Record) {
    let (header, id) = (record.header(), record.id());
    let (author, log, id) = (header.author.as_bytes(), header.log.as_bytes(), id.as_bytes());
    let seq = header.seq.to_be_bytes();
    let newest_first = (u64::MAX - header.created_at_ms).to_be_bytes();
    let kind = header.kind.number().to_be_bytes();
    let mut put = |index: Index, parts: &[&[u8]], value: &[u8]| {
        batch.put(Column::Views, index.key(parts), value);
    };
    put(Index::AuthorLogs, &[author, log], &[]);
    let Some(body) = Body::of(record) else { return };
    if may_stand(header.kind) {
        put(Index::MayStand, &[log, &seq, id], &[]);
    }
    if let Some(about) = body.batch() {
        put(Index::Batches, &[&about.key(), &kind, log, &seq, id], author);
    }
    match &body {
        Body::Profile(_) => put(Index::Profiles, &[author, id], &[]),
        Body::Certificate(certificate) => {
            let node = certificate.node_key.as_bytes();
            put(Index::Certificates, &[node, author, id], &seq);
            put(Index::Nodes, &[author, node, id], &[]);
        }
        Body::Revocation(revocation) => {
            let node = revocation.node_key.as_bytes();
            put(
                Index::Revocations,
                &[node, author, id],
                &revocation.records.to_be_bytes(),
            );
        }
        Body::Release(release) => {
            put(Index::ReleasesByTime, &[&newest_first, id], &[]);
            put(Index::ReleasesByAuthor, &[author, id], &[]);
            put(Index::ReleasesByName, &[release.name.as_bytes(), &[0], id], &[]);
            put(Index::Ids, &[&kind, id], &[]);
        }
        Body::Withdrawal(withdrawal) => put(Index::Withdrawals, &[withdrawal.release.as_bytes(), id], &[]),
        Body::Endorsement(word) => put(Index::Endorsements, &[word.subject.as_bytes(), author, id], &[]),
        Body::Task(task) => {
            put(Index::TasksByTime, &[&newest_first, id], &[]);
            for release in &task.statistics.releases {
                put(Index::Uses, &[release.as_bytes(), id], &[]);
            }
        }
        Body::Challenge(challenge) => {
            put(Index::ChallengesByTime, &[&newest_first, id], &[]);
            put(Index::ChallengesByTask, &[challenge.task.as_bytes(), id], &[]);
            put(
                Index::ChallengesByName,
                &[challenge.name.as_bytes(), &[0], id],
                &[],
            );
            put(Index::Ids, &[&kind, id], &[]);
        }
        Body::Issue(issue) => {
            let release = issue.release.as_bytes();
            put(Index::Issues, &[release, author, &newest_first, id], &[]);
            put(Index::Ids, &[&kind, id], &[]);
        }
        Body::Comment(comment) => {
            let issue = comment.issue.as_bytes();
            put(Index::Comments, &[issue, author, &newest_first, id], &[]);
        }
        _ => {}
    }
}

/// Whether records of this kind can count beyond the end of their log.
pub(crate) const fn may_stand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NodeCertificate
            | Kind::NodeRevocation
            | Kind::Release
            | Kind::Task
            | Kind::Challenge
            | Kind::Abort
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes on disk: changing one needs a migration.
    #[test]
    fn the_layout_of_a_batch_entry_is_fixed() {
        let batch = BatchId {
            task: RecordId::new([1; 32]),
            window: 2,
        };
        let prefix = batch_prefix(batch, Kind::Transcript, &PublicKey::new([3; 32]));
        let key = Index::Batches.key(&[&prefix, &7u64.to_be_bytes(), &[9; 32]]);
        let expected = [
            &b"B"[..],
            &[1; 32],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 9],
            &[3; 32],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[9; 32],
        ]
        .concat();
        assert_eq!(key, expected);
        let hit = Hit {
            key,
            value: vec![5; 32],
        };
        assert_eq!(hit.id().unwrap(), RecordId::new([9; 32]));
        assert_eq!(hit.seq().unwrap(), 7);
        assert_eq!(hit.author().unwrap(), PublicKey::new([5; 32]));
    }

    #[test]
    fn the_layout_of_issues_and_comments_is_fixed() {
        let newest_first = (u64::MAX - 0x0102).to_be_bytes();
        let expected = |letter: u8| {
            let (about, author) = ([1; 32], [2; 32]);
            let created = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xfd];
            [&[letter][..], &about, &author, &created, &[9; 32]].concat()
        };
        for (index, letter) in [(Index::Issues, b'i'), (Index::Comments, b'c')] {
            let key = index.key(&[&[1; 32], &[2; 32], &newest_first, &[9; 32]]);
            assert_eq!(key, expected(letter));
            let hit = Hit { key, value: vec![] };
            assert_eq!(hit.part(33).unwrap(), PublicKey::new([2; 32]));
            assert_eq!(hit.id().unwrap(), RecordId::new([9; 32]));
            let next = [&[letter][..], &[1; 32], &[2; 31], &[3]].concat();
            assert_eq!(hit.after_group(65), Some(next));
        }
    }

    #[test]
    fn a_group_of_the_highest_bytes_is_followed_by_the_next_that_can_be() {
        let hit = |key: &[u8]| Hit {
            key: key.to_vec(),
            value: vec![],
        };
        assert_eq!(hit(&[7, 0xff, 0xff, 1]).after_group(3), Some(vec![8]));
        assert_eq!(hit(&[0xff, 0xff, 1]).after_group(2), None);
    }
}
