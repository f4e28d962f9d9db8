//! The memory shared with the supervisor, as the runner sees it.
//!
//! One sealed memory file of a fixed size, inherited as descriptor 4, mapped before the layers and closed. The
//! supervisor says in each request which ranges hold inputs and which range takes outputs; a range that does
//! not fit is refused here as it is there.
#![expect(unsafe_code, reason = "mapping memory and handing out ranges of it")]

use fieldmark_proto::v1::SharedRange;
use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// The descriptor the launcher passes it on.
const DESCRIPTOR: i32 = 4;
/// Outputs start at multiples of this.
const ALIGNMENT: usize = 8;

/// The mapped memory. It stays mapped for the life of the process.
#[derive(Debug)]
pub(crate) struct Arena {
    start: NonNull<u8>,
    bytes: usize,
}

impl Arena {
    /// Maps descriptor 4, if `bytes` is not 0, and closes it.
    ///
    /// # Errors
    /// If it is no memory file of exactly that size that can neither shrink nor grow.
    pub(crate) fn inherited(bytes: u64) -> Result<Option<Self>, String> {
        if bytes == 0 {
            return Ok(None);
        }
        // SAFETY: fcntl on any number is harmless; it fails for a descriptor that is not open.
        if unsafe { libc::fcntl(DESCRIPTOR, libc::F_GETFD) } == -1 {
            return Err("it is not open".to_owned());
        }
        // SAFETY: the descriptor is open, as just checked; the launcher passed it for this process to own.
        let file = unsafe { OwnedFd::from_raw_fd(DESCRIPTOR) };
        Self::map(&file, bytes).map(Some)
    }

    fn map(file: &OwnedFd, bytes: u64) -> Result<Self, String> {
        let seals = rustix::fs::fcntl_get_seals(file).map_err(|error| error.to_string())?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err("its size is not sealed".to_owned());
        }
        let found = rustix::fs::fstat(file)
            .map_err(|error| error.to_string())?
            .st_size;
        if u64::try_from(found) != Ok(bytes) {
            return Err(format!("it has {found} bytes, {bytes} announced"));
        }
        let bytes = usize::try_from(bytes).map_err(|error| error.to_string())?;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file whose size is sealed.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, rights, MapFlags::SHARED, file, 0) };
        let start = start.map_err(|error| error.to_string())?;
        let start = NonNull::new(start.cast()).ok_or("the kernel mapped it at 0")?;
        Ok(Self { start, bytes })
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The `bytes` from `offset` on, to read; `None` if they are not all inside.
    pub(crate) fn read(&self, offset: u64, bytes: u64) -> Option<&[u8]> {
        let (offset, bytes) = self.inside(offset, bytes)?;
        // SAFETY: the range is inside the mapping, which lives as long as the process. Other writers are the
        // supervisor, which does not write a range while a request holds it, and replicas of the same release,
        // which share this one's trust: what they could break is their
        // own release's answer.
        Some(unsafe { std::slice::from_raw_parts(self.start.add(offset).as_ptr(), bytes) })
    }

    /// The window for outputs; `None` if it is not all inside. The caller has checked that no input of the
    /// same request lies in it.
    pub(crate) fn window(&self, range: SharedRange) -> Option<Window<'_>> {
        let (offset, bytes) = self.inside(range.offset, range.bytes)?;
        Some(Window {
            arena: self,
            next: offset,
            end: offset + bytes,
        })
    }

    fn inside(&self, offset: u64, bytes: u64) -> Option<(usize, usize)> {
        let (offset, bytes) = (usize::try_from(offset).ok()?, usize::try_from(bytes).ok()?);
        (offset.checked_add(bytes)? <= self.bytes).then_some((offset, bytes))
    }
}

/// The part of the shared memory that takes the outputs of one request, filled from its start.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    arena: &'a Arena,
    next: usize,
    end: usize,
}

impl Window<'_> {
    /// The next `bytes`, from a multiple of 8 on, if they fit.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<(SharedRange, &mut [u8])> {
        let start = self.next.checked_next_multiple_of(ALIGNMENT)?;
        let end = start.checked_add(bytes).filter(|end| *end <= self.end)?;
        let range = SharedRange {
            offset: u64::try_from(start).ok()?,
            bytes: u64::try_from(bytes).ok()?,
        };
        self.next = end;
        // SAFETY: the range is inside the mapping, and inside a window that no input of this request touches
        // and of which no byte is handed out twice. The supervisor reads it only after the answer.
        let target = unsafe { std::slice::from_raw_parts_mut(self.arena.start.add(start).as_ptr(), bytes) };
        Some((range, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    fn file(bytes: u64, seals: SealFlags) -> OwnedFd {
        let file = memfd_create("test", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, bytes).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file
    }

    #[test]
    fn ranges_outside_are_refused() {
        let arena = Arena::map(&file(4096, SealFlags::SHRINK | SealFlags::GROW), 4096).unwrap();
        let range = |offset, bytes| SharedRange { offset, bytes };
        let mut window = arena.window(range(4083, 13)).unwrap();
        assert!(window.take(9).is_none(), "it starts at 4088");
        let (taken, target) = window.take(8).unwrap();
        target.copy_from_slice(b"in bound");
        assert_eq!(taken, range(4088, 8));
        assert!(window.take(1).is_none());
        assert_eq!(arena.read(4088, 8), Some(&b"in bound"[..]));
        for (offset, bytes) in [(4090, 7), (4097, 0), (u64::MAX, 1), (1, u64::MAX)] {
            assert!(arena.read(offset, bytes).is_none(), "{offset} {bytes}");
            assert!(arena.window(range(offset, bytes)).is_none(), "{offset} {bytes}");
        }
    }

    #[test]
    fn a_file_that_could_shrink_or_is_of_another_size_is_refused() {
        assert!(Arena::map(&file(4096, SealFlags::GROW), 4096).is_err());
        assert!(Arena::map(&file(4096, SealFlags::SHRINK | SealFlags::GROW), 8192).is_err());
    }
}
