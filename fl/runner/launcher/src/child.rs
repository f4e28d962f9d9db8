//! What happens between the fork and the exec, in the child.

use crate::{Isolation, LayerFailure, Run, system};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Environment the runner keeps, if set: where libraries are, which GPUs it sees in which order, and which kernels
/// `OpenBLAS` takes. Everything else may hold secrets.
const ENVIRONMENT_KEPT: [&str; 6] = [
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
];
/// Environment the runner is given: libraries start with one thread, an idle one does not
/// spin, and freed memory is given back.
const ENVIRONMENT_SET: [(&str, &str); 6] = [
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("OMP_WAIT_POLICY", "passive"),
    ("LC_ALL", "C.UTF-8"),
    // Many runners share a machine: freed memory goes back to it.
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
];
/// The descriptor on which the runner finds its socket.
const SOCKET: libc::c_int = 3;
/// The descriptor on which it finds the shared memory, if there is some.
const MEMORY: libc::c_int = 4;

/// Prepares this process and turns it into the runner. Returns only on failure.
///
/// `go` is readable once the parent has written the id maps; if the parent died, it ends without a byte.
pub(crate) fn become_runner(
    run: &Run,
    mut go: File,
    memory: Option<OwnedFd>,
    extra: &[OsString],
) -> LayerFailure {
    if let Err(error) = go.read_exact(&mut [0]) {
        return LayerFailure::new("launcher", "waiting for the id maps", error);
    }
    drop(go);
    match prepare(run.isolation, memory) {
        Err(failure) => failure,
        Ok(()) => execute(&run.command, extra),
    }
}

fn prepare(isolation: Isolation, memory: Option<OwnedFd>) -> Result<(), LayerFailure> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| LayerFailure::new("parent-death-signal", "asking for it", error))?;
    // A session of its own: signals to a process group cannot reach the supervisor's.
    setsid().map_err(|error| LayerFailure::new("session", "starting one", error))?;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .map_err(|error| LayerFailure::new("limits", "forbidding core dumps", error))?;
    if isolation == Isolation::Required {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(|error| LayerFailure::new("mount-namespace", "making mounts private", error))?;
        keep_mount_capability()
            .map_err(|error| LayerFailure::new("mount-namespace", "keeping the right to mount", error))?;
    }
    hand_over(memory)
        .map_err(|error| LayerFailure::new("descriptors", "passing only the socket and memory on", error))
}

/// Lets an ordinary user's runner keep one capability, in its own namespaces only, over the exec: the runner
/// needs it to replace its root folder by an empty one, and then drops it.
fn keep_mount_capability() -> rustix::io::Result<()> {
    let sets = capabilities(None)?;
    let inheritable = sets.inheritable | CapabilitySet::SYS_ADMIN;
    set_capabilities(None, CapabilitySets { inheritable, ..sets })?;
    configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)
}

fn hand_over(memory: Option<OwnedFd>) -> std::io::Result<()> {
    // Out of the way of the numbers below: what lies on 3 or 4 now is closed by being replaced.
    let memory = memory
        .map(|memory| rustix::io::fcntl_dupfd_cloexec(memory, MEMORY + 1))
        .transpose()?;
    system::duplicate_onto(std::io::stdin().as_fd(), SOCKET)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    system::duplicate_onto(null.as_fd(), libc::STDIN_FILENO)?;
    system::duplicate_onto(null.as_fd(), libc::STDOUT_FILENO)?;
    // It may have the number that the memory is to get, and closing it later would close the memory.
    drop(null);
    match memory {
        Some(memory) => {
            system::duplicate_onto(memory.as_fd(), MEMORY)?;
            system::close_on_exec_from(MEMORY.unsigned_abs() + 1)
        }
        None => system::close_on_exec_from(SOCKET.unsigned_abs() + 1),
    }
}

fn execute(command: &[OsString], extra: &[OsString]) -> LayerFailure {
    let Some((program, arguments)) = command.split_first() else {
        return LayerFailure::new("runner", "executing it", "no program given");
    };
    let kept = ENVIRONMENT_KEPT
        .iter()
        .filter_map(|name| std::env::var_os(name).map(|value| (*name, value)));
    let error = Command::new(program)
        .args(arguments)
        .args(extra)
        .env_clear()
        .envs(kept)
        .envs(ENVIRONMENT_SET)
        .exec();
    LayerFailure::new("runner", format!("executing {}", program.display()), error)
}
