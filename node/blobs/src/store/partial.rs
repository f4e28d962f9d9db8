//! Incomplete blobs: verified groups written in any order, resumable.
//!
//! For each group the data are written, then its tree nodes, then its bit, in three system calls without a
//! sync: a killed process loses none of them, so that a resumed download repeats at most the one group per
//! stream that was still on its way. Syncing each group would cost three disk flushes per 64 KiB. Instead
//! the files are synced every [`SYNC_GROUPS`] groups and at the end, and a resumed download first checks
//! every group that the bitmap claims: a power failure can cost groups, never leave wrong ones.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bao_tree::io::outboard::PreOrderOutboard;
use bao_tree::io::sync::{DecodeResponseIter, OutboardMut as _, encode_ranges_validated};
use bao_tree::io::{BaoContentItem, Leaf, Parent};

use super::bitmap::{self, Bitmap};
use super::{BlobStore, check_size, layout};
use crate::error::BlobError;
use crate::geometry::{BlobHash, chunk_range, group_len, group_start, groups, tree};

/// Groups between two syncs: a power failure costs at most 16 MiB.
const SYNC_GROUPS: u32 = 256;

/// The result of opening a download.
pub(crate) enum Opened {
    /// There is nothing to do.
    Complete,
    /// Groups are missing.
    Partial(Partial),
}

/// Why a group was not taken.
#[derive(Debug)]
pub(crate) enum AcceptError {
    /// The bytes are not the group's.
    Bad,
    /// They are, but could not be written.
    Store(BlobError),
}

/// An incomplete blob. While it exists no second one of the same blob is opened.
#[derive(Debug)]
pub(crate) struct Partial {
    claim: Claim,
    size: u64,
    data: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bitmap: Bitmap,
    bits: File,
    outboard: PreOrderOutboard<File>,
    unsynced: u32,
}

/// The right to write an incomplete blob, given back on drop.
#[derive(Debug)]
struct Claim {
    store: BlobStore,
    hash: BlobHash,
    /// Whether nothing of the blob was there before.
    fresh: bool,
}

impl BlobStore {
    /// Opens or resumes a download of an announced size.
    pub(crate) fn open_partial(&self, hash: &BlobHash, size: u64) -> Result<Opened, BlobError> {
        check_size(size)?;
        if size == 0 && !self.contains(hash) {
            if *hash != BlobHash::of(&[]) {
                return Err(BlobError::NotEmpty { hash: *hash });
            }
            self.import_bytes(&[])?;
        }
        let Some(claim) = self.claim(hash, size)? else {
            return Ok(Opened::Complete);
        };
        let fresh = claim.fresh;
        let opened = Partial::open(claim, size);
        if opened.is_err() && fresh {
            // Room in the quota without a file to show for it would be lost until the next start.
            let _ = self.remove(hash);
        }
        opened.map(Opened::Partial)
    }

