//! A hostile `predict.py`: whatever a request asks for is tried, past any library, and answered with what the kernel
//! said.

/// Does what its input names.
pub(crate) const HOSTILE: &str = r#"
import _thread, ctypes, errno, fcntl, mmap, os, socket, time

libc = ctypes.CDLL(None, use_errno=True)
OPEN = []


def call(result):
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def take_descriptors():
    while True:
        OPEN.append(os.open(__file__, os.O_RDONLY))


def take_memory():
    kept = []
    while True:
        kept.append(bytearray(b"x") * (1 << 24))


def take_threads():
    _thread.stack_size(1 << 16)
    try:
        for _ in range(1000):
            _thread.start_new_thread(time.sleep, (1_000_000,))
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None


def spin():
    while True:
        pass


def write_endlessly():
    while True:
        os.write(2, b"y" * 65536)
        os.write(1, b"y" * 65536)


ATTEMPTS = {
    "read outside": lambda: open("/etc/passwd").read(),
    "write outside": lambda: open("/tmp/fieldmark-escape", "w").write("x"),
    "TCP": lambda: socket.create_connection(("127.0.0.1", 80), 1),
    "UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    "Unix sockets": lambda: socket.socketpair(),
    # How long the list of the machine's addresses is.
    "network interfaces": lambda: fcntl.ioctl(3, 0x8912, bytes(16)),
    "signals": lambda: os.kill(os.getppid(), 0),
    "ptrace": lambda: call(libc.ptrace(0x4206, os.getppid(), 0, 0)),
    "/proc of others": lambda: os.listdir("/proc"),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "fork bomb": lambda: os.fork(),
    "thread bomb": take_threads,
    "memory bomb": take_memory,
    "shared memory": lambda: mmap.mmap(-1, 1 << 20),
    "CPU spin": spin,
    "endless output": write_endlessly,
    "huge tensors": lambda: memoryview(bytes(100 << 20)),
    "wrong shapes": lambda: [[1.0]],
    "NaN flood": lambda: [float("nan")] * 100_000,
    "segfault": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(1_000_000),
    "descriptors left open": take_descriptors,
    "core dumps": os.abort,
    "forged answers": lambda: os.write(3, b"\xff" * 64),
    "nothing": lambda: [1.0],
}


def predict(model, inputs):
    try:
        answer = ATTEMPTS[inputs["x"][0]]()
    except OSError as error:
        raise RuntimeError(f"denied: {error.strerror}") from None
    return {"y": answer if isinstance(answer, (list, memoryview)) else f"it worked: {answer!r}"}
"#;

/// Never finishes loading.
pub(crate) const SLOW_LOAD: &str = "def load(folder):\n    while True:\n        pass\n\ndef predict(model, inputs):\n    return {'y': [1.0]}\n";
