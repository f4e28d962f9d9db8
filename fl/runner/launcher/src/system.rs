//! The four system calls that `rustix` and `std` do not wrap. All unsafe code of the launcher is here.
#![expect(
    unsafe_code,
    reason = "raw clone, dup2, close_range and kernel feature queries have no safe wrapper"
)]

use rustix::process::Pid;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Which side of a fork we are on.
pub(crate) enum Fork {
    /// The parent, with the child's process id.
    Parent(Pid),
    /// The child.
    Child,
}

/// `fork` that also enters the namespaces named by the `CLONE_NEW*` bits in `namespaces`.
///
/// Must be called while the process has one thread: the child continues with a copy of this one only.
pub(crate) fn fork_into(namespaces: libc::c_int) -> io::Result<Fork> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack, clone is fork: the child gets a copy of the address
    // space and of the one thread there is. All pointer arguments are null and unused for these flags.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    match i32::try_from(result).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(Fork::Parent(pid)),
        None => Ok(Fork::Child),
    }
}

/// Makes descriptor `target` a copy of `source`, kept over an exec.
pub(crate) fn duplicate_onto(source: BorrowedFd<'_>, target: libc::c_int) -> io::Result<()> {
    // SAFETY: dup2 takes two integers. Whatever `target` was is closed, and the caller owns that number.
    match unsafe { libc::dup2(source.as_raw_fd(), target) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Marks every descriptor from `first` on to be closed by the next exec.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: close_range with CLOEXEC changes a flag of descriptors and touches no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_long,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The Landlock version of this kernel.
pub(crate) fn landlock_version() -> io::Result<libc::c_long> {
    const CREATE_RULESET_VERSION: libc::c_long = 1;
    // SAFETY: with this flag the pointer must be null and the size 0; the call only returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    if version < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(version)
    }
}

/// Whether seccomp filters that end a process are available.
pub(crate) fn seccomp_filters() -> io::Result<()> {
    const GET_ACTION_AVAIL: libc::c_long = 2;
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads four bytes behind the pointer, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            GET_ACTION_AVAIL,
            0_usize,
            std::ptr::from_ref(&action),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Ends this process at once, without running destructors that belong to the parent.
pub(crate) fn leave(code: libc::c_int) -> ! {
    // SAFETY: _exit takes an integer and never returns.
    unsafe { libc::_exit(code) }
}