    /// Takes the blob for one download; `None` when it is complete.
    fn claim(&self, hash: &BlobHash, size: u64) -> Result<Option<Claim>, BlobError> {
        let mut index = self.index();
        if let Some(stored) = index.complete.get(hash).copied() {
            let conflict = BlobError::SizeConflict {
                hash: *hash,
                stored,
                announced: size,
            };
            return if stored == size { Ok(None) } else { Err(conflict) };
        }
        if index.active.contains(hash) {
            return Err(BlobError::InUse { hash: *hash });
        }
        let known = index.partial.get(hash).copied();
        if let Some(stored) = known.filter(|stored| *stored != size) {
            // The last group proves a size; without it the earlier announcement may have been the lie.
            let bitmap = bitmap::load(&self.shared.layout.bitmap(hash), stored)?;
            if groups(stored).checked_sub(1).is_some_and(|last| bitmap.has(last)) {
                return Err(BlobError::SizeConflict {
                    hash: *hash,
                    stored,
                    announced: size,
                });
            }
            self.remove_from(&mut index, hash)?;
        }
        let fresh = known != Some(size);
        if fresh {
            self.reserve(&mut index, size)?;
            index.partial.insert(*hash, size);
        }
        index.active.insert(*hash);
        Ok(Some(Claim {
            store: self.clone(),
            hash: *hash,
            fresh,
        }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.index().active.remove(&self.hash);
    }
}

impl Partial {
    fn open(claim: Claim, size: u64) -> Result<Self, BlobError> {
        let layout = &claim.store.shared.layout;
        layout.create_shelf(&claim.hash)?;
        let part = layout.part(&claim.hash);
        let data = open_file(&part)?;
        data.set_len(size).map_err(BlobError::io("extend", &part))?;
        let nodes = open_file(&layout.outboard(&claim.hash))?;
        let outboard = PreOrderOutboard {
            root: claim.hash.root(),
            tree: tree(size),
            data: nodes,
        };

        let path = layout.bitmap(&claim.hash);
        let mut bitmap = bitmap::load(&path, size)?;
        drop_wrong_groups(&mut bitmap, size, &data, &outboard);
        let bits = open_file(&path)?;
        let bytes = bitmap.encode(size);
        bits.set_len(super::count(bytes.len()))
            .and_then(|()| bits.write_all_at(&bytes, 0))
            .and_then(|()| bits.sync_all())
            .map_err(BlobError::io("write", &path))?;
        layout::sync_parent(&path)?;
        let state = Mutex::new(State {
            bitmap,
            bits,
            outboard,
            unsynced: 0,
        });
        Ok(Self {
            claim,
            size,
            data,
            state,
        })
    }

    /// Number of groups that are there.
    pub(crate) fn present(&self) -> u32 {
        self.state().bitmap.present()
    }

    /// The groups that are missing, in ascending ranges.
    pub(crate) fn missing(&self) -> Vec<Range<u32>> {
        self.state().bitmap.missing()
    }

    /// Checks a group's frame against the hash and writes it; nothing is written of a wrong one.
    pub(crate) fn accept(&self, group: u32, frame: &[u8]) -> Result<(), AcceptError> {
        let decoded = decode(&self.claim.hash, self.size, group, frame);
        let (parents, leaf) = decoded.ok_or(AcceptError::Bad)?;
        self.write(group, &parents, &leaf).map_err(AcceptError::Store)
    }

    fn write(&self, group: u32, parents: &[Parent], leaf: &Leaf) -> Result<(), BlobError> {
        let layout = &self.claim.store.shared.layout;
        let hash = &self.claim.hash;
        self.data
            .write_all_at(&leaf.data, leaf.offset)
            .map_err(BlobError::io("write", &layout.part(hash)))?;
        let mut state = self.state();
        for parent in parents {
            let saved = state.outboard.save(parent.node, &parent.pair);
            saved.map_err(BlobError::io("write", &layout.outboard(hash)))?;
        }
        if let Some((place, byte)) = state.bitmap.set(group) {
            let written = state.bits.write_all_at(&[byte], place);
            if let Err(error) = written {
                state.bitmap.clear(group);
                return Err(BlobError::io("write", &layout.bitmap(hash))(error));
            }
            state.unsynced += 1;
        }
        if state.unsynced >= SYNC_GROUPS {
            self.sync(&mut state)?;
        }
        Ok(())
    }

    fn sync(&self, state: &mut State) -> Result<(), BlobError> {
        let layout = &self.claim.store.shared.layout;
        let hash = &self.claim.hash;
        self.data
            .sync_data()
            .map_err(BlobError::io("sync", &layout.part(hash)))?;
        state
            .outboard
            .data
            .sync_data()
            .map_err(BlobError::io("sync", &layout.outboard(hash)))?;
        state
            .bits
            .sync_data()
            .map_err(BlobError::io("sync", &layout.bitmap(hash)))?;
        state.unsynced = 0;
        Ok(())
    }

    /// Gives the blob its name if every group is there; returns whether that is so.
    pub(crate) fn finish(&self) -> Result<bool, BlobError> {
        let mut state = self.state();
        if !state.bitmap.is_full() {
            return Ok(false);
        }
        self.sync(&mut state)?;
        let store = &self.claim.store;
        let (layout, hash) = (&store.shared.layout, &self.claim.hash);
        let mut index = store.index();
        if index.complete.contains_key(hash) {
            // An import was faster.
            layout::remove(&layout.part(hash))?;
            index.bytes = index.bytes.saturating_sub(self.size);
        } else {
            layout::rename(&layout.part(hash), &layout.data(hash))?;
            index.complete.insert(*hash, self.size);
        }
        index.partial.remove(hash);
        layout::remove(&layout.bitmap(hash))?;
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held can at worst leave a bit unset: the group is fetched again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of a group's frame, if they are all there is in it and match the hash.
pub(crate) fn decode(hash: &BlobHash, size: u64, group: u32, frame: &[u8]) -> Option<(Vec<Parent>, Leaf)> {
    let mut rest = frame;
    let (mut parents, mut leaf) = (Vec::new(), None);
    let ranges = chunk_range(group);
    for item in DecodeResponseIter::new(hash.root(), tree(size), &mut rest, &ranges) {
        match item.ok()? {
            BaoContentItem::Parent(parent) => parents.push(parent),
            BaoContentItem::Leaf(found) => leaf = Some(found),
        }
    }
    let leaf = leaf.filter(|leaf| {
        leaf.offset == group_start(group)
            && super::count(leaf.data.len()) == group_len(size, group)
            && rest.is_empty()
    })?;
    Some((parents, leaf))
}

/// Clears the bits of groups that are not what the hash says.
fn drop_wrong_groups(bitmap: &mut Bitmap, size: u64, data: &File, outboard: &PreOrderOutboard<File>) {
    for group in (0..groups(size))
        .filter(|group| bitmap.has(*group))
        .collect::<Vec<_>>()
    {
        if encode_ranges_validated(data, outboard, &chunk_range(group), io::sink()).is_err() {
            bitmap.clear(group);
        }
    }
}

fn open_file(path: &Path) -> Result<File, BlobError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(BlobError::io("open", path))
}
