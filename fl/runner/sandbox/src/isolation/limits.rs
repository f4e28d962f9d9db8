//! Resource limits, and the check that nothing but this thread is alive.
//!
//! `RLIMIT_AS` is not among them (a GPU driver reserves address space it never touches), nor is
//! `RLIMIT_NPROC` (it counts a user's processes everywhere and root ignores it): forking is seccomp's matter.

use super::{LayerError, Plan};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Descriptors a runner without files may have open: its socket, standard error, two nulls, and a few that
/// Landlock and a framework need for a moment.
pub(super) const DESCRIPTORS_MAX: u64 = 16;
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

/// Sets all limits, soft and hard, so that they cannot be raised again.
pub(super) fn set(plan: &Plan<'_>) -> Result<String, LayerError> {
    let limits = [
        (Resource::Data, "private memory", plan.memory_bytes_max),
        (Resource::Cpu, "CPU time", plan.cpu_seconds_max),
        (Resource::Nofile, "open descriptors", plan.descriptors_max),
        (Resource::Fsize, "file size", plan.file_bytes_max),
        (Resource::Core, "core dumps", 0),
        (Resource::Memlock, "locked memory", 0),
        (Resource::Msgqueue, "message queues", 0),
    ];
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
