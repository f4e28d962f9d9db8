//! The body of a request: bounded in length, memory and time, whole or piece by piece, unpacked if it is
//! compressed.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use std::io::Write;
use tokio::time::Instant;

use crate::memory::Part;
use crate::options::Shared;
use crate::{Failure, Kind};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Deflate,
}

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    body: Body,
    shared: Shared,
    limit: usize,
    until: Instant,
    packing: Packing,
    /// Length that the client announced.
    announced: Option<usize>,
    /// Read and not yet given out.
    buffered: Bytes,
    /// Read in all.
    read: usize,
    /// Unpacked of it.
    unpacked: usize,
    /// Memory for what was read and unpacked; held until the request is answered.
    held: Part,
}

impl Reader {
    /// Looks at what is announced, before anything is read.
    ///
    /// # Errors
    /// If more is announced than is taken, or an encoding that is not.
    pub(super) fn new(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let limit = shared.options.body_bytes_max;
        let announced = match headers.get(CONTENT_LENGTH) {
            None => None,
            Some(length) => {
                let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
                let length =
                    length.ok_or_else(|| Failure::invalid("Content-Length is no number of bytes"))?;
                let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= limit);
                Some(bytes.ok_or_else(|| Failure::too_large(length, limit))?)
            }
        };
        let packing = match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
            None | Some(b"" | b"identity") => Packing::None,
            Some(b"gzip") => Packing::Gzip,
            Some(b"deflate") => Packing::Deflate,
            Some(_) => {
                let message = "the body's Content-Encoding is not taken; identity, gzip and deflate are";
                return Err(Failure::new(Kind::MediaType, message));
            }
        };
        Ok(Self {
            body,
            shared: shared.clone(),
            limit,
            until: Instant::now() + shared.options.body_timeout,
            packing,
            announced,
            buffered: Bytes::new(),
            read: 0,
            unpacked: 0,
            held: shared.memory.part(),
        })
    }

    /// The memory held, for whoever goes on with what was read after the client has left.
    pub(super) fn lend(&mut self) -> Part {
        std::mem::replace(&mut self.held, self.shared.memory.part())
    }

    /// Takes back what was lent, before more is read.
    pub(super) fn give_back(&mut self, held: Part) {
        self.held = held;
    }

    /// The next piece as it came; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = tokio::time::timeout_at(self.until, self.body.frame())
                .await
                .map_err(|_| {
                    let limit = self.shared.options.body_timeout.as_secs_f32();
                    Failure::new(Kind::Slow, format!("the body did not arrive within {limit} s"))
                })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame =
                frame.map_err(|error| Failure::invalid(format_args!("the body broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            self.read = self.read.saturating_add(data.len());
            if self.read > self.limit {
                return Err(Failure::too_large("more", self.limit));
            }
            self.held.set(self.read + self.unpacked)?;
            return Ok(Some(data));
        }
    }

    /// Everything that is left.
    pub(super) async fn rest(&mut self) -> Result<Bytes, Failure> {
        self.unpack().await?;
        let first = match std::mem::take(&mut self.buffered) {
            empty if empty.is_empty() => match self.piece().await? {
                Some(piece) => piece,
                None => return Ok(Bytes::new()),
            },
            buffered => buffered,
        };
        let Some(second) = self.piece().await? else {
            return Ok(first);
        };
        let known = self.announced.unwrap_or(0).max(first.len() + second.len());
        let mut whole = BytesMut::with_capacity(known);
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next so many bytes, in one piece.
    pub(super) async fn take(&mut self, bytes: usize) -> Result<Bytes, Failure> {
        self.unpack().await?;
        if self.buffered.is_empty() && bytes > 0 {
            self.buffered = self.piece().await?.unwrap_or_default();
        }
        if self.buffered.len() >= bytes {
            return Ok(self.buffered.split_to(bytes));
        }
        if bytes > self.limit {
            return Err(Failure::too_large(bytes, self.limit));
        }
        let mut whole = BytesMut::with_capacity(bytes);
        self.pour(bytes, |piece| {
            whole.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(whole.freeze())
    }

    /// Gives the next so many bytes to `take`, piece by piece.
    pub(super) async fn pour(
        &mut self,
        bytes: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.unpack().await?;
        let mut left = bytes;
        while left > 0 {
            if self.buffered.is_empty() {
                self.buffered = self.piece().await?.ok_or_else(|| {
                    Failure::invalid(format_args!("ends {left} bytes before its binary data does"))
                })?;
                continue;
            }
            let now = left.min(self.buffered.len());
            take(self.buffered.get(..now).unwrap_or_default())?;
            self.buffered.advance(now);
            left -= now;
        }
        Ok(())
    }

    /// Makes sure that nothing follows.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        let mut left = std::mem::take(&mut self.buffered).len();
        while let Some(piece) = self.piece().await? {
            left += piece.len();
        }
        if left > 0 {
            let message = format_args!("{left} bytes follow the binary data that the inputs name");
            return Err(Failure::invalid(message));
        }
        Ok(())
    }

    /// Unpacks a compressed body as a whole, once.
    async fn unpack(&mut self) -> Result<(), Failure> {
        let packing = std::mem::replace(&mut self.packing, Packing::None);
        let room = Unpacked::new(self.limit);
        match packing {
            Packing::None => return Ok(()),
            Packing::Gzip => {
                let mut decoder = MultiGzDecoder::new(room);
                while let Some(piece) = self.piece().await? {
                    decoder
                        .write_all(&piece)
                        .map_err(|error| unpacking(&error, self.limit))?;
                    self.unpacked = decoder.get_ref().bytes.len();
                    self.held.set(self.read + self.unpacked)?;
                }
                let room = decoder.finish().map_err(|error| unpacking(&error, self.limit))?;
                self.unpacked = room.bytes.len();
                self.buffered = room.bytes.into();
            }
            Packing::Deflate => {
                let mut decoder = ZlibDecoder::new(room);
                while let Some(piece) = self.piece().await? {
                    decoder
                        .write_all(&piece)
                        .map_err(|error| unpacking(&error, self.limit))?;
                    self.unpacked = decoder.get_ref().bytes.len();
                    self.held.set(self.read + self.unpacked)?;
                }
                let room = decoder.finish().map_err(|error| unpacking(&error, self.limit))?;
                self.unpacked = room.bytes.len();
                self.buffered = room.bytes.into();
            }
        }
        self.held.set(self.read + self.unpacked)
    }
}

fn unpacking(error: &std::io::Error, limit: usize) -> Failure {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        return Failure::too_large("more", limit);
    }
    Failure::invalid(format_args!("the body cannot be unpacked: {error}"))
}

/// What came out of a compressed body, at most so much.
#[derive(Debug)]
struct Unpacked {
    bytes: Vec<u8>,
    limit: usize,
}

impl Unpacked {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether the content type is one of those taken; none at all is.
///
/// # Errors
/// [`Failure`] of kind media type.
pub(super) fn check_type(headers: &HeaderMap, taken: &[&str]) -> Result<(), Failure> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let given = given.to_str().unwrap_or_default();
    let bare = given.split(';').next().unwrap_or_default().trim();
    if taken.iter().any(|taken| bare.eq_ignore_ascii_case(taken)) {
        return Ok(());
    }
    let message = format!("the Content-Type is not taken; send {}", taken.join(" or "));
    Err(Failure::new(Kind::MediaType, message))
}
