//! Counts what a thread allocates, so that a length field that is believed too early is found as such and
//! not as a machine out of memory.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Most bytes that a target may hold at once beyond [`PER_INPUT_BYTE`] times its input. 64 MiB: as much as
/// a decoder with bounds of its own may keep.
pub const BYTES_MAX: usize = 64 << 20;
/// Bytes allowed for each byte of the input: prost's messages are up to two orders larger than their wire
/// form.
pub const PER_INPUT_BYTE: usize = 256;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting by thread.
#[derive(Debug)]
pub struct Counting;

fn grew(bytes: usize) {
    // A thread that ends counts no more.
    let _ = LIVE.try_with(|live| {
        let now = live.get().saturating_add(bytes);
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

fn shrank(bytes: usize) {
    let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(bytes)));
}

// SAFETY: every call is passed to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        shrank(layout.size());
        grew(new_size);
        // SAFETY: the pointer came from `System` with this layout, and the caller checked the new size.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Most bytes that `work` held at once on this thread, beyond what was held before.
pub fn peak_of(work: impl FnOnce()) -> usize {
    let before = LIVE.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    work();
    PEAK.with(Cell::get).saturating_sub(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_what_was_held_at_once() {
        let peak = peak_of(|| {
            drop(std::hint::black_box(vec![1_u8; 1 << 20]));
            drop(std::hint::black_box(vec![1_u8; 3 << 20]));
        });
        assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
    }
}
