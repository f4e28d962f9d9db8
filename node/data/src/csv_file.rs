//! CSV files: one pass that checks and hashes, then reads by byte offset.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord};

use crate::error::{DataError, Place, shortened};
use crate::row::{Row, feature_of_text};
use crate::scan::{FEATURES_MAX, Index, Scan};

const RECORD_ID: &str = "record_id";
const SLICE: &str = "slice";
const LABEL: &str = "label";
/// Columns that an error lists.
const LISTED_MAX: usize = 12;

/// Which column holds what.
#[derive(Debug, Clone)]
struct Columns {
    record_id: usize,
    /// `None`: every row is of the slice in `Layout::slice_absent`.
    slice: Option<usize>,
    label: usize,
    features: Vec<(usize, String)>,
}

/// How the rows of one file are understood.
#[derive(Debug, Clone)]
struct Layout {
    path: PathBuf,
    columns: Columns,
    slice_absent: String,
}

/// Reads a whole file once. Without a slice column every row is of slice `slice_absent`, if given.
pub(crate) fn scan(path: &Path, slice_absent: Option<&str>) -> Result<Index, DataError> {
    let mut reader = reader(Hashing::open(path)?);
    let layout = Layout::read(path, &mut reader, slice_absent)?;
    let mut scan = Scan::new(path, layout.columns.features.len());
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| layout.error(&e))? {
        scan.take(&layout.row(&record)?)?;
    }
    scan.finish(reader.into_inner().finish(path)?)
}

/// Reads rows again by their offsets.
pub(crate) struct Rows {
    reader: Reader<BufReader<File>>,
    layout: Layout,
    record: StringRecord,
}

impl Rows {
    pub(crate) fn open(path: &Path, slice_absent: Option<&str>) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        let mut reader = reader(BufReader::new(file));
        let layout = Layout::read(path, &mut reader, slice_absent)?;
        Ok(Self {
            reader,
            layout,
            record: StringRecord::new(),
        })
    }

    pub(crate) fn row_at(&mut self, locator: u64, place: Place) -> Result<Row, DataError> {
        let Place::Line(line) = place else {
            return Err(DataError::Changed {
                path: self.layout.path.clone(),
            });
        };
        let mut position = Position::new();
        position.set_byte(locator).set_line(line).set_record(1);
        self.reader.seek(position).map_err(|e| self.layout.error(&e))?;
        match self.reader.read_record(&mut self.record) {
            Ok(true) => self.layout.row(&self.record),
            Ok(false) => Err(DataError::Changed {
                path: self.layout.path.clone(),
            }),
            Err(error) => Err(self.layout.error(&error)),
        }
    }
}

fn reader<R: Read>(source: R) -> Reader<R> {
    ReaderBuilder::new().has_headers(true).from_reader(source)
}

impl Layout {
    fn read<R: Read>(path: &Path, reader: &mut Reader<R>, absent: Option<&str>) -> Result<Self, DataError> {
        let header = reader.headers().map_err(|e| csv_error(path, &e))?;
        let columns = columns(path, header, absent.is_some())?;
        Ok(Self {
            path: path.to_owned(),
            columns,
            slice_absent: absent.unwrap_or_default().to_owned(),
        })
    }

    fn row(&self, record: &StringRecord) -> Result<Row, DataError> {
        let position = record.position();
        let place = Place::Line(position.map_or(0, Position::line));
        let text = |at: usize| record.get(at).unwrap_or_default();
        let feature = |(at, column): &(usize, String)| {
            feature_of_text(text(*at)).map_err(|problem| DataError::Value {
                path: self.path.clone(),
                place,
                column: column.as_str().into(),
                found: shortened(text(*at)).into(),
                expected: problem.expected,
                fix: problem.fix,
            })
        };
        Ok(Row {
            place,
            locator: position.map_or(0, Position::byte),
            record_id: text(self.columns.record_id).trim().to_owned(),
            slice: self
                .columns
                .slice
                .map_or(self.slice_absent.as_str(), |at| text(at).trim())
                .to_owned(),
            label: text(self.columns.label).trim().to_owned(),
            features: self
                .columns
                .features
                .iter()
                .map(feature)
                .collect::<Result<_, _>>()?,
        })
    }

    fn error(&self, error: &csv::Error) -> DataError {
        csv_error(&self.path, error)
    }
}

fn columns(path: &Path, header: &StringRecord, slice_optional: bool) -> Result<Columns, DataError> {
    let names: Vec<&str> = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim())
        .collect();
    if names.iter().all(|name| name.is_empty()) {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
        return Err(DataError::ColumnTwice {
            path: path.to_owned(),
            column: shortened(twice),
        });
    }
    let find = |name: &'static str| {
        names
            .iter()
            .position(|n| *n == name)
            .ok_or_else(|| DataError::Missing {
                path: path.to_owned(),
                what: "column",
                name,
                found: names.iter().take(LISTED_MAX).map(|n| shortened(n)).collect(),
            })
    };
    let record_id = find(RECORD_ID)?;
    let slice = if slice_optional {
        find(SLICE).ok()
    } else {
        Some(find(SLICE)?)
    };
    let label = find(LABEL)?;
    let is_feature = |name: &str| ![RECORD_ID, SLICE, LABEL].contains(&name);
    let features: Vec<(usize, String)> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| is_feature(name))
        .map(|(at, name)| (at, shortened(name)))
        .collect();
    if features.len() > FEATURES_MAX {
        let (what, limit) = ("feature columns", FEATURES_MAX as u64);
        return Err(DataError::TooMany {
            path: path.to_owned(),
            what,
            limit,
        });
    }
    if features.is_empty() {
        let (path, found) = (path.to_owned(), names.iter().map(|n| shortened(n)).collect());
        return Err(DataError::Missing {
            path,
            what: "feature column such as",
            name: "x0",
            found,
        });
    }
    Ok(Columns {
        record_id,
        slice,
        label,
        features,
    })
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

pub(crate) fn io_error(path: &Path, step: &'static str, source: io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        step,
        source,
    }
}

/// A file that is hashed while it is read.
struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Hashing {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        Ok(Self {
            file,
            hasher: blake3::Hasher::new(),
        })
    }

    /// The hash of the whole file, in hex; reads what the CSV reader left.
    fn finish(mut self, path: &Path) -> Result<String, DataError> {
        io::copy(&mut self, &mut io::sink()).map_err(|e| io_error(path, "read", e))?;
        Ok(self.hasher.finalize().to_hex().to_string())
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
