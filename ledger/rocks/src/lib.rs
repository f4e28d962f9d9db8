//! The RocksDB store of a Fieldmark node: one column family per [`Column`], every commit one write batch
//! whose log is synced before it returns.
//!
//! Owns the files of the data folder, the format version ([`mod@format`]) and the memory the engine may
//! take ([`mod@tuning`]). Knows nothing of what the keys and values mean.
//!
//! One thread owns the [`RocksStore`] and commits; any number of threads read through clones of its
//! [`RocksReader`], or through a [`RocksSnapshot`] where several reads must agree. The folder is free for
//! another process once the store and every reader are dropped.

pub mod format;
pub mod tuning;

mod open;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldmark_protocol::machine::{Batch, Column, Entry, Read, Store, StoreError};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

pub use open::OpenError;

/// The store of one node, open for writing. Only one may be open on a folder.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use fieldmark_ledger_rocks::RocksStore;
/// use fieldmark_protocol::machine::{Batch, Column, Read, Store};
///
/// let mut store = RocksStore::open(dir.path())?;
/// let mut batch = Batch::new();
/// batch.put(Column::Meta, *b"key", *b"value");
/// store.commit(&batch)?; // on disk when it returns
/// assert_eq!(store.reader().get(Column::Meta, b"key")?, Some(b"value".to_vec()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RocksStore {
    reader: RocksReader,
}

impl RocksStore {
    /// Opens the store in `dir`, and creates folder and store where there are none.
    ///
    /// # Errors
    /// [`OpenError`] with what to do about it.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let db = open::open(dir, &format::CURRENT)?;
        Ok(Self {
            reader: RocksReader {
                db: Arc::new(db),
                dir: dir.into(),
            },
        })
    }

    /// Read access for another thread: sees every commit as soon as it has returned.
    #[must_use]
    pub fn reader(&self) -> RocksReader {
        self.reader.clone()
    }

    /// Read access to the store as it is now.
    #[must_use]
    pub fn snapshot(&self) -> RocksSnapshot<'_> {
        self.reader.snapshot()
    }
}

impl Read for RocksStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.reader.scan(column, prefix, from, limit)
    }
}

impl Store for RocksStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let db = &*self.reader.db;
        let mut writes = WriteBatch::default();
        for write in batch.writes() {
            let family = family(db, write.column)?;
            match &write.value {
                Some(value) => writes.put_cf(family, &write.key, value),
                None => writes.delete_cf(family, &write.key),
            }
        }
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        db.write_opt(writes, &durable)
            .map_err(|error| engine("write to its log", &self.reader.dir, error))
    }
}

/// Shared read access to an open store; a clone costs two reference counts.
#[derive(Clone)]
pub struct RocksReader {
    db: Arc<DB>,
    dir: Arc<Path>,
}

impl std::fmt::Debug for RocksReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksReader")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl RocksReader {
    /// Read access to the store as it is now, for reads that must agree with each other.
    #[must_use]
    pub fn snapshot(&self) -> RocksSnapshot<'_> {
        RocksSnapshot {
            reader: self,
            snapshot: self.db.snapshot(),
        }
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.dir.to_path_buf()
    }

    fn get_with(
        &self,
        column: Column,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let family = family(&self.db, column)?;
        self.db
            .get_cf_opt(family, key, options)
            .map_err(|error| engine("read a value", &self.dir, error))
    }

    fn scan_with(
        &self,
        column: Column,
        (prefix, from, limit): (&[u8], &[u8], usize),
        mut options: ReadOptions,
    ) -> Result<Vec<Entry>, StoreError> {
        let family = family(&self.db, column)?;
        if let Some(end) = successor(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let start = IteratorMode::From(prefix.max(from), Direction::Forward);
        let mut found = Vec::new();
        for entry in self.db.iterator_cf_opt(family, options, start).take(limit) {
            let (key, value) = entry.map_err(|error| engine("scan a column", &self.dir, error))?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.into_vec(), value.into_vec()));
        }
        Ok(found)
    }
}

impl Read for RocksReader {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_with(column, key, &ReadOptions::default())
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.scan_with(column, (prefix, from, limit), ReadOptions::default())
    }
}

/// The store at one moment. Drop it soon: the engine keeps what it shows.
pub struct RocksSnapshot<'a> {
    reader: &'a RocksReader,
    snapshot: rocksdb::Snapshot<'a>,
}

impl std::fmt::Debug for RocksSnapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksSnapshot")
            .field("dir", &self.reader.dir)
            .finish_non_exhaustive()
    }
}

impl RocksSnapshot<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options
    }
}

impl Read for RocksSnapshot<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.get_with(column, key, &self.options())
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.reader
            .scan_with(column, (prefix, from, limit), self.options())
    }
}

/// The smallest key above every key with this prefix; none when there is no such key.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

fn family(db: &DB, column: Column) -> Result<&ColumnFamily, StoreError> {
    db.cf_handle(column.name()).ok_or_else(|| StoreError::Engine {
        step: "find a column",
        detail: format!("there is no column family '{}'", column.name()),
    })
}

/// A failure of the engine.
fn engine(step: &'static str, dir: &Path, error: rocksdb::Error) -> StoreError {
    StoreError::Engine {
        step,
        detail: explained(dir, error.into_string()),
    }
}

/// What the engine said, with the fix where the cause is a common one.
fn explained(dir: &Path, said: String) -> String {
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return format!(
            "the disk under {} is full; free some space and start the node again ({said})",
            dir.display()
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use super::{explained, successor};

    #[test]
    fn the_successor_of_a_prefix_is_above_every_key_with_it() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(successor(&[255, 255]), None);
        assert_eq!(successor(b""), None);
    }

    #[test]
    fn a_full_disk_is_called_by_its_name() {
        let said = "IO error: No space left on device: While appending to file: /d/000004.log".to_owned();
        let text = explained(std::path::Path::new("/d"), said.clone());
        assert!(text.starts_with("the disk under /d is full; free some space") && text.contains(&said));
    }
}
