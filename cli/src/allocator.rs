//! The allocator: jemalloc, because commands run for months and load models again and again.
//!
//! Its blocks of one size lie together, so what a loaded model leaves behind is filled again by the next one. glibc's
//! allocator keeps blocks of all sizes side by side and, over an hour of loads, held ever more half-used pages.
//! Libraries in C++ keep the system's.

#![expect(
    unsafe_code,
    reason = "jemalloc reads its settings from a symbol of that name"
)]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Pages that were not used for a second go back to the system, by a thread of jemalloc's own, so an idle process
/// holds what it uses.
// SAFETY: jemalloc takes a pointer to a string that ends with zero, and nothing else of the program has this name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: Option<&'static u8> =
    Some(&b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0"[0]);
