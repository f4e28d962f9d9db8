//! Reading what is stored, checked against the hash.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use bao_tree::io::EncodeError;
use bao_tree::io::outboard::PreOrderOutboard;
use bao_tree::io::sync::encode_ranges_validated;

use super::BlobStore;
use crate::error::BlobError;
use crate::geometry::{BlobHash, chunk_range, group_len, groups, tree};

/// A complete blob opened for serving; it stays readable when the blob is removed meanwhile.
#[derive(Debug)]
pub(crate) struct BlobReader {
    hash: BlobHash,
    size: u64,
    path: PathBuf,
    data: File,
    outboard: PreOrderOutboard<File>,
}

impl BlobStore {
    /// The bytes of a blob of at most `bytes_max`, checked.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::TooLarge`], [`BlobError::Damaged`], [`BlobError::Io`].
    pub fn read(&self, hash: &BlobHash, bytes_max: u64) -> Result<Vec<u8>, BlobError> {
        let size = self.size(hash).ok_or(BlobError::NotFound { hash: *hash })?;
        if size > bytes_max {
            return Err(BlobError::TooLarge {
                size,
                size_max: bytes_max,
            });
        }
        let path = self.shared.layout.data(hash);
        let bytes = fs::read(&path).map_err(BlobError::io("read", &path))?;
        if BlobHash::of(&bytes) == *hash {
            return Ok(bytes);
        }
        // The tree nodes tell where; if they verify after all, the file changed in between.
        self.verify(hash)?;
        Err(BlobError::Damaged {
            hash: *hash,
            path,
            group: 0,
        })
    }

    /// Reads a whole blob and checks every group. About a second per GiB.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] names the first group that is not what the hash says;
    /// [`BlobError::NotFound`], [`BlobError::Io`].
    pub fn verify(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let reader = self.reader(hash)?;
        (0..groups(reader.size)).try_for_each(|group| reader.write_group(group, &mut io::sink()))?;
        match reader.size {
            0 if BlobHash::of(&[]) != *hash => Err(reader.damaged(0)),
            _ => Ok(()),
        }
    }

    /// Opens a complete blob.
    pub(crate) fn reader(&self, hash: &BlobHash) -> Result<BlobReader, BlobError> {
        let size = self.size(hash).ok_or(BlobError::NotFound { hash: *hash })?;
        let layout = &self.shared.layout;
        let path = layout.data(hash);
        let nodes = layout.outboard(hash);
        let data = File::open(&path).map_err(BlobError::io("open", &path))?;
        let file = File::open(&nodes).map_err(BlobError::io("open", &nodes))?;
        let outboard = PreOrderOutboard {
            root: hash.root(),
            tree: tree(size),
            data: file,
        };
        Ok(BlobReader {
            hash: *hash,
            size,
            path,
            data,
            outboard,
        })
    }
}

impl BlobReader {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// One group with its path in the tree, checked before it is returned.
    pub(crate) fn frame(&self, group: u32) -> Result<Vec<u8>, BlobError> {
        let bytes = usize::try_from(group_len(self.size, group)).unwrap_or(0);
        let mut frame = Vec::with_capacity(bytes + 1024);
        self.write_group(group, &mut frame)?;
        Ok(frame)
    }

    fn write_group(&self, group: u32, target: &mut impl io::Write) -> Result<(), BlobError> {
        let written = encode_ranges_validated(&self.data, &self.outboard, &chunk_range(group), target);
        written.map_err(|error| match error {
            EncodeError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                BlobError::io("read", &self.path)(error)
            }
            _ => self.damaged(group),
        })
    }

    fn damaged(&self, group: u32) -> BlobError {
        BlobError::Damaged {
            hash: self.hash,
            path: self.path.clone(),
            group,
        }
    }
}
