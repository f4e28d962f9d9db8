//! The C library's allocator in a command that runs for months and loads models again and again.

/// Keeps what the process holds close to what it uses: one heap for each processor, no size beyond which large blocks
/// are kept for later, which glibc otherwise raises with every large block that is freed, and free pages between
/// blocks go back to the system once a minute. To be called before threads are started. Other C libraries are left
/// as they are.
pub(crate) fn steady() {
    #[cfg(target_env = "gnu")]
    gnu::steady();
}

#[cfg(target_env = "gnu")]
mod gnu {
    #![expect(unsafe_code, reason = "the allocator's settings have no other door")]

    use std::thread;
    use std::time::Duration;

    /// Blocks from this size on go back to the system as soon as they are free, and so does the end of a heap.
    const LARGE_BYTES: i32 = 128 << 10;
    const TRIM_EVERY: Duration = Duration::from_secs(60);
    const TRIM_STACK_BYTES: usize = 64 << 10;

    pub(super) fn steady() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let settings = [
            (libc::M_ARENA_MAX, i32::try_from(processors).unwrap_or(i32::MAX)),
            (libc::M_MMAP_THRESHOLD, LARGE_BYTES),
            (libc::M_TRIM_THRESHOLD, LARGE_BYTES),
        ];
        for (setting, value) in settings {
            // SAFETY: mallopt takes any two numbers and refuses what it does not know; what it returns says only that.
            unsafe { libc::mallopt(setting, value) };
        }
        // A server that gets no thread for it runs as well, and holds more.
        let _ = thread::Builder::new()
            .name("trim".to_owned())
            .stack_size(TRIM_STACK_BYTES)
            .spawn(|| {
                loop {
                    thread::sleep(TRIM_EVERY);
                    // SAFETY: malloc_trim takes the allocator's own locks and touches free pages only.
                    unsafe { libc::malloc_trim(0) };
                }
            });
    }
}
