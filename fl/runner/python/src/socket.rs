//! The socket on descriptor 3, for the little that is said on it before the interpreter takes over.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd as _;

use fieldmark_proto::Message as _;
use fieldmark_proto::v1::{RunnerFailed, RunnerFailureCode, RunnerResponse, runner_response::Response};

/// The descriptor the launcher passes it on.
const SOCKET: i32 = 3;
/// Longest order of a build.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Tells the supervisor why the release is not served.
pub(crate) fn say_failed(message: &str) {
    let failed = RunnerFailed {
        id: 0,
        code: RunnerFailureCode::Isolation.into(),
        message: message.to_owned(),
    };
    let body = RunnerResponse {
        response: Some(Response::Failed(failed)),
    }
    .encode_to_vec();
    let mut frame = u32::try_from(body.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes()
        .to_vec();
    frame.extend(body);
    // If nobody listens, standard error has said it.
    drop(socket().write_all(&frame));
}

/// The line that a build is told, read byte by byte: what follows is not this program's.
pub(crate) fn read_line() -> io::Result<Vec<u8>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < LINE_BYTES_MAX {
        socket().read_exact(&mut byte)?;
        if byte == *b"\n" {
            return Ok(line);
        }
        line.extend(byte);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it has no end"))
}

#[expect(unsafe_code, reason = "using an inherited descriptor by its number")]
fn socket() -> ManuallyDrop<File> {
    // SAFETY: reads and writes on a descriptor that is not open fail with an error; it is never closed here, as the
    // interpreter goes on with it.
    ManuallyDrop::new(unsafe { File::from_raw_fd(SOCKET) })
}
