//! The decoder of what a runner sends, for a fuzz target alone: nothing else needs to reach it from outside.

use crate::arena::Region;
use crate::{Arena, frame, input};
use bytes::BytesMut;
use fieldmark_proto::v1::runner_response::Response;

/// Shared memory, and the window in it that is given for outputs.
#[derive(Debug)]
pub struct Window {
    _arena: Arena,
    region: Region,
}

impl Window {
    /// A small one that does not start where the memory starts.
    ///
    /// # Errors
    /// If the kernel refuses the memory.
    pub fn new() -> std::io::Result<Self> {
        let arena = Arena::new(64 << 10)?;
        let first = arena.allocate(4096);
        let region = arena.allocate(16 << 10).ok_or(std::io::ErrorKind::OutOfMemory)?;
        drop(first);
        Ok(Self {
            _arena: arena,
            region,
        })
    }
}

/// Whether the bytes start with a response of at most `limit` bytes in its frame. Outputs that it claims to
/// have put into shared memory are copied out if they lie in the window.
#[must_use]
pub fn response(bytes: &[u8], limit: u32, window: &Window) -> bool {
    let mut received = BytesMut::from(bytes);
    let Ok(Some(response)) = frame::split(&mut received, limit) else {
        return false;
    };
    if let Response::Inferred(answer) = response {
        let outputs = answer.outputs.into_iter();
        let outputs: Option<Vec<_>> = outputs
            .map(|output| input::from_wire(output, Some(&window.region)))
            .collect();
        let copied = outputs
            .iter()
            .flatten()
            .map(|output| output.content.to_bytes().len());
        let _: usize = copied.sum();
    }
    true
}
