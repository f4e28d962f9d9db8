# The last layer: a seccomp filter that takes execve away, put up from inside the interpreter before anything of the
# package or its environment is imported, and the attempts that show that every layer holds.
#
# The filter's instructions and the numbers of the system calls come from fieldmark-runner-python, which has the
# table. An attempt that worked would be harmless: signal 0, an address on no machine, a child that ends at once.

import ctypes
import errno
import os

SET_MODE_FILTER = 1
SYNCHRONISE_THREADS = 1
SET_DUMPABLE = 4

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class NotConfined(Exception):
    """The filter is not in force."""


def call(number, *arguments):
    """A raw system call. Raises OSError as the kernel answers."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(_word(one) for one in arguments))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _word(value):
    return ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_long(value)


def confine(instructions, calls, refused):
    """Closes this process to debuggers, which executing the interpreter has undone, puts the filter up for every
    thread there is, and sees that it and what stands already refuse these calls."""
    try:
        call(calls["prctl"], SET_DUMPABLE, 0)
    except OSError as error:
        raise NotConfined(f"refusing debuggers: {error.strerror}") from None
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = Program(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    try:
        call(calls["seccomp"], SET_MODE_FILTER, SYNCHRONISE_THREADS, ctypes.addressof(program))
    except OSError as error:
        raise NotConfined(f"installing the filter: {error.strerror}") from None
    attempted = {
        "execve": lambda: call(calls["execve"], b"/nowhere/fieldmark", 0, 0),
        "socket": lambda: os.close(call(calls["socket"], 1, 1, 0)),
        "fork": lambda: _fork(calls),
    }
    for name in refused:
        _expect_refusal(name, attempted[name])


def _expect_refusal(name, attempt):
    try:
        attempt()
    except OSError as error:
        if error.errno == errno.EPERM:
            return
        raise NotConfined(f"trying {name}: {error.strerror}, a refusal expected") from None
    raise NotConfined(f"trying {name}: it worked")


def _fork(calls):
    child = call(calls["clone"], 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return child


def attempts(calls):
    """Tries every way out and yields (name, denied, what the kernel answered)."""
    for name, attempt in _table(calls):
        try:
            attempt()
        except (OSError, ValueError) as error:
            yield name, True, getattr(error, "strerror", None) or str(error)
        else:
            yield name, False, "it worked"


def _table(calls):
    import socket

    parent = os.getppid()
    raw = lambda name, *arguments: lambda: call(calls[name], *arguments)
    return [
        ("open-file", lambda: os.close(os.open("/etc/passwd", os.O_RDONLY))),
        ("write-file", lambda: os.close(os.open("/tmp/fieldmark-escape", os.O_WRONLY | os.O_CREAT))),
        ("write-package", _write_package),
        ("remove-package", lambda: os.unlink(__fieldmark__["entry"])),
        ("list-root", lambda: _only_granted(os.listdir("/"))),
        ("list-home", lambda: os.listdir("/home")),
        ("stat-file", lambda: os.stat("/etc/passwd")),
        ("open-device", lambda: os.close(os.open("/dev/mem", os.O_RDONLY))),
        ("proc-of-others", lambda: os.listdir("/proc")),
        ("tcp-connect", lambda: socket.create_connection(("127.0.0.1", 80), 1).close()),
        ("udp-send", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53))),
        ("unix-socket", lambda: socket.socketpair()),
        ("netlink-socket", raw("socket", 16, 3, 0)),
        ("raw-socket", raw("socket", 2, 3, 1)),
        ("send-descriptor", raw("sendmsg", 3, 0, 0)),
        ("fork", lambda: _fork(calls)),
        ("clone3", raw("clone3", 0, 0)),
        ("new-namespace", raw("unshare", 0x10000000)),
        ("enter-namespace", raw("setns", 3, 0)),
        ("mount", raw("mount", 0, b"/", 0, 0, 0)),
        ("change-root", raw("chroot", b"/")),
        ("kill-parent", raw("kill", parent, 0)),
        ("kill-everyone", raw("kill", -1, 0)),
        ("signal-group", raw("kill", 0, 0)),
        ("pidfd-parent", raw("pidfd_open", parent, 0)),
        ("ptrace-parent", raw("ptrace", 0x4206, parent, 0, 0)),
        ("read-other-memory", raw("process_vm_readv", parent, 0, 0, 0, 0, 0)),
        ("become-root", raw("setresuid", 0, 0, 0)),
        ("raise-limits", _raise_limits),
        ("outlive-launcher", raw("prctl", 1, 0, 0, 0, 0)),
        ("allow-debuggers", raw("prctl", 4, 1, 0, 0, 0)),
        ("load-bpf", raw("bpf", 0, 0, 0)),
        ("io-uring", raw("io_uring_setup", 1, 0)),
        ("userfaultfd", raw("userfaultfd", 1)),
        ("perf-events", raw("perf_event_open", 0, 0, -1, -1, 0)),
        ("kernel-keys", raw("keyctl", 0, -3, 0, 0, 0)),
        ("memory-file", raw("memfd_create", b"escape", 0)),
        ("system-v-memory", raw("shmget", 0, 4096, 0o1600)),
        ("inherited-descriptors", _inherited_descriptors),
        ("inherited-secrets", _inherited_secrets),
        # Last: if it worked there would be nobody left to report.
        ("execute", lambda: os.execv(__fieldmark__["executable"], ["python3", "-c", "pass"])),
    ]


def _write_package():
    os.close(os.open(__fieldmark__["entry"], os.O_WRONLY))


def _only_granted(names):
    granted = {path.split("/")[1] for path in __fieldmark__["granted"]}
    if set(names) <= granted:
        raise ValueError("nothing but the folders on the way to what is granted")


def _raise_limits():
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _inherited_descriptors():
    for descriptor in range(4, 4096):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        return descriptor
    raise ValueError("none but the socket")


def _inherited_secrets():
    unknown = sorted(set(os.environ) - set(__fieldmark__["variables"]) - {"LC_CTYPE"})
    if not unknown:
        raise ValueError("none in the environment")
