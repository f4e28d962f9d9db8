//! Where each file is, and what is found there at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{bitmap, create_dir};
use crate::error::BlobError;
use crate::geometry::BlobHash;

const OUTBOARD: &str = "obao";
const PART: &str = "part";
const BITMAP: &str = "bitmap";

/// The paths of a store.
#[derive(Debug)]
pub(super) struct Layout {
    dir: PathBuf,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) complete: BTreeMap<BlobHash, u64>,
    pub(super) partial: BTreeMap<BlobHash, u64>,
    pub(super) pins: BTreeSet<BlobHash>,
}

impl Layout {
    pub(super) fn create(dir: &Path) -> Result<Self, BlobError> {
        let layout = Self {
            dir: dir.to_path_buf(),
        };
        for path in [layout.dir.clone(), layout.blobs(), layout.temp(), layout.pins()] {
            create_dir(&path)?;
        }
        Ok(layout)
    }

    /// The paths of a store that may not be there.
    pub(super) fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(super) fn data(&self, hash: &BlobHash) -> PathBuf {
        let name = hash.to_string();
        let shelf: String = name.chars().take(2).collect();
        self.blobs().join(shelf).join(name)
    }

    pub(super) fn outboard(&self, hash: &BlobHash) -> PathBuf {
        self.data(hash).with_extension(OUTBOARD)
    }

    pub(super) fn part(&self, hash: &BlobHash) -> PathBuf {
        self.data(hash).with_extension(PART)
    }

    pub(super) fn bitmap(&self, hash: &BlobHash) -> PathBuf {
        self.data(hash).with_extension(BITMAP)
    }

    pub(super) fn pin(&self, hash: &BlobHash) -> PathBuf {
        self.pins().join(hash.to_string())
    }

    pub(super) fn temp_data(&self, number: u64) -> PathBuf {
        self.temp().join(format!("{number}.data"))
    }

    pub(super) fn temp_outboard(&self, number: u64) -> PathBuf {
        self.temp().join(format!("{number}.{OUTBOARD}"))
    }

    /// Makes the folder that a blob's files go into.
    pub(super) fn create_shelf(&self, hash: &BlobHash) -> Result<(), BlobError> {
        self.data(hash).parent().map_or(Ok(()), create_dir)
    }

    /// Removes the imports that a crash interrupted.
    pub(super) fn empty_temp(&self) -> Result<(), BlobError> {
        for path in entries(&self.temp())? {
            remove(&path)?;
        }
        Ok(())
    }

    /// Lists blobs and pins, and removes orphans of a crash.
    pub(super) fn scan(&self) -> Result<Found, BlobError> {
        let mut found = Found::default();
        for path in entries(&self.pins())? {
            found.pins.extend(hash_of(&path));
        }
        for shelf in entries(&self.blobs())? {
            for path in entries(&shelf)? {
                self.scan_file(&path, &mut found)?;
            }
        }
        Ok(found)
    }

    fn scan_file(&self, path: &Path, found: &mut Found) -> Result<(), BlobError> {
        let Some(hash) = hash_of(path) else { return Ok(()) };
        let (complete, part) = (self.data(&hash).is_file(), self.part(&hash).is_file());
        match path.extension().and_then(OsStr::to_str) {
            None => {
                let size = fs::metadata(path).map_err(BlobError::io("read", path))?.len();
                found.complete.insert(hash, size);
            }
            Some(PART) if complete => remove(path)?,
            Some(PART) => {
                // Without a readable size the download starts again, under the size announced then.
                match bitmap::announced_size(&self.bitmap(&hash))? {
                    Some(size) => drop(found.partial.insert(hash, size)),
                    None => remove(path)?,
                }
            }
            Some(BITMAP) if complete || !part => remove(path)?,
            Some(OUTBOARD) if !complete && !part => remove(path)?,
            Some(_) => {}
        }
        Ok(())
    }

    fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    fn temp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn pins(&self) -> PathBuf {
        self.dir.join("pins")
    }
}

/// The hash that a file is named after.
fn hash_of(path: &Path) -> Option<BlobHash> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BlobError> {
    let listing = fs::read_dir(dir).map_err(BlobError::io("list", dir))?;
    listing
        .map(|entry| Ok(entry.map_err(BlobError::io("list", dir))?.path()))
        .collect()
}

/// Removes a file; a missing one is no error.
pub(super) fn remove(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BlobError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes a new or renamed entry of a folder durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), BlobError> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(BlobError::io("sync the folder", dir))
}

/// Renames and makes it durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), BlobError> {
    fs::rename(from, to).map_err(BlobError::io("rename", to))?;
    sync_parent(to)
}
