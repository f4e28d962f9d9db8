//! The bytes between two nodes, protocol `fieldmark-blob/1`.
//!
//! One stream carries one request and its answer. All numbers are big-endian.
//!
//! ```text
//! request   version 1 | hash 32 | size 8 | first group 4 | count of groups 4      (49 bytes, then end)
//! answer    status 1: 0 groups follow | 1 not offered | 2 another size, 8 bytes follow | 3 malformed
//!                   | 4 unavailable
//! group     length 4 | tree nodes from the root down to the group, 64 each | the group's bytes
//!           a length of 0 ends the answer early: the provider cannot go on
//! ```
//!
//! Each group carries its whole path (1.5% at 1 GiB), so that groups verify one by one, in any order,
//! from any provider.

use crate::geometry::{BLOB_BYTES_MAX, BlobHash, GROUP_BYTES, groups};

/// The only version there is.
const VERSION: u8 = 1;
/// Bytes of a request.
pub(crate) const REQUEST_BYTES: usize = 49;
/// Most groups of a request: 16 MiB of a blob.
pub(crate) const REQUEST_GROUPS_MAX: u32 = 256;
/// Deepest tree above groups: 2^24 of them.
const DEPTH_MAX: usize = 24;
/// Longest frame of a group.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * DEPTH_MAX + GROUP_BYTES_USIZE;
const GROUP_BYTES_USIZE: usize = 64 << 10;
const _: () = assert!(GROUP_BYTES == 64 << 10 && BLOB_BYTES_MAX / GROUP_BYTES == 1 << DEPTH_MAX);

/// A request for consecutive groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) hash: BlobHash,
    /// Size that the blob was announced with.
    pub(crate) size: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// The first byte of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Groups,
    NotOffered,
    /// Eight bytes with the provider's size follow.
    OtherSize,
    Malformed,
    Unavailable,
}

/// A request is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("a request has {REQUEST_BYTES} bytes, {found} came")]
    Length { found: usize },
    #[error("version {0} is unknown")]
    Version(u8),
    #[error("the groups are none, too many, or beyond the end")]
    Groups,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REQUEST_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.hash.0);
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RequestError> {
        let wrong_length = RequestError::Length { found: bytes.len() };
        let (version, rest) = bytes.split_first().ok_or(wrong_length)?;
        let (hash, rest) = rest.split_first_chunk().ok_or(wrong_length)?;
        let (size, rest) = rest.split_first_chunk().ok_or(wrong_length)?;
        let (first, rest) = rest.split_first_chunk().ok_or(wrong_length)?;
        let count = <[u8; 4]>::try_from(rest).map_err(|_| wrong_length)?;
        if *version != VERSION {
            return Err(RequestError::Version(*version));
        }
        let request = Self {
            hash: BlobHash(*hash),
            size: u64::from_be_bytes(*size),
            first: u32::from_be_bytes(*first),
            count: u32::from_be_bytes(count),
        };
        if request.is_within_bounds() {
            Ok(request)
        } else {
            Err(RequestError::Groups)
        }
    }

    fn is_within_bounds(&self) -> bool {
        let end = self.first.checked_add(self.count);
        self.size <= BLOB_BYTES_MAX
            && (1..=REQUEST_GROUPS_MAX).contains(&self.count)
            && end.is_some_and(|end| end <= groups(self.size))
    }
}

impl Status {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Groups => 0,
            Self::NotOffered => 1,
            Self::OtherSize => 2,
            Self::Malformed => 3,
            Self::Unavailable => 4,
        }
    }

    pub(crate) fn of_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Groups),
            1 => Some(Self::NotOffered),
            2 => Some(Self::OtherSize),
            3 => Some(Self::Malformed),
            4 => Some(Self::Unavailable),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_of_a_request_are_fixed() {
        let request = Request {
            hash: BlobHash([7; 32]),
            size: 3 << 20,
            first: 2,
            count: 46,
        };
        let mut expected = vec![1];
        expected.extend([7; 32]);
        expected.extend([0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 2, 0, 0, 0, 46]);
        assert_eq!(request.encode(), expected);
        assert_eq!(Request::decode(&expected), Ok(request));
    }

    #[test]
    fn requests_beyond_the_end_or_over_the_bounds_are_refused() {
        let base = Request {
            hash: BlobHash([7; 32]),
            size: 3 << 20,
            first: 0,
            count: 1,
        };
        for bad in [
            Request { count: 0, ..base },
            Request { count: 49, ..base },
            Request { first: 48, ..base },
            Request {
                first: u32::MAX,
                count: 2,
                ..base
            },
            Request {
                size: BLOB_BYTES_MAX + 1,
                ..base
            },
            Request {
                size: 1 << 30,
                count: REQUEST_GROUPS_MAX + 1,
                ..base
            },
        ] {
            assert_eq!(
                Request::decode(&bad.encode()),
                Err(RequestError::Groups),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_status_survives_its_byte() {
        for byte in 0..=255 {
            assert!(Status::of_byte(byte).is_none_or(|status| status.byte() == byte));
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
            }
        }
    }
}
