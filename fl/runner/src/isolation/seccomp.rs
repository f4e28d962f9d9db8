//! The seccomp filter: what a numerical library and its threads need, and nothing else.
//!
//! A list of what is allowed, because a list of what is forbidden ages with every kernel. Everything else
//! answers `EPERM` instead of killing, so that a library that merely asks (a file in `/sys`, a terminal) goes
//! on with its default. Memory may be made executable: libtorch's convolution kernels are generated at run time.

use super::LayerError;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

const LAYER: &str = "seccomp";

/// Allowed with any arguments: memory, threads, time, signals to oneself, and reads and writes on what is open.
const ALLOWED: &[libc::c_long] = &[
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
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_poll,
    libc::SYS_time,
    libc::SYS_getrlimit,
    libc::SYS_sched_getaffinity,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[libc::c_long] = &[];

/// What the C library passes to `clone` for a thread; a process shares less.
const THREAD_FLAGS: libc::c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// Puts the filters in place for all threads.
pub(super) fn restrict() -> Result<String, LayerError> {
    let fail = |error: &dyn std::fmt::Display| LayerError::new(LAYER, "installing the filter", error);
    // Of two filters' answers the kernel takes the stricter: this one turns clone3, whose flags a filter
    // cannot see, into "not implemented", upon which the C library falls back to clone.
    let no_clone3 = [(libc::SYS_clone3, Vec::new())].into();
    let not_implemented = SeccompAction::Errno(Errno::NOSYS.raw_os_error().unsigned_abs());
    let first = compile(no_clone3, SeccompAction::Allow, not_implemented)?;
    let rules = allowed().map_err(|error| fail(&error))?;
    let denied = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    let second = compile(rules, denied, SeccompAction::Allow)?;
    apply_filter_all_threads(&first).map_err(|error| fail(&error))?;
    apply_filter_all_threads(&second).map_err(|error| fail(&error))?;
    verify()?;
    Ok(LAYER.to_owned())
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, LayerError> {
    TargetArch::try_from(std::env::consts::ARCH)
        .and_then(|arch| SeccompFilter::new(rules, otherwise, matched, arch))
        .and_then(BpfProgram::try_from)
        .map_err(|error| LayerError::new(LAYER, "compiling the filter", error))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowed() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = ALLOWED
        .iter()
        .chain(ALLOWED_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    rules.insert(
        libc::SYS_clone,
        vec![when(&[(0, i64::from(THREAD_FLAGS).unsigned_abs())])?],
    );
    // Signals to threads of this process only.
    rules.insert(
        libc::SYS_tgkill,
        vec![when(&[(0, u64::from(std::process::id()))])?],
    );
    // Reading limits, not setting them: no new value, own process.
    rules.insert(libc::SYS_prlimit64, vec![when(&[(0, 0), (2, 0)])?]);
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME];
    let names = names
        .iter()
        .map(|option| when(&[(0, i64::from(*option).unsigned_abs())]));
    rules.insert(libc::SYS_prctl, names.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// All of these arguments (index, value) as given.
fn when(arguments: &[(u8, u64)]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = arguments
        .iter()
        .map(|(index, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, *value)
        })
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

/// A call that is harmless and otherwise always succeeds must now be refused.
fn verify() -> Result<(), LayerError> {
    match rustix::process::getpgid(None) {
        Err(Errno::PERM) => Ok(()),
        Err(error) => Err(LayerError::new(LAYER, "trying a call outside the list", error)),
        Ok(_) => Err(LayerError::new(
            LAYER,
            "trying a call outside the list",
            "it worked",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_reaches_outside_is_on_the_list() {
        let rules = allowed().unwrap();
        for call in [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_sendto,
            libc::SYS_sendmsg,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_openat,
            libc::SYS_kill,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_memfd_create,
            libc::SYS_process_vm_readv,
            libc::SYS_pidfd_open,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
        ] {
            assert!(!rules.contains_key(&call), "call {call}");
        }
    }

    #[test]
    fn both_filters_compile() {
        compile(allowed().unwrap(), SeccompAction::Errno(1), SeccompAction::Allow).unwrap();
    }
}
