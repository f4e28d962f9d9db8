//! Taking bytes in: one pass that copies, hashes twice and collects the tree nodes.
//!
//! The copy goes to `tmp` and gets its name, the hash, by a rename after everything was synced. Until then
//! nothing refers to it, so that a failure at any point leaves the store as it was.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bao_tree::io::outboard::PreOrderOutboard;
use sha2::{Digest as _, Sha256};

use super::{BlobStore, check_size, layout};
use crate::error::BlobError;
use crate::geometry::{BlobHash, tree};

/// What an import found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// BLAKE3, the blob's name.
    pub hash: BlobHash,
    /// SHA-256, for tools that know no BLAKE3.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// Whether the store had the blob before.
    pub already_stored: bool,
}

impl BlobStore {
    /// Copies a file into the store.
    ///
    /// # Errors
    /// [`BlobError::QuotaExceeded`] and [`BlobError::DiskFull`]; [`BlobError::SourceChanged`] when the file
    /// changes meanwhile; [`BlobError::TooLarge`]; [`BlobError::Io`].
    pub fn import_path(&self, path: &Path) -> Result<Imported, BlobError> {
        let source = File::open(path).map_err(BlobError::io("open", path))?;
        let size = source.metadata().map_err(BlobError::io("read", path))?.len();
        self.import(source, size, path)
    }

    /// Copies bytes into the store.
    ///
    /// # Errors
    /// As [`Self::import_path`].
    pub fn import_bytes(&self, bytes: &[u8]) -> Result<Imported, BlobError> {
        self.import(bytes, super::count(bytes.len()), Path::new("bytes in memory"))
    }

    pub(super) fn import(
        &self,
        source: impl Read,
        size: u64,
        source_path: &Path,
    ) -> Result<Imported, BlobError> {
        check_size(size)?;
        let mut room = Room::take(self, size)?;
        let (hash, sha256) = room.copy(source, source_path)?;
        let already_stored = room.commit(&hash)?;
        Ok(Imported {
            hash,
            sha256,
            size,
            already_stored,
        })
    }
}

/// Room in the quota and two temporary files; given back and removed when dropped uncommitted.
struct Room<'a> {
    store: &'a BlobStore,
    size: u64,
    data: PathBuf,
    outboard: PathBuf,
    committed: bool,
}

impl<'a> Room<'a> {
    fn take(store: &'a BlobStore, size: u64) -> Result<Self, BlobError> {
        let mut index = store.index();
        store.reserve(&mut index, size)?;
        let number = index.next_temp;
        index.next_temp += 1;
        let layout = &store.shared.layout;
        Ok(Self {
            store,
            size,
            data: layout.temp_data(number),
            outboard: layout.temp_outboard(number),
            committed: false,
        })
    }

    /// Copies the source and returns its two hashes.
    fn copy(&mut self, source: impl Read, source_path: &Path) -> Result<(BlobHash, [u8; 32]), BlobError> {
        let data = File::create_new(&self.data).map_err(BlobError::io("create", &self.data))?;
        let nodes = File::create_new(&self.outboard).map_err(BlobError::io("create", &self.outboard))?;
        let mut tee = Tee {
            source,
            copy: data,
            sha256: Sha256::new(),
            fault: None,
        };
        let tree = tree(self.size);
        let mut outboard = PreOrderOutboard {
            root: blake3::Hash::from_bytes([0; 32]),
            tree,
            data: nodes,
        };
        let hashed = bao_tree::io::sync::outboard(&mut tee, tree, &mut outboard);
        let root = hashed.map_err(|error| self.blame(error, tee.fault, source_path))?;
        if tee
            .source
            .read(&mut [0; 1])
            .map_err(BlobError::io("read", source_path))?
            != 0
        {
            return Err(BlobError::SourceChanged {
                path: source_path.to_path_buf(),
            });
        }
        tee.copy.sync_all().map_err(BlobError::io("sync", &self.data))?;
        outboard
            .data
            .sync_all()
            .map_err(BlobError::io("sync", &self.outboard))?;
        Ok((BlobHash(*root.as_bytes()), tee.sha256.finalize().into()))
    }

    /// Says which of the three files an error belongs to.
    fn blame(&self, error: io::Error, fault: Option<Fault>, source_path: &Path) -> BlobError {
        match fault {
            Some(Fault::Copy) => BlobError::io("write", &self.data)(error),
            Some(Fault::Source) => BlobError::io("read", source_path)(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => BlobError::SourceChanged {
                path: source_path.to_path_buf(),
            },
            None => BlobError::io("write", &self.outboard)(error),
        }
    }

    /// Gives the copy its name; returns whether the store had the blob already.
    ///
    /// `self` is only borrowed: it is dropped after the index is unlocked, for its drop locks it again.
    fn commit(&mut self, hash: &BlobHash) -> Result<bool, BlobError> {
        let store = self.store;
        let mut index = store.index();
        if index.complete.contains_key(hash) {
            return Ok(true);
        }
        let layout = &store.shared.layout;
        layout.create_shelf(hash)?;
        layout::rename(&self.outboard, &layout.outboard(hash))?;
        layout::rename(&self.data, &layout.data(hash))?;
        self.committed = true;
        index.complete.insert(*hash, self.size);
        // A download of the same blob that runs now finds the blob complete when it finishes.
        if !index.active.contains(hash)
            && let Some(size) = index.partial.remove(hash)
        {
            index.bytes = index.bytes.saturating_sub(size);
            layout::remove(&layout.part(hash))?;
            layout::remove(&layout.bitmap(hash))?;
        }
        Ok(false)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let mut index = self.store.index();
        index.bytes = index.bytes.saturating_sub(self.size);
        drop(index);
        for path in [&self.data, &self.outboard] {
            if let Err(error) = layout::remove(path) {
                tracing::warn!(%error, "a temporary file stays until the next start");
            }
        }
    }
}

/// Which side failed while bytes passed through.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Source,
    Copy,
}

/// Reads from a source, writes what was read to a copy and hashes it.
struct Tee<R> {
    source: R,
    copy: File,
    sha256: Sha256,
    fault: Option<Fault>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .source
            .read(buffer)
            .inspect_err(|_| self.fault = Some(Fault::Source))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        self.copy
            .write_all(bytes)
            .inspect_err(|_| self.fault = Some(Fault::Copy))?;
        self.sha256.update(bytes);
        Ok(read)
    }
}
