//! CSV files, read row by row and hashed meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use crate::columns::{Cell, Columns};
use crate::error::{DataError, Place, io_error};
use crate::options::ReadOptions;
use crate::row::Row;
use crate::rows::Rows;

/// Most bytes of a row; a quote that is never closed would otherwise read the whole file as one value.
const ROW_BYTES_MAX: usize = 64 << 20;

/// The rows of a file.
pub(crate) struct CsvRows {
    path: PathBuf,
    reader: Reader<Hashing>,
    columns: Columns,
    record: StringRecord,
    missing: Vec<u64>,
}

impl CsvRows {
    pub(crate) fn open(
        path: &Path,
        options: &ReadOptions,
        images: Option<&'static str>,
    ) -> Result<Self, DataError> {
        let mut reader = ReaderBuilder::new()
            .has_headers(true)
            .from_reader(Hashing::open(path)?);
        let header = reader.headers().map_err(|e| csv_error(path, &e))?;
        let names: Vec<String> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        if names.iter().all(String::is_empty) {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        let columns = Columns::new(path, names, options, images)?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            missing: vec![0; columns.names.len()],
            columns,
            record: StringRecord::new(),
        })
    }

    /// The value of a column of the row that was read last.
    pub(crate) fn value(&self, column: &str) -> Option<&str> {
        let at = self.columns.names.iter().position(|name| name == column)?;
        self.record.get(at)
    }
}

impl Rows for CsvRows {
    fn next_row(&mut self) -> Option<Result<Row, DataError>> {
        self.reader.get_mut().since_row = 0;
        match self.reader.read_record(&mut self.record) {
            Ok(false) => None,
            Err(error) => Some(Err(csv_error(&self.path, &error))),
            Ok(true) => {
                let place = Place::Line(self.record.position().map_or(0, csv::Position::line));
                let cell = |at: usize| Cell::Text(self.record.get(at).unwrap_or_default());
                Some(self.columns.row(place, cell, &mut self.missing))
            }
        }
    }

    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn missing(&self) -> &[u64] {
        &self.missing
    }

    fn version(&mut self) -> Result<String, DataError> {
        let hashing = self.reader.get_mut();
        hashing.since_row = 0;
        let mut rest = [0; 1 << 16];
        while hashing
            .read(&mut rest)
            .map_err(|e| io_error(&self.path, "read", e))?
            > 0
        {
            hashing.since_row = 0;
        }
        Ok(hashing.hasher.finalize().to_hex().to_string())
    }
}

pub(crate) fn csv_error(path: &Path, error: &csv::Error) -> DataError {
    let place = error.position().map(|p| Place::Line(p.line()));
    match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => DataError::Width {
            path: path.to_owned(),
            place: place.unwrap_or(Place::Line(0)),
            expected: *expected_len,
            found: *len,
        },
        ErrorKind::Io(source) => io_error(path, "read", io::Error::new(source.kind(), source.to_string())),
        _ => DataError::Csv {
            path: path.to_owned(),
            place,
            detail: error.to_string(),
        },
    }
}

/// A file that is hashed while it is read.
struct Hashing {
    file: File,
    hasher: blake3::Hasher,
    /// Bytes read since the last row was whole.
    since_row: usize,
}

impl Hashing {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        Ok(Self {
            file,
            hasher: blake3::Hasher::new(),
            since_row: 0,
        })
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.since_row += count;
        if self.since_row > ROW_BYTES_MAX {
            let detail =
                format!("a row has more than {ROW_BYTES_MAX} bytes; look for a quote that is not closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
