//! The decoders of what strangers send and of what is found on disk, for fuzz targets alone: nothing else
//! needs to reach them from outside.

use crate::geometry::{BLOB_BYTES_MAX, BlobHash, groups};
use crate::store::{bitmap, partial};
use crate::wire::{Request, Status};

/// A request for groups, encoded again; `None` if it is none.
#[must_use]
pub fn request(bytes: &[u8]) -> Option<Vec<u8>> {
    Request::decode(bytes).ok().map(|request| request.encode())
}

/// The first byte of an answer, encoded again; `None` if it has no meaning.
#[must_use]
pub fn status(byte: u8) -> Option<u8> {
    Status::of_byte(byte).map(Status::byte)
}

/// The file of a partial download's bitmap, encoded again; `None` if it counts as empty. `size` is the
/// blob's, which the caller of the store has checked.
#[must_use]
pub fn bitmap(bytes: &[u8], size: u64) -> Option<Vec<u8>> {
    bitmap::Bitmap::decode(bytes, size).map(|bitmap| {
        drop(bitmap.missing());
        bitmap.encode(size)
    })
}

/// Whether a group's frame, as a provider sends it, holds that group of the blob and nothing else.
#[must_use]
pub fn group(hash: &BlobHash, size: u64, group: u32, frame: &[u8]) -> bool {
    let asked = size <= BLOB_BYTES_MAX && group < groups(size);
    asked && partial::decode(hash, size, group, frame).is_some()
}
