//! Memory that a model's runners share with this process, for large tensors.
//!
//! An [`Arena`] is one memory file of a fixed, sealed size. Pages take memory once they are touched, so a large
//! arena costs nothing while it is empty. A [`Region`] is a part of it that is in use; it is given back when
//! its last handle is dropped. Regions start and end at page bounds, so two never share a page.
//!
//! A runner can write anywhere in its model's arena at any time. Therefore nothing here lends a slice: bytes
//! are copied in and out by address, bounds are this side's own, and what was copied out is what is looked at.
#![expect(unsafe_code, reason = "mapping memory and copying to and from it")]

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Regions are whole multiples of this.
const PAGE: usize = 4096;

/// The shared memory of one model. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct Arena(Arc<Mapping>);

#[derive(Debug)]
struct Mapping {
    file: OwnedFd,
    start: NonNull<u8>,
    bytes: usize,
    /// Free ranges: where each starts, and how long it is. No two touch.
    free: Mutex<BTreeMap<usize, usize>>,
}

// SAFETY: the pointer is to a shared mapping that lives as long as the value; bytes are only copied to and from
// it, and who may copy where is decided by the ranges, which are under a lock.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// Bytes outside a region were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at {at} are outside a region of {region_bytes} bytes")]
pub struct OutsideRegion {
    /// Where they would start.
    pub at: usize,
    /// How many they are.
    pub bytes: usize,
    /// The region's size.
    pub region_bytes: usize,
}

impl Arena {
    /// A size that serves most models: 1 GiB of addresses, no memory until it is touched.
    pub const BYTES_DEFAULT: u64 = 1 << 30;

    /// A new, empty arena of `bytes`, rounded up to whole pages.
    ///
    /// # Errors
    /// If the kernel refuses the file or the mapping.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let bytes = bytes
            .max(PAGE)
            .checked_next_multiple_of(PAGE)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let file = memfd_create("fieldmark-arena", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, u64::try_from(bytes).map_err(io::Error::other)?)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file whose size is sealed.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, rights, MapFlags::SHARED, &file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self(Arc::new(Mapping {
            file,
            start,
            bytes,
            free: Mutex::new([(0, bytes)].into()),
        })))
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.0.bytes).unwrap_or(u64::MAX)
    }

    /// A region of at least `bytes`, exactly `bytes` of which are usable; `None` while there is no such room.
    #[must_use]
    pub fn allocate(&self, bytes: usize) -> Option<Region> {
        let whole = bytes.max(1).checked_next_multiple_of(PAGE)?;
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, found) = free
            .iter()
            .find(|(_, length)| **length >= whole)
            .map(|(start, length)| (*start, *length))?;
        free.remove(&start);
        if found > whole {
            free.insert(start + whole, found - whole);
        }
        drop(free);
        let allocation = Allocation {
            mapping: self.0.clone(),
            range: start..start + whole,
        };
        Some(Region {
            allocation: Arc::new(allocation),
            start,
            bytes,
        })
    }

    /// Bytes not in use.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(free.values().sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Gives the memory behind everything that is not in use back to the system.
    pub fn trim(&self) {
        let free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        for (start, length) in free.iter() {
            if let (Ok(start), Ok(length)) = (u64::try_from(*start), u64::try_from(*length)) {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                // Where the kernel cannot, the memory stays until the arena goes.
                let _ = fallocate(&self.0.file, flags, start, length);
            }
        }
    }

    /// Whether the region lies in this arena.
    #[must_use]
    pub fn holds(&self, region: &Region) -> bool {
        Arc::ptr_eq(&self.0, &region.allocation.mapping)
    }

    /// The memory file, to be passed to a runner.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and size, and no region is left: each holds this value.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// A range in use; given back when dropped.
#[derive(Debug)]
struct Allocation {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

impl Allocation {
    fn release(&self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let mut free = self.mapping.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut start, mut end) = (range.start, range.end);
        if let Some((before, length)) = free.range(..start).next_back().map(|(at, length)| (*at, *length))
            && before + length == start
        {
            free.remove(&before);
            start = before;
        }
        if let Some(length) = free.remove(&end) {
            end += length;
        }
        free.insert(start, end - start);
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.release(self.range.clone());
    }
}

/// A part of an arena that is in use. Clones and parts are the same memory.
#[derive(Clone, Debug)]
pub struct Region {
    allocation: Arc<Allocation>,
    start: usize,
    bytes: usize,
}

