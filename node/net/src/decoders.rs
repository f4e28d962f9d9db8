//! The decoders of frames between nodes, for a fuzz target alone: nothing else needs to reach them from outside.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures::io::Cursor;
use libp2p::StreamProtocol;
use libp2p::request_response::Codec as _;

use crate::codec::{Reply, RpcCodec};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/fieldmark/fuzz/v1/rpc");

/// What comes out at once, as it does from bytes in memory.
fn now<T>(future: impl Future<Output = std::io::Result<T>>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.ok(),
        Poll::Pending => None,
    }
}

/// The data of a request's frame; `None` if it is none, or over the bound.
#[must_use]
pub fn request(bytes: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    now(RpcCodec { bytes_max }.read_request(&PROTOCOL, &mut Cursor::new(bytes)))
}

/// The data of a response's frame, empty when the peer declined; `None` if it is none, or over the bound.
#[must_use]
pub fn response(bytes: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let reply = now(RpcCodec { bytes_max }.read_response(&PROTOCOL, &mut Cursor::new(bytes)))?;
    Some(match reply {
        Reply::Answered(data) => data,
        Reply::Declined => Vec::new(),
    })
}
