//! The body of a gRPC request while it arrives: counted in the memory of all bodies, and bounded in time where it is
//! one message.
//!
//! A message is put together in memory before a method sees it; many half-sent ones would take memory that nobody
//! counted.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::options::Shared;
use crate::{Failure, Kind};

/// The one method whose requests go on for as long as the client likes.
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A body that is counted.
#[derive(Debug)]
struct Metered {
    body: Body,
    shared: Shared,
    /// Until when it must have arrived.
    until: Option<Pin<Box<Sleep>>>,
    /// Bytes that are counted: at most one message's, which is all that is held at a time.
    counted: usize,
    held: Vec<OwnedSemaphorePermit>,
}

/// Middleware that counts bodies.
pub(super) async fn meter(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let until = Instant::now() + shared.options.body_timeout;
    let bounded = request.uri().path() != STREAM;
    let request = request.map(|body| {
        Body::new(Metered {
            body,
            shared,
            until: bounded.then(|| Box::pin(sleep_until(until))),
            counted: 0,
            held: Vec::new(),
        })
    });
    next.run(request).await
}

impl Metered {
    fn count(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = bytes.min(self.shared.options.body_bytes_max.saturating_sub(self.counted));
        if more > 0 {
            self.held.push(self.shared.reserve(more)?);
            self.counted += more;
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
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(self.count(bytes).map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Failure::invalid(format_args!(
                "the body broke off: {error}"
            ))
            .into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.until.as_mut().map(|until| until.as_mut().poll(context)) {
                Some(Poll::Ready(())) => {
                    let failure = Failure::new(Kind::Slow, "the request did not arrive in time");
                    Poll::Ready(Some(Err(failure.into())))
                }
                _ => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
