//! Length-delimited frames on the inherited socket, blocking, with a limit on either direction.
//!
//! The layout is in `proto/fieldmark/v1/runner.proto`. Reads and writes are plain `read` and `write`, so that
//! no socket call needs to pass the seccomp filter.

use bytes::Bytes;
use fieldmark_proto::Message;
use fieldmark_proto::v1::{RunnerRequest, RunnerResponse, runner_response};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::sched_yield;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Bytes of the length in front of each frame.
const LENGTH_BYTES: usize = 4;

/// Room for what is read at once: a small request takes one call.
const BUFFER_BYTES: usize = 64 << 10;
/// Where requests follow each other this closely, the next one is looked for that long before the process sleeps:
/// to wake a sleeping processor takes longer than many a model. Other processes go first in the meantime.
const LOOK: Duration = Duration::from_micros(200);

/// Why the conversation with the supervisor ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FrameError {
    /// The socket failed.
    #[error("the socket to the supervisor failed: {0}")]
    Io(#[from] io::Error),
    /// A frame longer than agreed.
    #[error("a frame of {bytes} bytes, {limit} allowed")]
    TooLong {
        /// Announced length.
        bytes: usize,
        /// The limit this process was started with.
        limit: usize,
    },
    /// Not a request.
    #[error("a frame is not a request: {0}")]
    Undecodable(#[from] prost::DecodeError),
}

/// The socket to the supervisor.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: BufReader<File>,
    limit: usize,
    /// Whether the latest request came soon after the answer before it.
    pressed: bool,
}

impl Channel {
    /// The socket on descriptor 3, if that is one.
    pub(crate) fn inherited(frame_bytes_max: u32) -> Option<Self> {
        Some(Self {
            socket: BufReader::with_capacity(BUFFER_BYTES, inherited_socket()?),
            limit: usize::try_from(frame_bytes_max).ok()?,
            pressed: false,
        })
    }

    /// Longest frame in either direction.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The next request; `None` once the supervisor has closed its end between two frames.
    pub(crate) fn read(&mut self) -> Result<Option<RunnerRequest>, FrameError> {
        let started = Instant::now();
        if self.pressed && self.socket.buffer().is_empty() {
            self.look(started);
        }
        let request = read_from(&mut self.socket, self.limit);
        self.pressed = started.elapsed() <= LOOK;
        request
    }

    /// Returns once there is something to read, or at the end of [`LOOK`].
    fn look(&self, started: Instant) {
        let mut socket = [PollFd::new(self.socket.get_ref(), PollFlags::IN)];
        while started.elapsed() <= LOOK && matches!(poll(&mut socket, Some(&Timespec::default())), Ok(0)) {
            sched_yield();
        }
    }

    /// Exactly the next `bytes` raw bytes, for what follows a frame.
    pub(crate) fn raw(&mut self, bytes: u64) -> io::Take<&mut impl Read> {
        (&mut self.socket).take(bytes)
    }

    /// Sends one response. The caller has kept it within [`Channel::limit`].
    pub(crate) fn write(&mut self, response: runner_response::Response) -> Result<(), FrameError> {
        let response = RunnerResponse {
            response: Some(response),
        };
        let bytes = response.encoded_len();
        let length =
            u32::try_from(bytes)
                .ok()
                .filter(|_| bytes <= self.limit)
                .ok_or(FrameError::TooLong {
                    bytes,
                    limit: self.limit,
                })?;
        let mut frame = Vec::with_capacity(LENGTH_BYTES + bytes);
        frame.extend_from_slice(&length.to_le_bytes());
        response.encode_raw(&mut frame);
        Ok(self.socket.get_mut().write_all(&frame)?)
    }
}

/// The next request out of `source`; `None` if that is at its end.
pub(crate) fn read_from(source: &mut impl Read, limit: usize) -> Result<Option<RunnerRequest>, FrameError> {
    let mut length = [0; LENGTH_BYTES];
    match source.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let bytes = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if bytes > limit {
        return Err(FrameError::TooLong { bytes, limit });
    }
    let mut frame = Vec::with_capacity(bytes.min(BUFFER_BYTES));
    // Memory grows with what arrives, not with what is announced.
    source
        .take(u64::try_from(bytes).unwrap_or(u64::MAX))
        .read_to_end(&mut frame)?;
    if frame.len() < bytes {
        return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(RunnerRequest::decode(Bytes::from(frame))?))
}

#[expect(unsafe_code, reason = "taking over an inherited descriptor by its number")]
fn inherited_socket() -> Option<File> {
    use std::os::fd::{BorrowedFd, FromRawFd};
    const SOCKET: i32 = 3;
    // SAFETY: fcntl on any number is harmless; it fails for a descriptor that is not open.
    if unsafe { libc::fcntl(SOCKET, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: the descriptor is open, as just checked, and nothing has closed it since.
    let borrowed = unsafe { BorrowedFd::borrow_raw(SOCKET) };
    rustix::net::sockopt::socket_type(borrowed).ok()?;
    // SAFETY: the launcher passed this descriptor for this process to own; nothing else here takes it.
    Some(unsafe { File::from_raw_fd(SOCKET) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_proto::v1::RunnerSelfTest;
    use fieldmark_proto::v1::runner_request::Request;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn requests_are_read_however_soon_they_come() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut channel = Channel {
            socket: BufReader::new(File::from(OwnedFd::from(ours))),
            limit: 1024,
            pressed: true,
        };
        let request = RunnerRequest {
            request: Some(Request::SelfTest(RunnerSelfTest {})),
        };
        let bytes = request.encode_to_vec();
        let frame = [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat();
        let writer = std::thread::spawn(move || {
            for pause in [Duration::ZERO, LOOK * 20, LOOK / 4] {
                std::thread::sleep(pause);
                theirs.write_all(&frame.repeat(2)).unwrap();
            }
        });
        for _ in 0..6 {
            assert_eq!(channel.read().unwrap().as_ref(), Some(&request));
        }
        writer.join().unwrap();
        assert!(channel.read().unwrap().is_none());
    }
}
