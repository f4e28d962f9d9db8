//! The seccomp filter: what a numerical library and its threads need ([`Calls`] says what else), and nothing
//! more.
//!
//! A list of what is allowed, because a list of what is forbidden ages with every kernel. Everything else
//! answers `EPERM` instead of killing, so that a library that merely asks (a file in `/sys`, a terminal) goes
//! on with its default. Memory may be made executable: libtorch's convolution kernels are generated at run time.

mod lists;

use super::{Calls, LayerError};
use lists::{COMPUTE, COMPUTE_HERE, FILES, FILES_HERE, GPU, INSTALL, INSTALL_HERE, INTERPRETER};
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

const LAYER: &str = "seccomp";

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

/// Bits of `clone` that make a namespace.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Puts the filters in place for all threads.
pub(super) fn restrict(calls: Calls) -> Result<String, LayerError> {
    let fail = |error: &dyn std::fmt::Display| LayerError::new(LAYER, "installing the filter", error);
    // Of two filters' answers the kernel takes the stricter: this one turns clone3, whose flags a filter
    // cannot see, into "not implemented", upon which the C library falls back to clone.
    let no_clone3 = [(libc::SYS_clone3, Vec::new())].into();
    let not_implemented = SeccompAction::Errno(Errno::NOSYS.raw_os_error().unsigned_abs());
    let first = compile(no_clone3, SeccompAction::Allow, not_implemented)?;
    let rules = allowed(calls).map_err(|error| fail(&error))?;
    let denied = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    let second = compile(rules, denied, SeccompAction::Allow)?;
    apply_filter_all_threads(&first).map_err(|error| fail(&error))?;
    apply_filter_all_threads(&second).map_err(|error| fail(&error))?;
    verify()?;
    Ok(LAYER.to_owned())
}

/// The filter that an interpreter adds to itself, before it runs anything untrusted, when it was started
/// behind [`Calls::Interpreter`]: it takes away what executing itself took (`execve`, `execveat`) and the
/// addition of further filters. The bytes are a `struct sock_filter` array in the machine's byte order, eight
/// bytes each, for `seccomp(SECCOMP_SET_MODE_FILTER, 0, &(struct sock_fprog){count, address})`.
///
/// # Errors
/// If this architecture has no filters.
pub fn no_execute_program() -> Result<Vec<u8>, LayerError> {
    let denied = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    let calls = [libc::SYS_execve, libc::SYS_execveat, libc::SYS_seccomp];
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let program = compile(rules, SeccompAction::Allow, denied)?;
    let bytes = program.iter().flat_map(|instruction| {
        let [a, b] = instruction.code.to_ne_bytes();
        let [c, d, e, f] = instruction.k.to_ne_bytes();
        [a, b, instruction.jt, instruction.jf, c, d, e, f]
    });
    Ok(bytes.collect())
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

fn allowed(calls: Calls) -> Result<Rules, seccompiler::BackendError> {
    let lists: &[&[libc::c_long]] = match calls {
        Calls::Compute => &[COMPUTE, COMPUTE_HERE],
        Calls::Gpu => &[COMPUTE, COMPUTE_HERE, FILES, FILES_HERE, GPU],
        Calls::Interpreter => &[COMPUTE, COMPUTE_HERE, FILES, FILES_HERE, INTERPRETER],
        Calls::Install => &[
            COMPUTE,
            COMPUTE_HERE,
            FILES,
            FILES_HERE,
            INTERPRETER,
            INSTALL,
            INSTALL_HERE,
        ],
    };
    let mut rules: Rules = lists
        .iter()
        .flat_map(|list| list.iter())
        .map(|call| (*call, Vec::new()))
        .collect();
    let threads = when(&[(0, i64::from(THREAD_FLAGS).unsigned_abs())])?;
    if calls == Calls::Install {
        rules.insert(libc::SYS_clone, vec![threads, no_namespace()?]);
    } else {
        rules.insert(libc::SYS_clone, vec![threads]);
        // Signals to threads of this process only.
        rules.insert(
            libc::SYS_tgkill,
            vec![when(&[(0, u64::from(std::process::id()))])?],
        );
    }
    // Reading limits, not setting them: no new value, own process.
    rules.insert(libc::SYS_prlimit64, vec![when(&[(0, 0), (2, 0)])?]);
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME];
    let names = names
        .iter()
        .map(|option| when(&[(0, i64::from(*option).unsigned_abs())]));
    rules.insert(libc::SYS_prctl, names.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// A `clone` that makes a process or thread in the namespaces there are.
fn no_namespace() -> Result<SeccompRule, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(NAMESPACE_FLAGS);
    SeccompRule::new(vec![SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        operator,
        0,
    )?])
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

    const OUTWARD: [libc::c_long; 17] = [
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
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
        libc::SYS_keyctl,
    ];
    const BY_NAME: [libc::c_long; 4] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_openat,
        libc::SYS_statx,
    ];

    #[test]
    fn nothing_that_reaches_outside_is_on_the_lists_that_releases_run_behind() {
        for calls in [Calls::Compute, Calls::Interpreter] {
            let rules = allowed(calls).unwrap();
            for call in OUTWARD {
                assert!(!rules.contains_key(&call), "{calls:?}: call {call}");
            }
            assert_eq!(rules[&libc::SYS_clone].len(), 1, "threads only");
        }
        let rules = allowed(Calls::Compute).unwrap();
        for call in BY_NAME {
            assert!(!rules.contains_key(&call), "call {call}");
        }
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_connect,
        ] {
            assert!(!allowed(Calls::Gpu).unwrap().contains_key(&call), "call {call}");
        }
    }

    #[test]
    fn all_filters_compile() {
        for calls in [Calls::Compute, Calls::Gpu, Calls::Interpreter, Calls::Install] {
            compile(
                allowed(calls).unwrap(),
                SeccompAction::Errno(1),
                SeccompAction::Allow,
            )
            .unwrap();
        }
        let program = no_execute_program().unwrap();
        assert!(!program.is_empty() && program.len().is_multiple_of(8));
    }
}
