//! The store on the file system.
//!
//! ```text
//! <dir>/lock                   held while the store is open
//! <dir>/tmp/<n>.data, <n>.obao imports in progress; emptied at every start
//! <dir>/pins/<hash>            an empty file per pin
//! <dir>/blobs/<2 hex>/<hash>        a complete blob, exactly its bytes
//! <dir>/blobs/<2 hex>/<hash>.obao   its tree nodes above 64 KiB groups, in pre-order, 64 bytes each
//! <dir>/blobs/<2 hex>/<hash>.part   an incomplete blob, sparse
//! <dir>/blobs/<2 hex>/<hash>.bitmap which of its groups are there (layout in `store/bitmap.rs`)
//! ```
//!
//! A blob is complete when its file without suffix exists: that name appears by a rename after data and
//! nodes were synced. Whatever a crash leaves behind is either unnamed (`tmp`), or resumed (`.part`), or an
//! orphan that the next start removes.
//!
//! Methods block on the disk. The index in memory takes about 50 bytes per blob. Access times, copies in
//! other stores and network are not its business.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::BlobError;
use crate::geometry::{BLOB_BYTES_MAX, BlobHash, groups};

pub(crate) mod bitmap;
mod import;
mod layout;
pub(crate) mod partial;
mod read;

pub use import::Imported;
use layout::Layout;
pub(crate) use partial::{AcceptError, Opened, Partial};
pub(crate) use read::BlobReader;

/// Where a store lives and how much it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Its folder, created when missing.
    pub dir: PathBuf,
    /// Most bytes of blobs, complete and incomplete, tree nodes not counted. `u64::MAX` for no limit but
    /// the disk's.
    pub quota_bytes: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Complete blobs.
    pub blobs: u64,
    /// Incomplete ones.
    pub partials: u64,
    /// Bytes of both, incomplete ones at their full size, and of imports in progress.
    pub bytes: u64,
    /// The limit.
    pub quota_bytes: u64,
}

/// What a garbage collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs, complete or not.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A store; clones share it. See the crate's example.
#[derive(Debug, Clone)]
pub struct BlobStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    layout: Layout,
    quota_bytes: u64,
    index: Mutex<Index>,
    /// Held until the last clone is dropped.
    _lock: File,
}

#[derive(Debug, Default)]
struct Index {
    complete: BTreeMap<BlobHash, u64>,
    /// Full sizes of incomplete blobs.
    partial: BTreeMap<BlobHash, u64>,
    /// Incomplete blobs with a download running.
    active: BTreeSet<BlobHash>,
    pins: BTreeSet<BlobHash>,
    /// Bytes of all of the above and of imports in progress.
    bytes: u64,
    next_temp: u64,
}

