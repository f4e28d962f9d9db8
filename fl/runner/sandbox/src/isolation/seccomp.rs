//! The seccomp filter: what a numerical library and its threads need ([`Calls`] says what else), and nothing
//! more.
//!
//! A list of what is allowed, because a list of what is forbidden ages with every kernel. Everything else
//! answers `EPERM` instead of killing, so that a library that merely asks (a file in `/sys`, a terminal) goes
//! on with its default. Memory may be made executable: libtorch's convolution kernels are generated at run time.

mod lists;

use super::{Calls, LayerError};
use lists::{
    COMPUTE, COMPUTE_HERE, CONTROL_OWNER, CONTROLS, FILES, FILES_HERE, GPU, GPU_CONTROL_OWNERS, INSTALL,
    INSTALL_HERE, INTERPRETER,
};
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

/// Bits of `mmap` for memory that grows by itself, or comes from the machine's huge pages.
const UNCOUNTED_FLAGS: libc::c_int = libc::MAP_GROWSDOWN | libc::MAP_HUGETLB;

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
        // Processes and threads, in the namespaces there are.
        rules.insert(libc::SYS_clone, vec![threads, masked(0, NAMESPACE_FLAGS, 0)?]);
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
    let option = |option: libc::c_int| (0, i64::from(option).unsigned_abs());
    let mut options = vec![
        when(&[option(libc::PR_SET_NAME)])?,
        when(&[option(libc::PR_GET_NAME)])?,
    ];
    if matches!(calls, Calls::Interpreter | Calls::Install) {
        // Closing itself to debuggers: executing the interpreter has undone it.
        options.push(when(&[option(libc::PR_SET_DUMPABLE), (1, 0)])?);
    }
    rules.insert(libc::SYS_prctl, options);
    if matches!(calls, Calls::Compute | Calls::Interpreter) {
        rules.insert(libc::SYS_mmap, counted_memory()?);
    }
    if matches!(calls, Calls::Gpu | Calls::Interpreter) {
        rules.insert(libc::SYS_ioctl, controls(calls)?);
    }
    if calls == Calls::Gpu {
        let kind = i64::from(libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC).unsigned_abs();
        let family = i64::from(libc::AF_UNIX).unsigned_abs();
        rules.insert(libc::SYS_socket, vec![when(&[(0, family), (1, kind), (2, 0)])?]);
    }
    Ok(rules)
}

/// Mappings of files, and private memory. Shared memory without a file is in no limit on a process, nor in what a
/// process is seen to use once it lets go of the pages.
fn counted_memory() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let [anonymous, shared, uncounted] =
        [libc::MAP_ANONYMOUS, libc::MAP_SHARED, UNCOUNTED_FLAGS].map(|flags| i64::from(flags).unsigned_abs());
    Ok(vec![
        masked(3, anonymous | uncounted, 0)?,
        masked(3, shared | uncounted, 0)?,
    ])
}

/// Not those of sockets: the supervisor's socket would tell about the machine's network.
fn controls(calls: Calls) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let owners: &[u64] = match calls {
        Calls::Gpu => GPU_CONTROL_OWNERS,
        _ => &[],
    };
    let driver = owners.iter().map(|owner| masked(1, CONTROL_OWNER, *owner));
    CONTROLS
        .iter()
        .map(|command| when(&[(1, *command)]))
        .chain(driver)
        .collect()
}

/// The bits of `mask` in argument `index` as given.
fn masked(index: u8, mask: u64, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompRule::new(vec![SeccompCondition::new(
        index,
        SeccompCmpArgLen::Qword,
        operator,
        value,
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

    /// Whether the filter lets a call through: runs its program, of the few instructions that the compiler uses.
    fn lets_through(calls: Calls, number: libc::c_long, arguments: &[u64]) -> bool {
        let denied = SeccompAction::Errno(1);
        let program = compile(allowed(calls).unwrap(), denied, SeccompAction::Allow).unwrap();
        // What the kernel shows it: number, architecture, two words of an address, the arguments. The second
        // instruction asks for the architecture.
        let mut words = vec![u32::try_from(number).unwrap(), program[1].k, 0, 0];
        words.extend(
            arguments
                .iter()
                .flat_map(|value| [value & 0xffff_ffff, value >> 32])
                .map(|half| u32::try_from(half).unwrap()),
        );
        words.resize(16, 0);
        let (mut at, mut word) = (0, 0);
        loop {
            let instruction = &program[at];
            let operand = usize::try_from(instruction.k).unwrap();
            let jump = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
            at += 1;
            match instruction.code {
                0x20 => word = words[operand / 4],
                0x54 => word &= instruction.k,
                0x05 => at += operand,
                0x15 => at += jump(word == instruction.k),
                0x06 => return instruction.k == libc::SECCOMP_RET_ALLOW,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn memory_that_no_limit_counts_is_refused() {
        let maps = |calls, flags: libc::c_int| {
            let flags = i64::from(flags).unsigned_abs();
            lets_through(calls, libc::SYS_mmap, &[0, 4096, 3, flags, u64::MAX, 0])
        };
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        for calls in [Calls::Compute, Calls::Interpreter] {
            for flags in [
                private,
                private | libc::MAP_STACK | libc::MAP_NORESERVE,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                libc::MAP_SHARED,
            ] {
                assert!(maps(calls, flags), "{calls:?} {flags:#x}");
            }
            for flags in [
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                libc::MAP_SHARED_VALIDATE | libc::MAP_ANONYMOUS,
                private | libc::MAP_GROWSDOWN,
                private | libc::MAP_HUGETLB,
            ] {
                assert!(!maps(calls, flags), "{calls:?} {flags:#x}");
            }
        }
        assert!(maps(Calls::Gpu, libc::MAP_SHARED | libc::MAP_ANONYMOUS));
    }

    #[test]
    fn a_gpu_runner_makes_the_one_kind_of_socket_that_its_driver_needs() {
        let makes = |family: libc::c_int, kind: libc::c_int| {
            let [family, kind] = [family, kind].map(|value| i64::from(value).unsigned_abs());
            lets_through(Calls::Gpu, libc::SYS_socket, &[family, kind, 0])
        };
        assert!(makes(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC));
        for (family, kind) in [
            (libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC),
            (libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC),
            (libc::AF_NETLINK, libc::SOCK_RAW),
        ] {
            assert!(!makes(family, kind), "{family} {kind:#x}");
        }
    }

    #[test]
    fn no_socket_is_asked_about_the_network_and_no_debugger_let_in() {
        let controls = |calls, command| lets_through(calls, libc::SYS_ioctl, &[3, command]);
        for calls in [Calls::Gpu, Calls::Interpreter] {
            for command in [0x8912, 0x8915, 0x8927, 0x5412] {
                assert!(!controls(calls, command), "{calls:?} {command:#x}");
            }
            assert!(controls(calls, libc::FIOCLEX) && controls(calls, libc::TCGETS));
        }
        for command in [0xc020_462a, 0x3000_0001, 37] {
            assert!(controls(Calls::Gpu, command), "{command:#x}");
            assert!(!controls(Calls::Interpreter, command), "{command:#x}");
        }
        let dumpable = |calls, value| lets_through(calls, libc::SYS_prctl, &[4, value]);
        assert!(dumpable(Calls::Interpreter, 0) && !dumpable(Calls::Interpreter, 1));
        assert!(!dumpable(Calls::Compute, 0));
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
