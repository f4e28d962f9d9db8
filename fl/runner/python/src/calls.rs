//! Numbers of system calls, which differ between architectures, for the bootstrap's checks and attempts.

use std::collections::BTreeMap;

const CALLS: &[(&str, libc::c_long)] = &[
    ("seccomp", libc::SYS_seccomp),
    ("execve", libc::SYS_execve),
    ("socket", libc::SYS_socket),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("sendmsg", libc::SYS_sendmsg),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("mount", libc::SYS_mount),
    ("chroot", libc::SYS_chroot),
    ("kill", libc::SYS_kill),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("setresuid", libc::SYS_setresuid),
    ("prctl", libc::SYS_prctl),
    ("bpf", libc::SYS_bpf),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("keyctl", libc::SYS_keyctl),
    ("memfd_create", libc::SYS_memfd_create),
    ("shmget", libc::SYS_shmget),
];

/// All of them by name.
pub(crate) fn numbers() -> BTreeMap<&'static str, libc::c_long> {
    CALLS.iter().copied().collect()
}