impl Region {
    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it lies, counted from the arena's start.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.start
    }

    /// Copies `bytes` to `at`.
    ///
    /// # Errors
    /// If they do not all fit; nothing is then copied.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), OutsideRegion> {
        let target = self.address(at, bytes.len())?;
        // SAFETY: the range is inside this region, which is inside the mapping; `bytes` is private memory, so
        // they do not overlap. A runner that writes there at the same time spoils its own input.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        Ok(())
    }

    /// Copies from `at` on into all of `target`.
    ///
    /// # Errors
    /// If there are not that many bytes; nothing is then copied.
    pub fn read(&self, at: usize, target: &mut [u8]) -> Result<(), OutsideRegion> {
        let source = self.address(at, target.len())?;
        // SAFETY: the range is inside this region; `target` is private memory. A runner that writes there at
        // the same time changes which bytes are copied, and any bytes are valid.
        unsafe { std::ptr::copy_nonoverlapping(source, target.as_mut_ptr(), target.len()) };
        Ok(())
    }

    /// Appends all of it to `target`.
    pub fn append_to(&self, target: &mut Vec<u8>) {
        target.reserve(self.bytes);
        // SAFETY: the range is this region; the reserved space behind the vector's end is as long and private,
        // and is all written before the length covers it.
        unsafe {
            let end = target.as_mut_ptr().add(target.len());
            std::ptr::copy_nonoverlapping(
                self.allocation.mapping.start.as_ptr().add(self.start),
                end,
                self.bytes,
            );
            target.set_len(target.len() + self.bytes);
        }
    }

    /// A copy of all of it.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::new();
        self.append_to(&mut copy);
        copy
    }

    /// The `bytes` from `at` on as a region of their own, over the same memory; `None` if they are not all
    /// inside.
    #[must_use]
    pub fn part(&self, at: usize, bytes: usize) -> Option<Self> {
        let end = at.checked_add(bytes)?;
        (end <= self.bytes).then(|| Self {
            allocation: self.allocation.clone(),
            start: self.start + at,
            bytes,
        })
    }

    /// Gives back what lies behind the first `bytes`, if no other handle shares this region.
    pub(crate) fn shorten(&mut self, bytes: usize) {
        let Some(allocation) = Arc::get_mut(&mut self.allocation) else {
            return;
        };
        let kept = bytes.max(1).checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
        let end = allocation
            .range
            .start
            .saturating_add(kept)
            .min(allocation.range.end);
        let tail = end..allocation.range.end;
        allocation.range.end = end;
        allocation.release(tail);
        self.bytes = self.bytes.min(bytes);
    }

    fn address(&self, at: usize, bytes: usize) -> Result<*mut u8, OutsideRegion> {
        let inside = at.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        if !inside {
            return Err(OutsideRegion {
                at,
                bytes,
                region_bytes: self.bytes,
            });
        }
        // SAFETY: start and at are inside the mapping, as the region is.
        Ok(unsafe { self.allocation.mapping.start.as_ptr().add(self.start + at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_come_and_go_without_leaving_gaps() {
        let arena = Arena::new(10 * 4096).unwrap();
        let regions: Vec<_> = (1..=4)
            .map(|pages| arena.allocate(pages * 4096).unwrap())
            .collect();
        assert_eq!(arena.free_bytes(), 0);
        assert!(arena.allocate(1).is_none());
        for order in [[1, 3, 0, 2], [0, 1, 2, 3], [3, 2, 1, 0]] {
            let mut kept: Vec<_> = regions
                .iter()
                .map(|region| (region.offset(), region.bytes()))
                .collect();
            kept.dedup();
            assert_eq!(kept.len(), 4, "no two start at one place: {order:?}");
        }
        let mut regions: Vec<_> = regions.into_iter().map(Some).collect();
        for at in [1, 3, 0, 2] {
            regions[at] = None;
        }
        assert_eq!(arena.free_bytes(), arena.bytes());
        assert_eq!(
            arena.allocate(10 * 4096).map(|region| region.bytes()),
            Some(10 * 4096)
        );
    }

    #[test]
    fn bytes_outside_a_region_are_not_reached() {
        let arena = Arena::new(1 << 20).unwrap();
        let mut region = arena.allocate(10).unwrap();
        region.write(4, b"inside").unwrap();
        assert_eq!(region.to_vec(), b"\0\0\0\0inside");
        assert!(region.write(5, b"inside").is_err() && region.write(usize::MAX, b"x").is_err());
        assert!(region.read(10, &mut [0]).is_err() && region.part(5, 6).is_none());
        let part = region.part(4, 6).unwrap();
        drop(region);
        assert_eq!(part.to_vec(), b"inside", "a part keeps the memory");
        assert!(arena.holds(&part) && !Arena::new(1).unwrap().holds(&part));
    }

    #[test]
    fn a_shortened_region_gives_its_tail_back() {
        let arena = Arena::new(1 << 20).unwrap();
        let mut region = arena.allocate(1 << 20).unwrap();
        region.shorten(5000);
        assert_eq!((region.bytes(), arena.free_bytes()), (5000, (1 << 20) - 8192));
        drop(region);
        assert_eq!(arena.free_bytes(), 1 << 20);
    }

    #[test]
    fn trimming_empties_what_is_free_and_keeps_what_is_not() {
        let arena = Arena::new(1 << 20).unwrap();
        let mut kept = arena.allocate(8).unwrap();
        kept.write(0, b"kept one").unwrap();
        let mut freed = arena.allocate(8).unwrap();
        freed.write(0, b"too long").unwrap();
        drop(freed);
        arena.trim();
        assert_eq!(kept.to_vec(), b"kept one");
        assert_eq!(arena.allocate(8).unwrap().to_vec(), [0; 8]);
    }
}
