//! Resource limits, and the check that nothing but this thread is alive.
//!
//! `RLIMIT_AS` is not among them: a GPU driver reserves address space it never touches. `RLIMIT_NPROC` limits threads,
//! as forking is seccomp's matter; it is set where it counts one runner alone.

use super::{LayerError, Plan};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors a runner without files may have open: its socket, standard error, two nulls, and a few that
/// Landlock and a framework need for a moment.
pub(super) const DESCRIPTORS_MAX: u64 = 16;
/// Threads beside those of pools: a driver's, a library's own.
const FURTHER_THREADS: u64 = 64;
const LAYER: &str = "limits";

/// Number of this process's threads.
fn threads_alive() -> std::io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Refuses to go on if a library has started a thread: it would stay outside Landlock.
pub(super) fn require_one_thread() -> Result<(), LayerError> {
    match threads_alive() {
        Ok(1) => Ok(()),
        Ok(threads) => Err(LayerError::new(
            "one-thread",
            "counting threads",
            format!("{threads} after warming up, 1 expected"),
        )),
        Err(error) => Err(LayerError::new("one-thread", "reading /proc/self/task", error)),
    }
}

/// Most threads of a runner with `threads` in one operation: each library in it may have a pool of that many.
pub(super) fn threads_max(threads: u32) -> u64 {
    u64::from(threads.saturating_mul(4).max(64)) + FURTHER_THREADS
}

/// Whether `RLIMIT_NPROC` counts a user within one user namespace, of which every runner has its own. Before Linux
/// 5.14 it counts all the user's processes on the machine, and one runner would use up what another is allowed.
fn counted_by_namespace(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 14),
        _ => false,
    }
}

/// Sets all limits, soft and hard, so that they cannot be raised again.
pub(super) fn set(plan: &Plan<'_>) -> Result<String, LayerError> {
    let mut limits = vec![
        (Resource::Data, "private memory", plan.memory_bytes_max),
        (Resource::Cpu, "CPU time", plan.cpu_seconds_max),
        (Resource::Nofile, "open descriptors", plan.descriptors_max),
        (Resource::Fsize, "file size", plan.file_bytes_max),
        (Resource::Core, "core dumps", 0),
        (Resource::Memlock, "locked memory", 0),
        (Resource::Msgqueue, "message queues", 0),
    ];
    let system = rustix::system::uname();
    if let Some(most) = plan.threads_max
        && counted_by_namespace(&system.release().to_string_lossy())
    {
        // What the user is allowed may be less, and cannot be raised.
        let allowed = getrlimit(Resource::Nproc).maximum;
        limits.push((Resource::Nproc, "threads", allowed.unwrap_or(most).min(most)));
    }
    for (resource, what, value) in limits {
        setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        )
        .map_err(|error| LayerError::new(LAYER, format!("limiting {what} to {value}"), error))?;
    }
    Ok(LAYER.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_limited_with_room_for_pools() {
        assert_eq!([1, 16, 32, 256].map(threads_max), [128, 128, 192, 1088]);
    }

    #[test]
    fn an_older_kernel_counts_across_runners() {
        for release in ["5.14.0-427.el9.x86_64", "5.15.0-1-generic", "6.1.0", "10.0"] {
            assert!(counted_by_namespace(release), "{release}");
        }
        for release in ["5.13.19", "4.18.0-553.el8", "5", "", "unknown"] {
            assert!(!counted_by_namespace(release), "{release}");
        }
    }
}
