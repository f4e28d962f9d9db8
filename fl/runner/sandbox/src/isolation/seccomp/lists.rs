//! Which system calls are allowed, by purpose. Whatever is on no list answers `EPERM`. Some that are on a list are
//! narrowed by their arguments where the filter is put together.

/// Memory, threads, time, signals to oneself, and reads and writes on what is open.
pub(super) const COMPUTE: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_get_mempolicy,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // Answered by the other filter.
    libc::SYS_clone3,
];

/// Older names of calls in the list above, where the architecture has them.
#[cfg(target_arch = "x86_64")]
pub(super) const COMPUTE_HERE: &[libc::c_long] = &[
    libc::SYS_poll,
    libc::SYS_time,
    libc::SYS_getrlimit,
    libc::SYS_sched_getaffinity,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const COMPUTE_HERE: &[libc::c_long] = &[];

/// Files by name, to read, and what goes with them. Which files there are is the root folder's and Landlock's
/// matter.
pub(super) const FILES: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_fadvise64,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_pselect6,
    libc::SYS_close_range,
];

/// Older names of calls in the list above, where the architecture has them.
#[cfg(target_arch = "x86_64")]
pub(super) const FILES_HERE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const FILES_HERE: &[libc::c_long] = &[];

/// Commands of `ioctl`: closing on exec, blocking, and what is asked of terminals.
pub(super) const CONTROLS: &[u64] = &[
    libc::FIOCLEX,
    libc::FIONCLEX,
    libc::FIONBIO,
    libc::FIONREAD,
    libc::TCGETS,
    libc::TIOCGWINSZ,
];

/// The bits of a command that say whose it is. Sockets have 0x89.
pub(super) const CONTROL_OWNER: u64 = 0xff00;

/// Owners of the NVIDIA driver's commands: `F`, and none for unified memory.
pub(super) const GPU_CONTROL_OWNERS: &[u64] = &[0x4600, 0];

/// What the NVIDIA driver's library asks for beyond files: memory policies, process ids, pinned memory. It binds a
/// socket of its own to an abstract name, which in this network namespace nobody else can reach, and takes away a file
/// that is not there; refused either, it does not start.
pub(super) const GPU: &[libc::c_long] = &[
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_unlink,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_timer_create,
    libc::SYS_timerfd_create,
];

/// What an interpreter needs to take the place of this process, to limit itself further, and to write to the
/// folders that are granted for writing.
pub(super) const INTERPRETER: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_seccomp,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_ftruncate,
    libc::SYS_pwrite64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_umask,
    libc::SYS_chdir,
    libc::SYS_utimensat,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
];

/// What installing packages needs: processes, sockets, and the making of files.
pub(super) const INSTALL: &[libc::c_long] = &[
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_pidfd_open,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchdir,
    libc::SYS_truncate,
    libc::SYS_fallocate,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_listxattr,
    libc::SYS_getxattr,
    libc::SYS_getgroups,
    libc::SYS_capget,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_sched_setaffinity,
];

/// Older names of calls in the list above, where the architecture has them.
#[cfg(target_arch = "x86_64")]
pub(super) const INSTALL_HERE: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_symlink,
    libc::SYS_link,
    libc::SYS_readlink,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const INSTALL_HERE: &[libc::c_long] = &[];
