//! Length-delimited frames, asynchronous side. The layout is in `proto/fieldmark/v1/runner.proto`.
//!
//! What a runner sends is weighed before it is decoded, and its texts are one plain line each afterwards: a hostile
//! model may write frames of its own.

use bytes::{Buf, BytesMut};
use fieldmark_proto::Message;
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{
    RunnerEscapeCheck, RunnerInferred, RunnerReady, RunnerRequest, RunnerResponse, SharedRange, Tensor,
};
use fieldmark_proto::walk::{Part, unfolded};
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::net::UnixStream;

/// Bytes of the length in front of each frame.
const LENGTH_BYTES: usize = 4;
/// Room made for each read.
const READ_BYTES: usize = 16 << 10;
/// What every response may take once decoded.
const UNFOLDED_BYTES_MIN: usize = 64 << 20;
/// How many times its length a longer one may.
const UNFOLDED_FACTOR: usize = 4;
/// Longest text of a runner, in characters.
const TEXT_MAX: usize = 2048;

/// The conversation cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The runner's end is closed: it has ended or is about to.
    Closed,
    /// The runner sent something that is no response.
    Nonsense(String),
}

/// The request as it goes over the socket.
pub(crate) fn encode(request: Request) -> Vec<u8> {
    let request = RunnerRequest {
        request: Some(request),
    };
    let bytes = request.encoded_len();
    let mut frame = Vec::with_capacity(LENGTH_BYTES + bytes);
    frame.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
    request.encode_raw(&mut frame);
    frame
}

/// Length of a request without its frame.
pub(crate) fn message_bytes(frame: &[u8]) -> usize {
    frame.len().saturating_sub(LENGTH_BYTES)
}

/// The socket to a runner, and what was read from it beyond the last response.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Arc<UnixStream>,
    received: BytesMut,
    limit: u32,
}

impl Channel {
    /// Responses are at most `limit` bytes long.
    pub(crate) fn new(socket: UnixStream, limit: u32) -> Self {
        Self {
            socket: Arc::new(socket),
            received: BytesMut::new(),
            limit,
        }
    }

    /// The socket, for whoever must be able to shut it down without keeping it open.
    pub(crate) fn socket(&self) -> &Arc<UnixStream> {
        &self.socket
    }

    /// Sends an encoded request, or whatever follows one.
    pub(crate) async fn write(&self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.socket.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.writable().await.map_err(|_| Broken::Closed)?;
                }
                Err(_) => return Err(Broken::Closed),
            }
        }
        Ok(())
    }

    /// The next response.
    pub(crate) async fn read(&mut self) -> Result<Response, Broken> {
        loop {
            if let Some(response) = split(&mut self.received, self.limit)? {
                return Ok(response);
            }
            // Memory grows with what arrives, not with what is announced.
            self.received.reserve(READ_BYTES);
            match self.socket.try_read_buf(&mut self.received) {
                Ok(0) => return Err(Broken::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.readable().await.map_err(|_| Broken::Closed)?;
                }
                Err(_) => return Err(Broken::Closed),
            }
        }
    }
}

/// Takes the first response off `received`; `None` while it is not there as a whole.
pub(crate) fn split(received: &mut BytesMut, limit: u32) -> Result<Option<Response>, Broken> {
    let Some(length) = received.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let bytes = u32::from_le_bytes(*length);
    if bytes > limit {
        return Err(Broken::Nonsense(format!(
            "it announced a response of {bytes} bytes, {limit} allowed"
        )));
    }
    let whole = usize::try_from(bytes)
        .unwrap_or(usize::MAX)
        .saturating_add(LENGTH_BYTES);
    if received.len() < whole {
        return Ok(None);
    }
    let mut frame = received.split_to(whole);
    frame.advance(LENGTH_BYTES);
    let unreadable =
        |error: &dyn std::fmt::Display| Broken::Nonsense(format!("its response cannot be read: {error}"));
    let weight = unfolded(&frame, Inside::Response, &part).map_err(|error| unreadable(&error))?;
    if weight > UNFOLDED_BYTES_MIN.max(frame.len().saturating_mul(UNFOLDED_FACTOR)) {
        return Err(Broken::Nonsense(format!(
            "its response of {bytes} bytes would take {weight} bytes of memory"
        )));
    }
    let decoded = RunnerResponse::decode(frame.freeze()).map_err(|error| unreadable(&error))?;
    let response = decoded.response;
    response
        .map(|response| Some(plain(response)))
        .ok_or_else(|| Broken::Nonsense("it sent an empty response".to_owned()))
}

/// The messages of a response.
#[derive(Clone, Copy, Debug)]
enum Inside {
    Response,
    Ready,
    Inferred,
    Tensor,
    Range,
    SelfTested,
    Check,
    Failed,
}

