//! The C library's allocator in a command that runs for months and loads models again and again.

/// Blocks from this size on go back to the system as soon as they are free, and so does the end of a heap.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: i32 = 128 << 10;

/// Keeps what the process holds close to what it uses: one heap for each processor, and no size beyond which large
/// blocks are kept for later, which glibc otherwise raises with every large block that is freed. To be called
/// before threads are started. Other C libraries are left as they are.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the allocator's settings have no other door")]
pub(crate) fn steady() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = [
        (libc::M_ARENA_MAX, i32::try_from(processors).unwrap_or(i32::MAX)),
        (libc::M_MMAP_THRESHOLD, LARGE_BYTES),
        (libc::M_TRIM_THRESHOLD, LARGE_BYTES),
    ];
    for (setting, value) in settings {
        // SAFETY: mallopt takes any two numbers and refuses what it does not know; what it returns says only that.
        unsafe { libc::mallopt(setting, value) };
    }
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn steady() {}
