//! Opening a data folder: which families, whose lock, which version, and what is wrong with it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldmark_protocol::machine::{Batch, Column, Read, Store, StoreError};
use rocksdb::{ColumnFamilyDescriptor, DB, ErrorKind};

use crate::format::{Format, VERSION_KEY};
use crate::{RocksReader, RocksStore, tuning};

/// A data folder that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another store in this one, has it open.
    #[error("another node is running on {}; stop it, or give this one another data folder", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// A later program wrote it.
    #[error(
        "{} was written by a newer version of fieldmark (format {found}, this program knows up to {known}); \
         update fieldmark", dir.display()
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Version on disk.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// Files are missing or changed.
    #[error(
        "the store in {} is damaged: {detail}; restore the folder from a backup, or move it away and start \
         with a fresh one: the ledger syncs again, but budgets, datasets and open batches of this node are \
         only in the backup", dir.display()
    )]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What the engine found.
        detail: String,
    },
    /// The folder cannot be made or looked at.
    #[error("cannot {step} {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The engine failed otherwise: no permission, no space.
    #[error("cannot open the store in {}: {detail}", dir.display())]
    Engine {
        /// The folder.
        dir: PathBuf,
        /// What the engine said.
        detail: String,
    },
    /// Reading or migrating the opened store failed.
    #[error("cannot {step} the store in {}", dir.display())]
    Store {
        /// The folder.
        dir: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What failed.
        #[source]
        source: StoreError,
    },
}

/// Opens `dir`, brings it to the newest version of `format`, or makes a new store of that version.
pub(crate) fn open(dir: &Path, format: &Format) -> Result<DB, OpenError> {
    let folder = |step| {
        move |source| OpenError::Folder {
            dir: dir.into(),
            step,
            source,
        }
    };
    std::fs::create_dir_all(dir).map_err(folder("create"))?;
    let exists = dir.join("CURRENT").try_exists().map_err(folder("look into"))?;
    if !exists && let Some(file) = remains(dir).map_err(folder("look into"))? {
        let detail = format!("it holds {file} but no CURRENT file");
        return Err(OpenError::Damaged {
            dir: dir.into(),
            detail,
        });
    }
    let options = tuning::database();
    // Families of a newer version are opened as well, so that its version can be read.
    let mut names: BTreeSet<String> = Column::ALL
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    names.insert(rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned());
    if exists {
        names.extend(DB::list_cf(&options, dir).map_err(|error| refused(dir, error))?);
    }
    let cache = tuning::cache();
    let families = names
        .into_iter()
        .map(|name| ColumnFamilyDescriptor::new(name, tuning::column(&cache)));
    let db = DB::open_cf_descriptors(&options, dir, families).map_err(|error| refused(dir, error))?;
    settle(dir, db, format)
}

/// A file that only a used store leaves behind. A store that was never written to may have lost its
/// CURRENT to a crash while it was being made; it is simply made again.
fn remains(dir: &Path) -> io::Result<Option<String>> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".sst") || (name.ends_with(".log") && entry.metadata()?.len() > 0) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn refused(dir: &Path, error: rocksdb::Error) -> OpenError {
    let (kind, said) = (error.kind(), crate::explained(dir, error.into_string()));
    let dir = dir.to_path_buf();
    let lost = said.contains("No such file or directory") || said.contains("does not exist");
    match kind {
        ErrorKind::IOError if said.contains("LOCK:") => OpenError::Locked { dir },
        ErrorKind::Corruption | ErrorKind::NotFound => OpenError::Damaged { dir, detail: said },
        ErrorKind::IOError if lost => OpenError::Damaged { dir, detail: said },
        _ => OpenError::Engine { dir, detail: said },
    }
}

/// Checks the version of an open database, and migrates it.
fn settle(dir: &Path, db: DB, format: &Format) -> Result<DB, OpenError> {
    let failed = |step| {
        move |source| OpenError::Store {
            dir: dir.into(),
            step,
            source,
        }
    };
    let mut store = RocksStore {
        reader: RocksReader {
            db: Arc::new(db),
            dir: dir.into(),
        },
    };
    let known = format.version();
    let mut version = match store
        .get(Column::Meta, VERSION_KEY)
        .map_err(failed("read the format of"))?
    {
        Some(bytes) => parse(dir, &bytes)?,
        None => {
            if let Some(column) = used(&store).map_err(failed("look into"))? {
                let detail = format!(
                    "its {} column is in use but no format version is written",
                    column.name()
                );
                return Err(OpenError::Damaged {
                    dir: dir.into(),
                    detail,
                });
            }
            let batch = stamped(Batch::new(), known);
            store.commit(&batch).map_err(failed("write the format of"))?;
            known
        }
    };
    if version > known {
        return Err(OpenError::Newer {
            dir: dir.into(),
            found: version,
            known,
        });
    }
    while let Some(step) = format.step(version) {
        version = version.saturating_add(1);
        let batch = step(&store).map_err(failed("migrate"))?;
        store
            .commit(&stamped(batch, version))
            .map_err(failed("migrate"))?;
    }
    let detail = || "a reader outlived the opening".to_owned();
    Arc::try_unwrap(store.reader.db).map_err(|_| OpenError::Engine {
        dir: dir.into(),
        detail: detail(),
    })
}

fn stamped(mut batch: Batch, version: u32) -> Batch {
    batch.put(Column::Meta, VERSION_KEY, version.to_be_bytes());
    batch
}

fn parse(dir: &Path, bytes: &[u8]) -> Result<u32, OpenError> {
    match <[u8; 4]>::try_from(bytes).map(u32::from_be_bytes) {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(OpenError::Damaged {
            dir: dir.into(),
            detail: "its format version is no version".into(),
        }),
    }
}

/// A column that holds something.
fn used(store: &RocksStore) -> Result<Option<Column>, StoreError> {
    for column in Column::ALL {
        if !store.scan(column, &[], &[], 1)?.is_empty() {
            return Ok(Some(column));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