fn part(inside: Inside, field: u32) -> Option<Part<Inside>> {
    Some(match (inside, field) {
        (Inside::Response, 1) => Part::message::<RunnerReady>(Inside::Ready),
        (Inside::Response, 3) => Part::message::<RunnerInferred>(Inside::Inferred),
        (Inside::Response, 4) => Part::message::<()>(Inside::SelfTested),
        (Inside::Response, 5) => Part::message::<()>(Inside::Failed),
        (Inside::Inferred, 2) => Part::message::<Tensor>(Inside::Tensor),
        (Inside::Tensor, 3) => Part::numbers(),
        (Inside::Tensor, 6) => Part::message::<SharedRange>(Inside::Range),
        (Inside::SelfTested, 1) => Part::message::<RunnerEscapeCheck>(Inside::Check),
        (Inside::Ready, 1) | (Inside::Tensor, 5) => Part::texts(),
        (Inside::Ready, 3 | 5)
        | (Inside::Tensor, 1 | 2 | 4)
        | (Inside::Check, 1 | 3)
        | (Inside::Failed, 3) => Part::text(),
        _ => return None,
    })
}

/// Makes every text of a response that people read one line without control characters.
fn plain(mut response: Response) -> Response {
    let plain = |text: &mut String| {
        *text = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(TEXT_MAX)
            .collect();
    };
    match &mut response {
        Response::Ready(ready) => {
            ready.layers.iter_mut().for_each(plain);
            plain(&mut ready.device);
            plain(&mut ready.runtime);
        }
        Response::SelfTested(tested) => {
            for check in &mut tested.checks {
                plain(&mut check.name);
                plain(&mut check.detail);
            }
        }
        Response::Failed(failed) => plain(&mut failed.message),
        Response::Loaded(_) | Response::Inferred(_) => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_proto::v1::RunnerShutdown;

    #[test]
    fn a_frame_is_a_little_endian_length_and_a_message() {
        assert_eq!(
            encode(Request::Shutdown(RunnerShutdown {})),
            [2, 0, 0, 0, 0x22, 0]
        );
    }

    #[test]
    fn responses_are_found_however_they_are_cut() {
        let loaded = b"\x04\0\0\0\x12\x02\x08\x07";
        let mut received = BytesMut::new();
        for (at, byte) in loaded.repeat(2).into_iter().enumerate() {
            received.extend_from_slice(&[byte]);
            let found = split(&mut received, 1024).unwrap();
            assert_eq!(found.is_some(), (at + 1) % loaded.len() == 0, "byte {at}");
        }
        assert!(received.is_empty());
    }

    fn framed(message: &[u8]) -> BytesMut {
        let length = u32::try_from(message.len()).unwrap().to_le_bytes();
        BytesMut::from([&length[..], message].concat().as_slice())
    }

    #[test]
    fn a_small_frame_that_would_take_much_memory_is_not_decoded() {
        let answer = |outputs: usize| {
            let outputs = [0x12, 0].repeat(outputs);
            let mut message = vec![0x1a];
            let length = u32::try_from(outputs.len()).unwrap();
            // A length of five bytes, whatever it is.
            message
                .extend((0..5).map(|at| ((length >> (7 * at)) & 0x7f) as u8 | if at < 4 { 0x80 } else { 0 }));
            message.extend(outputs);
            framed(&message)
        };
        assert!(split(&mut answer(200), u32::MAX).unwrap().is_some());
        let broken = split(&mut answer(1 << 20), u32::MAX).unwrap_err();
        assert!(
            matches!(&broken, Broken::Nonsense(what) if what.contains("bytes of memory")),
            "{broken:?}"
        );
    }

    #[test]
    fn texts_of_a_runner_are_one_plain_line() {
        let failed = fieldmark_proto::v1::RunnerFailed {
            message: format!("a\n\u{1b}]52;c;x\u{7}{}", "b".repeat(5000)),
            ..Default::default()
        };
        let response = RunnerResponse {
            response: Some(Response::Failed(failed)),
        };
        let found = split(&mut framed(&response.encode_to_vec()), 1 << 20).unwrap();
        let Some(Response::Failed(failed)) = found else {
            unreachable!("it is what was sent")
        };
        assert!(failed.message.starts_with("a  ]52;c;x b") && failed.message.len() == TEXT_MAX);
    }

    #[tokio::test]
    async fn what_a_hostile_runner_sends_is_refused() {
        for (bytes, long) in [
            (&b"\xff\xff\xff\xff"[..], true),
            (b"\x02\0\0\0\xff\xff", true),
            (b"\x09\0\0\0x", false),
        ] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            Channel::new(theirs, 0).write(bytes).await.unwrap();
            let broken = Channel::new(ours, 1024).read().await.unwrap_err();
            assert_eq!(matches!(broken, Broken::Nonsense(_)), long, "{bytes:?}");
        }
    }
}
