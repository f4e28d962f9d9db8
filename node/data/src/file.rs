//! A checked dataset, and its source records in the order of their first rows.
//!
//! Rows of a record that follow one another, as in most files, are read as a stream. Where they do not,
//! the rows wait in an unlinked temporary file; memory holds neither the rows nor the ids.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::derive::Derive;
use crate::error::{DataError, io_error};
use crate::format;
use crate::options::ReadOptions;
use crate::row::Row;
use crate::rows::Rows;
use crate::scan::{Scanned, scan};
use crate::source::Source;
use crate::spool;
use crate::summary::Summary;

/// Reads a dataset once, to its end whatever is wrong with its rows.
pub(crate) fn examine(path: &Path, options: &ReadOptions) -> Result<Scanned, DataError> {
    scan(path, &mut *format::open(path, options)?, options)
}

/// A dataset that was read once and found in order.
#[derive(Debug)]
pub struct DatasetFile {
    path: PathBuf,
    options: ReadOptions,
    scanned: Scanned,
}

impl DatasetFile {
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let mut scanned = examine(path, options)?;
        if !scanned.errors.is_empty() {
            return Err(scanned.errors.swap_remove(0));
        }
        Ok(Self {
            path: path.to_owned(),
            options: options.clone(),
            scanned,
        })
    }

    /// What the dataset holds.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.scanned.summary
    }

    /// What is in its columns, and what is worth knowing.
    #[must_use]
    pub fn profile(&self) -> &crate::Profile {
        &self.scanned.profile
    }

    /// Where the dataset is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the dataset has these slices.
    ///
    /// # Errors
    /// [`DataError::NoSlice`] for the first that is missing.
    pub fn check_slices<'s>(&self, slices: impl IntoIterator<Item = &'s str>) -> Result<(), DataError> {
        let found = &self.summary().slices;
        match slices.into_iter().find(|slice| !found.iter().any(|f| f == slice)) {
            None => Ok(()),
            Some(slice) => Err(DataError::NoSlice {
                path: self.path.clone(),
                slice: slice.to_owned(),
                found: found.clone(),
            }),
        }
    }

    /// Names of the attributes of every row, in the order of the columns.
    ///
    /// # Errors
    /// As [`crate::open`], when the dataset can no longer be read.
    pub fn attributes(&self) -> Result<Vec<String>, DataError> {
        let rows = format::open(&self.path, &self.options)?;
        let names = rows.columns().attributes.iter().map(|(_, name)| name.clone());
        Ok(names.collect())
    }

    /// The source records in the order of their first rows. A dataset that changed meanwhile ends the
    /// iteration with [`DataError::Changed`] or the error that the change causes.
    ///
    /// # Errors
    /// As [`crate::open`], when the dataset can no longer be read; corruptions without a secret.
    pub fn records(self) -> Result<Records, DataError> {
        self.start(None)
    }

    /// As [`Self::records`], with the secret that keys the corrupted views.
    ///
    /// # Errors
    /// As [`crate::open`], when the dataset can no longer be read.
    pub fn records_with(self, secret: &[u8; 32]) -> Result<Records, DataError> {
        self.start(Some(secret))
    }

    fn start(self, secret: Option<&[u8; 32]>) -> Result<Records, DataError> {
        let rows = format::open(&self.path, &self.options)?;
        let summary = &self.scanned.summary;
        let names = rows.columns().attributes.iter().map(|(_, name)| name.clone());
        let derive = Derive::new(&self.path, &self.options, summary, names.collect(), secret)?;
        let feed = match self.scanned.order() {
            None => Feed::Stream(rows),
            Some(order) => Feed::Spooled(Spooled::new(&self.path, rows, order, &self.scanned)?),
        };
        Ok(Records {
            path: self.path,
            derive,
            summary: self.scanned.summary,
            feed,
            ahead: None,
            ended: false,
        })
    }
}

