//! Tries to break out, in the running process and after all layers are in place, and reports by name.
//!
//! Each attempt is the system call a hostile model would make, past any library. An attempt that works would
//! be harmless: signal 0, a name that exists on no machine, a child that ends at once.
#![expect(
    unsafe_code,
    reason = "the attempts are raw system calls, as an attacker would make them"
)]

use crate::Device;
use fieldmark_proto::v1::RunnerEscapeCheck;
use libc::{c_long, syscall};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

/// An attempt: its name, and the call; the result is negative on failure, as system calls answer.
type Attempt = (&'static str, fn() -> io::Result<c_long>);

/// One attempt per way out.
const ATTEMPTS: &[Attempt] = &[
    ("open-file", || std::fs::File::open("/etc/passwd").map(|_| 0)),
    ("write-file", || {
        std::fs::write("/tmp/fieldmark-escape", b"").map(|()| 0)
    }),
    ("proc-of-others", || std::fs::read_dir("/proc").map(|_| 0)),
    ("list-root", || std::fs::read_dir("/").map(|_| 0)),
    ("stat-file", || std::fs::metadata("/etc/passwd").map(|_| 0)),
    ("open-device", || std::fs::File::open("/dev/mem").map(|_| 0)),
    ("tcp-connect", || {
        TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 80))).map(|_| 0)
    }),
    ("udp-send", || {
        UdpSocket::bind("0.0.0.0:0")?
            .send_to(b"", "192.0.2.1:53")
            .map(|_| 0)
    }),
    ("unix-socket", || UnixStream::pair().map(|_| 0)),
    ("netlink-socket", || call(libc::SYS_socket, [16, 3, 0, 0])),
    ("raw-socket", || call(libc::SYS_socket, [2, 3, 1, 0])),
    ("send-descriptor", || call(libc::SYS_sendmsg, [3, 0, 0, 0])),
    ("fork", fork),
    ("clone3", || call(libc::SYS_clone3, [0, 0, 0, 0])),
    ("new-namespace", || {
        call(libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0])
    }),
    ("enter-namespace", || call(libc::SYS_setns, [3, 0, 0, 0])),
    ("mount", || {
        call(libc::SYS_mount, [0, c"/".as_ptr() as c_long, 0, 0])
    }),
    ("change-root", || {
        call(libc::SYS_chroot, [c"/".as_ptr() as c_long, 0, 0, 0])
    }),
    ("kill-parent", || call(libc::SYS_kill, [parent(), 0, 0, 0])),
    ("kill-everyone", || call(libc::SYS_kill, [-1, 0, 0, 0])),
    ("signal-group", || call(libc::SYS_kill, [0, 0, 0, 0])),
    ("pidfd-parent", || call(libc::SYS_pidfd_open, [parent(), 0, 0, 0])),
    ("ptrace-parent", || {
        call(libc::SYS_ptrace, [0x4206, parent(), 0, 0])
    }),
    ("read-other-memory", || {
        call(libc::SYS_process_vm_readv, [parent(), 0, 0, 0])
    }),
    ("become-root", || call(libc::SYS_setresuid, [0, 0, 0, 0])),
    ("raise-limits", raise_limits),
    ("outlive-launcher", || {
        call(libc::SYS_prctl, [i64::from(libc::PR_SET_PDEATHSIG), 0, 0, 0])
    }),
    ("allow-debuggers", || {
        call(libc::SYS_prctl, [i64::from(libc::PR_SET_DUMPABLE), 1, 0, 0])
    }),
    ("load-bpf", || call(libc::SYS_bpf, [0, 0, 0, 0])),
    ("io-uring", || call(libc::SYS_io_uring_setup, [1, 0, 0, 0])),
    ("userfaultfd", || call(libc::SYS_userfaultfd, [1, 0, 0, 0])),
    ("perf-events", || call(libc::SYS_perf_event_open, [0, 0, -1, -1])),
    ("kernel-keys", || call(libc::SYS_keyctl, [0, -3, 0, 0])),
    ("memory-file", || {
        call(libc::SYS_memfd_create, [c"escape".as_ptr() as c_long, 0, 0, 0])
    }),
    ("system-v-memory", || call(libc::SYS_shmget, [0, 4096, 0o1600, 0])),
    ("inherited-descriptors", inherited_descriptors),
    ("inherited-secrets", inherited_secrets),
    // Last: if it worked there would be nobody left to report.
    ("execute", execute),
];