impl BlobStore {
    /// Opens or creates a store without a quota.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BlobError> {
        Self::open_with(StoreConfig {
            dir: dir.as_ref().to_path_buf(),
            quota_bytes: u64::MAX,
        })
    }

    /// Opens or creates a store, and removes what a crash left behind.
    ///
    /// # Errors
    /// [`BlobError::Locked`] when another process has it open; [`BlobError::Io`] when the folder cannot be
    /// read or written.
    pub fn open_with(config: StoreConfig) -> Result<Self, BlobError> {
        let layout = Layout::create(&config.dir)?;
        let path = layout.lock();
        let lock = File::create(&path).map_err(BlobError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BlobError::Locked { dir: config.dir }),
            Err(TryLockError::Error(source)) => return Err(BlobError::io("lock", &path)(source)),
        }
        layout.empty_temp()?;
        let found = layout.scan()?;
        let bytes = found.complete.values().chain(found.partial.values()).sum();
        let index = Index {
            complete: found.complete,
            partial: found.partial,
            pins: found.pins,
            bytes,
            ..Index::default()
        };
        let shared = Shared {
            layout,
            quota_bytes: config.quota_bytes,
            index: Mutex::new(index),
            _lock: lock,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Whether the complete blob is here.
    #[must_use]
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.index().complete.contains_key(hash)
    }

    /// Bytes of a complete blob.
    #[must_use]
    pub fn size(&self, hash: &BlobHash) -> Option<u64> {
        self.index().complete.get(hash).copied()
    }

    /// The file of a complete blob. Whoever reads it must not write to it, and should know that the bytes
    /// are only as sound as the disk: [`Self::verify`] checks them.
    #[must_use]
    pub fn path_of(&self, hash: &BlobHash) -> Option<PathBuf> {
        self.contains(hash).then(|| self.shared.layout.data(hash))
    }

    /// The file of a complete blob in the store of a folder that another process may have open.
    #[must_use]
    pub fn path_in(dir: &Path, hash: &BlobHash) -> Option<PathBuf> {
        Some(Layout::at(dir).data(hash)).filter(|path| path.is_file())
    }

    /// Every complete blob with its size, in the order of hashes.
    #[must_use]
    pub fn list(&self) -> Vec<(BlobHash, u64)> {
        self.index()
            .complete
            .iter()
            .map(|(hash, size)| (*hash, *size))
            .collect()
    }

    /// What the store holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let index = self.index();
        Usage {
            blobs: count(index.complete.len()),
            partials: count(index.partial.len()),
            bytes: index.bytes,
            quota_bytes: self.shared.quota_bytes,
        }
    }

    /// The groups of a blob of an announced size that are still to be fetched; none when it is complete.
    ///
    /// # Errors
    /// [`BlobError::SizeConflict`] when the complete blob has another size; [`BlobError::TooLarge`];
    /// [`BlobError::Io`] when the bitmap cannot be read.
    pub fn missing_groups(&self, hash: &BlobHash, size: u64) -> Result<Vec<u32>, BlobError> {
        check_size(size)?;
        match self.size(hash) {
            Some(stored) if stored == size => return Ok(Vec::new()),
            Some(stored) => {
                return Err(BlobError::SizeConflict {
                    hash: *hash,
                    stored,
                    announced: size,
                });
            }
            None => {}
        }
        let bitmap = bitmap::load(&self.shared.layout.bitmap(hash), size)?;
        Ok((0..groups(size)).filter(|group| !bitmap.has(*group)).collect())
    }

    /// Keeps a blob, here already or not, from garbage collection, also across restarts.
    ///
    /// # Errors
    /// [`BlobError::Io`] or [`BlobError::DiskFull`] when the pin cannot be written.
    pub fn pin(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let mut index = self.index();
        if !index.pins.contains(hash) {
            let path = self.shared.layout.pin(hash);
            File::create(&path)
                .and_then(|file| file.sync_all())
                .map_err(BlobError::io("write", &path))?;
            layout::sync_parent(&path)?;
            index.pins.insert(*hash);
        }
        Ok(())
    }

    /// Gives a pinned blob up; unknown pins are no error.
    ///
    /// # Errors
    /// [`BlobError::Io`] when the pin cannot be removed.
    pub fn unpin(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let mut index = self.index();
        if index.pins.remove(hash) {
            layout::remove(&self.shared.layout.pin(hash))?;
        }
        Ok(())
    }

    /// Whether a blob is pinned.
    #[must_use]
    pub fn is_pinned(&self, hash: &BlobHash) -> bool {
        self.index().pins.contains(hash)
    }

    /// Removes a blob, complete or not, pinned or not; returns its bytes. Its pin stays.
    ///
    /// # Errors
    /// [`BlobError::NotFound`]; [`BlobError::InUse`] while it is being downloaded; [`BlobError::Io`].
    pub fn remove(&self, hash: &BlobHash) -> Result<u64, BlobError> {
        self.remove_from(&mut self.index(), hash)
    }

    /// Removes every blob that is neither pinned nor in use nor being downloaded, complete or not.
    ///
    /// A blob that was imported for something not yet in `in_use` should be pinned first.
    ///
    /// # Errors
    /// [`BlobError::Io`] when a file cannot be removed; the others have been or will be next time.
    pub fn collect_garbage(&self, in_use: &BTreeSet<BlobHash>) -> Result<Collected, BlobError> {
        let mut index = self.index();
        let garbage: Vec<BlobHash> = index
            .complete
            .keys()
            .chain(index.partial.keys())
            .filter(|hash| {
                !in_use.contains(hash) && !index.pins.contains(hash) && !index.active.contains(hash)
            })
            .copied()
            .collect();
        let mut collected = Collected::default();
        for hash in garbage {
            collected.bytes += self.remove_from(&mut index, &hash)?;
            collected.blobs += 1;
        }
        Ok(collected)
    }

    fn remove_from(&self, index: &mut Index, hash: &BlobHash) -> Result<u64, BlobError> {
        if index.active.contains(hash) {
            return Err(BlobError::InUse { hash: *hash });
        }
        let layout = &self.shared.layout;
        // The data go first: without them the rest are orphans, which the next start removes.
        let size = if let Some(size) = index.complete.get(hash).copied() {
            layout::remove(&layout.data(hash))?;
            index.complete.remove(hash);
            size
        } else if let Some(size) = index.partial.get(hash).copied() {
            layout::remove(&layout.part(hash))?;
            index.partial.remove(hash);
            size
        } else {
            return Err(BlobError::NotFound { hash: *hash });
        };
        index.bytes = index.bytes.saturating_sub(size);
        layout::remove(&layout.bitmap(hash))?;
        layout::remove(&layout.outboard(hash))?;
        Ok(size)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic elsewhere cannot leave the index half-changed: each change is one insert or remove.
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for `size` bytes, or says what is in the way.
    fn reserve(&self, index: &mut Index, size: u64) -> Result<(), BlobError> {
        let quota = self.shared.quota_bytes;
        match index.bytes.checked_add(size) {
            Some(bytes) if bytes <= quota => {
                index.bytes = bytes;
                Ok(())
            }
            _ => Err(BlobError::QuotaExceeded {
                needed: size,
                used: index.bytes,
                quota,
            }),
        }
    }
}

fn check_size(size: u64) -> Result<(), BlobError> {
    if size > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge {
            size,
            size_max: BLOB_BYTES_MAX,
        });
    }
    Ok(())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Creates folders and makes them durable.
fn create_dir(path: &Path) -> Result<(), BlobError> {
    if !path.is_dir() {
        fs::create_dir_all(path).map_err(BlobError::io("create the folder", path))?;
        layout::sync_parent(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
