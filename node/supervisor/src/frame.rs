//! Length-delimited frames, asynchronous side. The layout is in `proto/fieldmark/v1/runner.proto`.

use fieldmark_proto::Message;
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{RunnerRequest, RunnerResponse};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Bytes of the length in front of each frame.
const LENGTH_BYTES: usize = 4;

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

/// Sends an encoded request.
pub(crate) async fn write(socket: &mut UnixStream, frame: &[u8]) -> Result<(), Broken> {
    socket.write_all(frame).await.map_err(|_| Broken::Closed)
}

/// The next response, at most `limit` bytes long.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin), limit: u32) -> Result<Response, Broken> {
    let bytes = socket.read_u32_le().await.map_err(|_| Broken::Closed)?;
    if bytes > limit {
        return Err(Broken::Nonsense(format!(
            "it announced a response of {bytes} bytes, {limit} allowed"
        )));
    }
    let mut frame = Vec::new();
    let wanted = u64::from(bytes);
    // Memory grows with what arrives, not with what is announced.
    let received = socket
        .take(wanted)
        .read_to_end(&mut frame)
        .await
        .map_err(|_| Broken::Closed)?;
    if u64::try_from(received) != Ok(wanted) {
        return Err(Broken::Closed);
    }
    let decoded = RunnerResponse::decode(frame.as_slice());
    let response =
        decoded.map_err(|error| Broken::Nonsense(format!("its response cannot be read: {error}")))?;
    response
        .response
        .ok_or_else(|| Broken::Nonsense("it sent an empty response".to_owned()))
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

    #[tokio::test]
    async fn what_a_hostile_runner_sends_is_refused() {
        for (bytes, long) in [
            (&b"\xff\xff\xff\xff"[..], true),
            (b"\x02\0\0\0\xff\xff", true),
            (b"\x09\0\0\0x", false),
        ] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(bytes).await.unwrap();
            drop(theirs);
            let broken = read(&mut ours, 1024).await.unwrap_err();
            assert_eq!(matches!(broken, Broken::Nonsense(_)), long, "{bytes:?}");
        }
    }
}
