//! Requests and responses between nodes, decoded within their limit.

use fieldmark_protocol::decode::{self, DecodeError};
use fieldmark_protocol::machine::RPC_BYTES_MAX;
use fieldmark_protocol::wire;

/// Why a node does not do what it was asked. Numbers are stable on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalCode {
    /// Not now: something has not arrived here yet. Worth another try.
    Retry,
    /// The window is not open any more.
    Closed,
    /// The request is wrong or not for its sender to make.
    Rejected,
}

impl RefusalCode {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Retry => 1,
            Self::Closed => 2,
            Self::Rejected => 3,
        }
    }

    /// The code with this number; unknown ones are final.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Retry,
            2 => Self::Closed,
            _ => Self::Rejected,
        }
    }
}

/// Decodes a request.
///
/// # Errors
/// [`DecodeError`], also when the body is missing or of a later version.
pub fn request(bytes: &[u8]) -> Result<wire::rpc_request::Body, DecodeError> {
    let what = "a request";
    let message: wire::RpcRequest = decode::bounded(what, bytes, RPC_BYTES_MAX)?;
    message.body.ok_or(DecodeError::NotCanonical { what })
}

/// Decodes a response.
///
/// # Errors
/// [`DecodeError`], also when the body is missing or of a later version.
pub fn response(bytes: &[u8]) -> Result<wire::rpc_response::Body, DecodeError> {
    let what = "a response";
    let message: wire::RpcResponse = decode::bounded(what, bytes, RPC_BYTES_MAX)?;
    message.body.ok_or(DecodeError::NotCanonical { what })
}
