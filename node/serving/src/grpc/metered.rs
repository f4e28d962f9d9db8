//! The body of a gRPC request while it arrives: its unfinished message is counted in the memory of all bodies, and
//! bounded in time.
//!
//! A message is put together in memory before a method sees it; many half-sent ones would take memory that nobody
//! counted. The whole ones of a stream are the method's to count: they are taken out before more is read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::memory::Part;
use crate::options::Shared;
use crate::{Failure, Kind};

/// The one method whose requests go on for as long as the client likes.
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
/// The other method that takes tensors.
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// Longest request of every other method.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// A body that is counted.
#[derive(Debug)]
struct Metered {
    body: Body,
    /// Of the method whose requests go on.
    is_stream: bool,
    /// How long a message may take to arrive.
    patience: Duration,
    /// What is left of it for the message at hand; nothing between the messages of a stream.
    left: Option<Duration>,
    /// Since when and until when more is waited for. Only that is the client's time.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    framing: Framing,
    /// Bytes that arrived and are counted, and most of them.
    counted: usize,
    limit: usize,
    held: Part,
}

/// Where in gRPC's framing a body is: a byte of flags and four of length go before each message.
#[derive(Debug, Default)]
struct Framing {
    /// Bytes of the unfinished message so far, head included.
    begun: usize,
    length: [u8; 4],
}

impl Framing {
    /// Goes on by what arrived.
    fn advance(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            match self.begun.checked_sub(1) {
                Some(place) if place < self.length.len() => {
                    if let Some(byte) = self.length.get_mut(place) {
                        *byte = *first;
                    }
                    self.begun += 1;
                    bytes = rest;
                }
                None => {
                    self.begun = 1;
                    bytes = rest;
                }
                Some(_) => {
                    let now = self.missing().min(bytes.len());
                    self.begun += now;
                    bytes = bytes.get(now..).unwrap_or_default();
                }
            }
            if self.begun > self.length.len() && self.missing() == 0 {
                self.begun = 0;
            }
        }
    }

    /// Bytes of the message that are still to come, once its length is known.
    fn missing(&self) -> usize {
        let length = usize::try_from(u32::from_be_bytes(self.length)).unwrap_or(usize::MAX);
        length
            .saturating_add(1 + self.length.len())
            .saturating_sub(self.begun)
    }
}

/// Middleware that counts bodies.
pub(super) async fn meter(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let patience = shared.options.body_timeout;
    let is_stream = request.uri().path() == STREAM;
    let limit = match request.uri().path() {
        // The codec bounds messages.
        STREAM | INFER => usize::MAX,
        _ => SMALL_BYTES_MAX,
    };
    let request = request.map(|body| {
        Body::new(Metered {
            body,
            is_stream,
            patience,
            left: (!is_stream).then_some(patience),
            waiting: None,
            framing: Framing::default(),
            counted: 0,
            limit,
            held: shared.memory.part(),
        })
    });
    next.run(request).await
}

impl Metered {
    /// Counts what arrived.
    fn arrived(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.counted = self.counted.saturating_add(bytes.len());
        if self.counted > self.limit {
            return Err(Failure::too_large(self.counted, self.limit));
        }
        self.held.set(self.counted)?;
        if self.is_stream {
            let before = self.framing.begun;
            self.framing.advance(bytes);
            let ended = self.framing.begun != before + bytes.len();
            if self.framing.begun == 0 {
                self.left = None;
            } else if ended || before == 0 {
                self.left = Some(self.patience);
            }
        }
        Ok(())
    }

    /// More is asked for, so the whole messages of a stream were taken.
    fn taken(&mut self) -> Result<(), Failure> {
        if self.is_stream {
            self.counted = self.framing.begun;
            self.held.set(self.counted)?;
        }
        Ok(())
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        if let Err(failure) = self.taken() {
            return Poll::Ready(Some(Err(failure.into())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready()
            && let Some((since, _)) = self.waiting.take()
        {
            self.left = self.left.map(|left| left.saturating_sub(since.elapsed()));
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = frame.data_ref().map_or(Ok(()), |bytes| self.arrived(bytes));
                Poll::Ready(Some(counted.map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Failure::invalid(format_args!(
                "the body broke off: {error}"
            ))
            .into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some(left) = self.left else {
                    return Poll::Pending;
                };
                let (_, until) = self
                    .waiting
                    .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
                until.as_mut().poll(context).map(|()| {
                    let failure = Failure::new(Kind::Slow, "the request did not arrive in time");
                    Some(Err(failure.into()))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        [&[0], &length[..], &vec![7; bytes]].concat()
    }

    #[test]
    fn only_the_unfinished_message_counts_however_it_is_cut() {
        let body = [message(3), message(0), message(300), message(9)].concat();
        for cut in 1..40 {
            let mut framing = Framing::default();
            let mut sent = 0;
            for piece in body.chunks(cut) {
                framing.advance(piece);
                sent += piece.len();
                let whole = [8, 13, 318, 332].into_iter().rev().find(|end| *end <= sent);
                assert_eq!(framing.begun, sent - whole.unwrap_or(0), "{sent} by {cut}");
            }
        }
    }
}