/// Iterator over the source records of a dataset.
pub struct Records {
    path: PathBuf,
    derive: Derive,
    summary: Summary,
    feed: Feed,
    /// The first row of the next record.
    ahead: Option<Row>,
    ended: bool,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

enum Feed {
    Stream(Box<dyn Rows>),
    Spooled(Spooled),
}

impl Records {
    /// What the dataset holds.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn row(&mut self) -> Result<Option<Row>, DataError> {
        match &mut self.feed {
            Feed::Spooled(spooled) => spooled.row(),
            Feed::Stream(rows) => match rows.next_row().transpose()? {
                Some(row) => Ok(Some(row)),
                None if rows.version()? == self.summary.version => Ok(None),
                None => Err(DataError::Changed {
                    path: self.path.clone(),
                }),
            },
        }
    }

    fn record(&mut self) -> Result<Option<Source>, DataError> {
        let first = match self.ahead.take() {
            Some(row) => row,
            None => match self.row()? {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let mut rows = vec![first];
        loop {
            match self.row()? {
                Some(row) if rows.first().is_some_and(|r| r.record_id == row.record_id) => rows.push(row),
                other => {
                    self.ended = other.is_none();
                    self.ahead = other;
                    return self.derive.source(rows).map(Some);
                }
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Source, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended && self.ahead.is_none() {
            return None;
        }
        let record = self.record().transpose();
        self.ended |= !matches!(record, Some(Ok(_)));
        if matches!(record, Some(Err(_))) {
            self.ahead = None;
        }
        record
    }
}

/// Rows in a temporary file, read in the order of their records.
struct Spooled {
    path: PathBuf,
    rows: File,
    /// Eight bytes a row: where it starts in `rows`.
    offsets: File,
    /// Eight bytes a row: row numbers, record by record.
    order: BufReader<File>,
}

impl Spooled {
    fn new(
        path: &Path,
        mut from: Box<dyn Rows>,
        order: Result<crate::sort::Sorted<16>, std::io::Error>,
        scanned: &Scanned,
    ) -> Result<Self, DataError> {
        let failed = |e| io_error(path, "keep a temporary copy of", e);
        let (rows, offsets) = (
            tempfile::tempfile().map_err(failed)?,
            tempfile::tempfile().map_err(failed)?,
        );
        let handles = (
            rows.try_clone().map_err(failed)?,
            offsets.try_clone().map_err(failed)?,
        );
        let (mut row_out, mut offset_out) = (BufWriter::new(handles.0), BufWriter::new(handles.1));
        let mut at = 0_u64;
        while let Some(row) = from.next_row().transpose()? {
            let bytes = spool::encode(&row);
            offset_out.write_all(&at.to_le_bytes()).map_err(failed)?;
            row_out
                .write_all(&(bytes.len() as u64).to_le_bytes())
                .map_err(failed)?;
            row_out.write_all(&bytes).map_err(failed)?;
            at += 8 + bytes.len() as u64;
        }
        row_out.flush().map_err(failed)?;
        offset_out.flush().map_err(failed)?;
        if from.version()? != scanned.summary.version {
            return Err(DataError::Changed {
                path: path.to_owned(),
            });
        }
        let mut order_out = BufWriter::new(tempfile::tempfile().map_err(failed)?);
        for entry in order.map_err(failed)?.iter().map_err(failed)? {
            let [_, _, _, _, _, _, _, _, number @ ..] = entry.map_err(failed)?;
            order_out.write_all(&number).map_err(failed)?;
        }
        let mut order = order_out.into_inner().map_err(|e| failed(e.into_error()))?;
        order.rewind().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            rows,
            offsets,
            order: BufReader::new(order),
        })
    }

    fn row(&mut self) -> Result<Option<Row>, DataError> {
        self.read()
            .map_err(|e| io_error(&self.path, "read the temporary copy of", e))
    }

    fn read(&mut self) -> std::io::Result<Option<Row>> {
        let mut number = [0; 8];
        match self.order.read_exact(&mut number) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let number = u64::from_be_bytes(number);
        let mut word = [0; 8];
        self.offsets.read_exact_at(&mut word, number * 8)?;
        let at = u64::from_le_bytes(word);
        self.rows.read_exact_at(&mut word, at)?;
        let length = usize::try_from(u64::from_le_bytes(word)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.rows.read_exact_at(&mut bytes, at + 8)?;
        spool::decode(&bytes).map(Some)
    }
}

#[cfg(test)]
mod tests;
