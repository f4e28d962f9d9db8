//! What a runner reads from its supervisor, for a fuzz target alone: nothing else reaches it from outside.

use crate::frame::read_from;
use crate::inputs;
use fieldmark_proto::v1::runner_request::Request;

/// Whether the bytes start with a request of at most `limit` bytes in its frame whose inputs are all well
/// formed.
#[must_use]
pub fn request(mut bytes: &[u8], limit: usize) -> bool {
    match read_from(&mut bytes, limit).map(|request| request.and_then(|request| request.request)) {
        Ok(Some(Request::Infer(request))) => inputs::read(&request.inputs, None).is_ok(),
        Ok(Some(_)) => true,
        _ => false,
    }
}
