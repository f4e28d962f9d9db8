//! The decoder of what a runner sends, for a fuzz target alone: nothing else needs to reach it from outside.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::frame;

/// Whether the bytes start with a response of at most `limit` bytes in its frame.
#[must_use]
pub fn response(mut bytes: &[u8], limit: u32) -> bool {
    let reading = pin!(frame::read(&mut bytes, limit));
    // Bytes in memory are there at once.
    matches!(
        reading.poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(_))
    )
}
