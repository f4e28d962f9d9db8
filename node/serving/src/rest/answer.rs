//! Answers: failures as `{"error": "…"}`, and bodies of several pieces that are not put together in memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use serde_json::json;

use crate::memory::Part;
use crate::{Failure, Kind};

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.message }));
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.kind, Kind::TooLarge | Kind::Slow) {
            // The rest of the body is not read.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Shorter pieces are not worth counting.
const COUNTED_BYTES_MIN: usize = 64 * 1024;

/// A body of pieces whose length is known.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

/// Bytes that are counted until they are written: a socket's queue holds them longer than this body lives.
struct Counted {
    bytes: Bytes,
    _held: Arc<Part>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pieces {
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>, held: Part) -> Self {
        let held = Arc::new(held);
        let counted = |bytes: Bytes| match bytes.len() < COUNTED_BYTES_MIN {
            true => bytes,
            false => Bytes::from_owner(Counted {
                bytes,
                _held: Arc::clone(&held),
            }),
        };
        let pieces: VecDeque<Bytes> = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .map(counted)
            .collect();
        let left = pieces
            .iter()
            .map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX))
            .sum();
        Self { pieces, left }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        if let Some(piece) = &piece {
            self.left = self
                .left
                .saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
