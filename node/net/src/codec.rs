//! The byte layout of requests and responses on `/fieldmark/<network>/v1/rpc`.
//!
//! A request is a 4-byte big-endian length and that many bytes. A response is one byte (0 answered,
//! 1 declined), then the same frame; a declined one has length 0. A length over the bound, a frame cut
//! short, an unknown first byte or bytes after the frame are errors. Memory grows with the bytes that have
//! arrived, not with the length that was announced.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response;

const TAG_ANSWERED: u8 = 0;
const TAG_DECLINED: u8 = 1;
/// Bytes reserved before any of them has arrived.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// A response as the shell sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The peer's answer.
    Answered(Vec<u8>),
    /// The peer declined.
    Declined,
}

/// Reads and writes the frames.
#[derive(Debug, Clone)]
pub(crate) struct RpcCodec {
    /// Most bytes of a frame's data.
    pub(crate) bytes_max: usize,
}

impl request_response::Codec for RpcCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let data = read_frame(io, self.bytes_max).await?;
        expect_end(io).await?;
        Ok(data)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut tag = [0; 1];
        io.read_exact(&mut tag).await?;
        let data = read_frame(io, self.bytes_max).await?;
        expect_end(io).await?;
        match (tag, data.is_empty()) {
            ([TAG_ANSWERED], _) => Ok(Reply::Answered(data)),
            ([TAG_DECLINED], true) => Ok(Reply::Declined),
            _ => Err(invalid("the response has an unknown form")),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, data: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &data, self.bytes_max).await?;
        io.close().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, reply: Reply) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let (tag, data) = match reply {
            Reply::Answered(data) => (TAG_ANSWERED, data),
            Reply::Declined => (TAG_DECLINED, Vec::new()),
        };
        io.write_all(&[tag]).await?;
        write_frame(io, &data, self.bytes_max).await?;
        io.close().await
    }
}

async fn read_frame<T>(io: &mut T, bytes_max: usize) -> io::Result<Vec<u8>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length);
    let bytes = usize::try_from(length).map_err(|_| invalid("the length does not fit"))?;
    if bytes > bytes_max {
        return Err(invalid("the frame is over the bound"));
    }
    let mut data = Vec::with_capacity(bytes.min(READ_AHEAD_BYTES));
    io.take(u64::from(length)).read_to_end(&mut data).await?;
    if data.len() == bytes {
        Ok(data)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

async fn expect_end<T>(io: &mut T) -> io::Result<()>
where
    T: AsyncRead + Unpin + Send,
{
    match io.read(&mut [0; 1]).await? {
        0 => Ok(()),
        _ => Err(invalid("bytes follow the frame")),
    }
}

async fn write_frame<T>(io: &mut T, data: &[u8], bytes_max: usize) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    if data.len() > bytes_max {
        return Err(invalid("the frame is over the bound"));
    }
    let length = u32::try_from(data.len()).map_err(|_| invalid("the frame is over 4 GiB"))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(data).await
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;
    use proptest::prelude::*;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/fieldmark/test/v1/rpc");

    fn codec() -> RpcCodec {
        RpcCodec { bytes_max: 64 }
    }

    fn read_request(bytes: &[u8]) -> io::Result<Vec<u8>> {
        block_on(codec().read_request(&PROTOCOL, &mut Cursor::new(bytes)))
    }

    fn read_response(bytes: &[u8]) -> io::Result<Reply> {
        block_on(codec().read_response(&PROTOCOL, &mut Cursor::new(bytes)))
    }

    #[test]
    fn the_bytes_of_a_request_are_fixed() {
        let mut out = Vec::new();
        block_on(codec().write_request(&PROTOCOL, &mut out, b"abc".to_vec())).unwrap();
        assert_eq!(out, [0, 0, 0, 3, b'a', b'b', b'c']);
    }

    #[test]
    fn the_bytes_of_responses_are_fixed() {
        let mut out = Vec::new();
        block_on(codec().write_response(&PROTOCOL, &mut out, Reply::Answered(b"a".to_vec()))).unwrap();
        assert_eq!(out, [0, 0, 0, 0, 1, b'a']);
        out.clear();
        block_on(codec().write_response(&PROTOCOL, &mut out, Reply::Declined)).unwrap();
        assert_eq!(out, [1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_length_over_the_bound_is_refused_before_its_bytes_are_read() {
        assert_eq!(
            read_request(&[0xff; 4]).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn bytes_after_the_frame_are_an_error() {
        assert!(read_request(&[0, 0, 0, 1, 7, 8]).is_err());
        assert!(read_response(&[0, 0, 0, 0, 1, 7, 8]).is_err());
    }

    #[test]
    fn a_declined_response_with_data_and_an_unknown_tag_are_errors() {
        assert!(read_response(&[1, 0, 0, 0, 1, 7]).is_err());
        assert!(read_response(&[2, 0, 0, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(data in proptest::collection::vec(any::<u8>(), 0..=64)) {
            let mut out = Vec::new();
            block_on(codec().write_request(&PROTOCOL, &mut out, data.clone())).unwrap();
            prop_assert_eq!(read_request(&out).unwrap(), data);
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = read_request(&data);
            let _ = read_response(&data);
        }
    }
}