/// Makes every attempt. A GPU's driver holds descriptors of its own, which are not inherited, so that they are
/// not looked for there.
pub(crate) fn run(device: Device) -> Vec<RunnerEscapeCheck> {
    ATTEMPTS
        .iter()
        .filter(|(name, _)| device == Device::Cpu || *name != "inherited-descriptors")
        .map(|(name, attempt)| {
            let outcome = attempt();
            let denied = outcome.is_err();
            let detail = outcome.map_or_else(|error| error.to_string(), |_| "it worked".to_owned());
            RunnerEscapeCheck {
                name: (*name).to_owned(),
                denied,
                detail,
            }
        })
        .collect()
}

fn call(number: c_long, [a, b, c, d]: [c_long; 4]) -> io::Result<c_long> {
    // SAFETY: the calls in the table take integers, static strings, or null pointers, which the kernel answers
    // with an error; none writes to this process's memory.
    match unsafe { syscall(number, a, b, c, d, 0_i64) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

fn parent() -> c_long {
    // SAFETY: getppid has no arguments and cannot fail.
    c_long::from(unsafe { libc::getppid() })
}

fn fork() -> io::Result<c_long> {
    match call(libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0])? {
        // SAFETY: in the child, which shares nothing; it ends without touching the parent's state.
        0 => unsafe { libc::_exit(0) },
        child => Ok(child),
    }
}

fn execute() -> io::Result<c_long> {
    let program = c"/bin/true";
    let arguments = [program.as_ptr(), std::ptr::null()];
    // SAFETY: the strings and the null-ended array outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), std::ptr::null()) };
    Err(io::Error::last_os_error())
}

fn raise_limits() -> io::Result<c_long> {
    let limit = libc::rlimit64 {
        rlim_cur: libc::RLIM64_INFINITY,
        rlim_max: libc::RLIM64_INFINITY,
    };
    // SAFETY: the kernel reads the structure, which outlives the call.
    match unsafe { libc::setrlimit64(libc::RLIMIT_DATA, &raw const limit) } {
        0 => Ok(0),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Succeeds, as an attempt, if any descriptor beyond the socket is open.
fn inherited_descriptors() -> io::Result<c_long> {
    const OWN: c_long = 3;
    const SEARCHED: c_long = 4096;
    // Reading zero bytes fails with EBADF exactly if there is no such descriptor open for reading; lseek finds
    // those open for writing.
    let open = |fd: &c_long| {
        let closed =
            |result: io::Result<c_long>| result.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF));
        !closed(call(libc::SYS_lseek, [*fd, 0, 1, 0]))
    };
    match (OWN + 1..SEARCHED).find(open) {
        Some(fd) => Ok(fd),
        None => Err(io::Error::other("none but the socket")),
    }
}

/// Succeeds, as an attempt, if the environment holds anything beyond what the launcher sets and passes on, and
/// what a runner sets for its framework.
fn inherited_secrets() -> io::Result<c_long> {
    const KNOWN: [&str; 13] = [
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OMP_WAIT_POLICY",
        "LC_ALL",
        "MALLOC_ARENA_MAX",
        "MALLOC_TRIM_THRESHOLD_",
        "LD_LIBRARY_PATH",
        "RUST_BACKTRACE",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "PYTORCH_CUDA_ALLOC_CONF",
    ];
    let unknown = std::env::vars_os()
        .filter(|(name, _)| KNOWN.iter().all(|known| name != known))
        .count();
    match c_long::try_from(unknown) {
        Ok(0) => Err(io::Error::other("none in the environment")),
        _ => Ok(0),
    }
}
