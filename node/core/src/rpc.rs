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

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn asked(body: wire::rpc_request::Body) -> String {
        let bytes = wire::RpcRequest {
            body: Some(body.clone()),
        }
        .encode_to_vec();
        assert_eq!(request(&bytes).unwrap(), body);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes_of_the_requests_of_a_committee() {
        use wire::rpc_request::Body;
        let (task, window) = (vec![1; 2], 3);
        let commits = wire::VerifyKeyShare {
            task: task.clone(),
            window,
            commitment: vec![4; 2],
            ..Default::default()
        };
        assert_eq!(asked(Body::VerifyKeyShare(commits)), "320a0a020101100322020404");
        let opens = wire::VerifyKeyShare {
            task: task.clone(),
            window,
            commitments: vec![vec![4; 2], vec![5; 2]],
            ..Default::default()
        };
        assert_eq!(
            asked(Body::VerifyKeyShare(opens)),
            "320e0a02010110032a0204042a020505"
        );
        let init = wire::VerifyInit {
            task: task.clone(),
            window,
            verify_key: vec![6; 2],
            reports: Vec::new(),
            key_shares: vec![vec![7; 2]],
        };
        assert_eq!(asked(Body::VerifyInit(init)), "3a0e0a02010110031a0206062a020707");
        let query = wire::InclusionQuery {
            task,
            window,
            report_id: vec![8; 2],
        };
        assert_eq!(asked(Body::Inclusion(query)), "a2010a0a02010110031a020808");
    }

    #[test]
    fn golden_bytes_of_an_inclusion_and_of_what_came_before_it() {
        let inclusion = wire::Inclusion {
            index: 1,
            count: 2,
            path: vec![vec![9; 2]],
        };
        let body = wire::rpc_response::Body::Inclusion(inclusion);
        let bytes = wire::RpcResponse {
            body: Some(body.clone()),
        }
        .encode_to_vec();
        assert_eq!(bytes, [0xa2, 1, 8, 8, 1, 16, 2, 26, 2, 9, 9]);
        assert_eq!(response(&bytes).unwrap(), body);
        // A share as versions without commitments send it.
        let before = [0x2a, 8, 10, 2, 1, 1, 26, 2, 4, 4];
        let wire::rpc_response::Body::VerifyKeyShare(share) = response(&before).unwrap() else {
            panic!("a share of the verification key")
        };
        assert_eq!((share.share, share.commitment.len()), (vec![4; 2], 0));
    }
}
