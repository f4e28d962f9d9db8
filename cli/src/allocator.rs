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

/// Pages that were not used for a second go back to the system, by threads of jemalloc's own, so an idle process
/// holds what it uses.
// SAFETY: jemalloc takes a pointer to a string that ends with zero, and nothing else of the program has this name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: Option<&'static u8> =
    Some(&b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0"[0]);

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn jemalloc_reads_its_settings() {
        let own = fs::read_dir("/proc/self/task").unwrap().filter_map(|thread| {
            let name = fs::read_to_string(thread.unwrap().path().join("comm")).ok()?;
            name.starts_with("jemalloc_bg").then_some(())
        });
        assert!(own.count() > 0, "no thread gives pages back");
    }
}
