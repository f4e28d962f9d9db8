//! NPZ files: arrays `record_id`, `label`, `features` and, where they are there, `slice` and `group`, read side
//! by side, one row at a time: memory holds one row and a buffer for each array.
//!
//! The `zip` crate finds the members and checks their headers; their bytes are read here, because it lends out
//! one member at a time. Checksums are compared at the end of the last row, as it would.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::{CrcReader, bufread::DeflateDecoder};
use zip::{CompressionMethod, ZipArchive};

use crate::columns::{Cell, Columns};
use crate::error::{DataError, Place, io_error, shortened};
use crate::limits::{FEATURES_MAX, ROWS_MAX};
use crate::npy::{Header, NpyError};
use crate::options::ReadOptions;
use crate::row::Row;
use crate::rows::Rows;

/// Members that an error lists.
const LISTED_MAX: usize = 12;
/// Bytes read ahead of each array.
const BUFFER_BYTES: usize = 64 * 1024;

/// The rows of a file.
pub(crate) struct NpzRows {
    path: PathBuf,
    columns: Columns,
    /// `record_id`, `label` and, where they are there, `slice` and `group`.
    named: Vec<Member>,
    /// What `named` holds of the current row.
    texts: Vec<String>,
    features: Member,
    rows: u64,
    at: u64,
    missing: Vec<u64>,
    ended: bool,
}

impl NpzRows {
    /// Finds the arrays and checks their shapes.
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let mut archive = Archive::open(path)?;
        let record_ids = archive.texts("record_id")?;
        let rows = record_ids.header.shape.first().copied().unwrap_or(0);
        let mut named = vec![record_ids, archive.texts("label")?];
        for name in ["slice", "group"] {
            if archive.has(name) {
                named.push(archive.texts(name)?);
            }
        }
        let features = archive.features()?;
        for member in named.iter().chain([&features]) {
            member.has_rows(path, rows)?;
        }
        if rows == 0 {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        if rows > ROWS_MAX {
            let (path, what, limit) = (path.to_owned(), "rows", ROWS_MAX);
            return Err(DataError::TooMany { path, what, limit });
        }
        let names = named.iter().map(|member| member.name.to_owned());
        let names = names.chain((0..features.width).map(|at| format!("features[{at}]")));
        let columns = Columns::new(path, names.collect(), options, None)?;
        Ok(Self {
            path: path.to_owned(),
            missing: vec![0; columns.names.len()],
            columns,
            texts: vec![String::new(); named.len()],
            named,
            features,
            rows,
            at: 0,
            ended: false,
        })
    }

    /// Reads the next row of every array.
    fn advance(&mut self) -> Result<(), DataError> {
        for (member, text) in self.named.iter_mut().zip(&mut self.texts) {
            member.next(&self.path)?;
            *text = member.header.text(&member.row);
        }
        self.features.next(&self.path)
    }

    fn finish(&mut self) -> Result<(), DataError> {
        for member in self.named.iter_mut().chain([&mut self.features]) {
            member.finish(&self.path)?;
        }
        Ok(())
    }

    fn cell(&self, column: usize) -> Cell<'_> {
        match column.checked_sub(self.texts.len()) {
            Some(feature) => self.features.number(feature).map_or(Cell::Missing, Cell::Number),
            None => self
                .texts
                .get(column)
                .map_or(Cell::Missing, |text| Cell::Text(text)),
        }
    }
}

impl Rows for NpzRows {
    fn next_row(&mut self) -> Option<Result<Row, DataError>> {
        if self.ended {
            return None;
        }
        let last = self.at == self.rows;
        let step = if last { self.finish() } else { self.advance() };
        if last || step.is_err() {
            self.ended = true;
            return step.err().map(Err);
        }
        let place = Place::Row(self.at);
        self.at += 1;
        let mut missing = std::mem::take(&mut self.missing);
        let made = self.columns.row(place, |column| self.cell(column), &mut missing);
        self.missing = missing;
        Some(made)
    }

    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn missing(&self) -> &[u64] {
        &self.missing
    }

    fn version(&mut self) -> Result<String, DataError> {
        hash(&self.path)
    }
}

/// An archive whose members are being looked for.
struct Archive {
    path: PathBuf,
    file: Arc<File>,
    members: ZipArchive<BufReader<File>>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, DataError> {
        let open = || File::open(path).map_err(|e| io_error(path, "open", e));
        let file = open()?;
        let directory = file.try_clone().map_err(|e| io_error(path, "open", e))?;
        let members = ZipArchive::new(BufReader::new(directory))
            .map_err(|e| unusable(path, "(file)", e.to_string(), "write it with numpy.savez"))?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            members,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.members.index_for_name(&format!("{name}.npy")).is_some()
    }

    /// An array with one text or integer for each row.
    fn texts(&mut self, name: &'static str) -> Result<Member, DataError> {
        let member = self.member(name)?;
        if member.header.shape.len() != 1 {
            let detail = format!(
                "its shape is {:?}, one value per row is expected",
                member.header.shape
            );
            return Err(unusable(&self.path, name, detail, "flatten it before saving"));
        }
        let wrong = member.header.is_float();
        let wrong = wrong.then(|| NpyError::Type("floating point".to_owned()));
        wrong.map_or(Ok(member), |error| Err(array_error(&self.path, name, &error)))
    }

    /// The array with the numbers of each row.
    fn features(&mut self) -> Result<Member, DataError> {
        let member = self.member("features")?;
        if member.header.is_text() {
            let error = NpyError::Type("text".to_owned());
            return Err(array_error(&self.path, "features", &error));
        }
        Ok(member)
    }

    /// Opens an array, reads its header and makes room for one row.
    fn member(&mut self, name: &'static str) -> Result<Member, DataError> {
        let path = self.path.clone();
        let Some(index) = self.members.index_for_name(&format!("{name}.npy")) else {
            return Err(self.missing(name));
        };
        let resave = "save it again with numpy.savez or numpy.savez_compressed";
        let broken = |detail: String| unusable(&path, name, detail, resave);
        let found = self.members.by_index(index).map_err(|e| broken(e.to_string()))?;
        let start = found.data_start();
        let start = start.ok_or_else(|| broken("it has no place in the file".to_owned()))?;
        let span = BufReader::with_capacity(
            BUFFER_BYTES,
            Span {
                file: Arc::clone(&self.file),
                at: start,
                end: start.saturating_add(found.compressed_size()),
            },
        );
        let source: Box<dyn Read> = match found.compression() {
            CompressionMethod::Stored => Box::new(span),
            CompressionMethod::Deflated => {
                Box::new(BufReader::with_capacity(BUFFER_BYTES, DeflateDecoder::new(span)))
            }
            other => return Err(broken(format!("it is compressed with {other}"))),
        };
        let (mut source, checksum) = (CrcReader::new(source), found.crc32());
        let header = Header::read(&mut source).map_err(|e| array_error(&path, name, &e))?;
        let width = width(&path, &header)?;
        Ok(Member {
            name,
            row: vec![0; width * header.item_bytes()],
            header,
            width,
            source,
            checksum,
        })
    }

    fn missing(&self, name: &'static str) -> DataError {
        let members = self.members.file_names().filter_map(Result::ok);
        let found = members.map(|member| shortened(member.trim_end_matches(".npy")));
        DataError::Missing {
            path: self.path.clone(),
            what: "array",
            name,
            found: found.take(LISTED_MAX).collect(),
        }
    }
}

/// Values of a row.
fn width(path: &Path, header: &Header) -> Result<usize, DataError> {
    let mut sizes = header.shape.iter().skip(1);
    let width = sizes.try_fold(1_u64, |product, size| product.checked_mul(*size));
    let width = width.and_then(|w| usize::try_from(w).ok());
    width
        .filter(|width| (1..=FEATURES_MAX).contains(width))
        .ok_or_else(|| DataError::TooMany {
            path: path.to_owned(),
            what: "features per row (or none)",
            limit: FEATURES_MAX as u64,
        })
}

/// One array, read row by row.
struct Member {
    name: &'static str,
    header: Header,
    /// Values of a row.
    width: usize,
    source: CrcReader<Box<dyn Read>>,
    checksum: u32,
    /// The bytes of the current row.
    row: Vec<u8>,
}

impl Member {
    fn has_rows(&self, path: &Path, expected: u64) -> Result<(), DataError> {
        let found = self.header.shape.first().copied().unwrap_or(0);
        if found == expected {
            return Ok(());
        }
        let detail = format!("it has {found} rows, record_id has {expected}");
        let fix = "save arrays with one entry per row";
        Err(unusable(path, self.name, detail, fix))
    }

    fn next(&mut self, path: &Path) -> Result<(), DataError> {
        let read = self.source.read_exact(&mut self.row);
        read.map_err(|e| array_error(path, self.name, &NpyError::Io(e)))
    }

    /// A number of the current row.
    fn number(&self, at: usize) -> Option<f64> {
        let bytes = self.row.chunks_exact(self.header.item_bytes()).nth(at)?;
        Some(self.header.number(bytes))
    }

    /// That the array ends where its shape says, and is as it was written.
    fn finish(&mut self, path: &Path) -> Result<(), DataError> {
        let detail = match self.source.read(&mut [0]) {
            Err(error) => return Err(array_error(path, self.name, &NpyError::Io(error))),
            Ok(1..) => "it holds more values than its shape says",
            Ok(0) if self.source.crc().sum() != self.checksum => "it is damaged: its checksum is another",
            Ok(0) => return Ok(()),
        };
        Err(unusable(
            path,
            self.name,
            detail.to_owned(),
            "save it again with numpy.savez",
        ))
    }
}

/// A part of a file, read without its cursor.
struct Span {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self
            .file
            .read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn unusable(path: &Path, array: &str, detail: String, fix: &'static str) -> DataError {
    DataError::Array {
        path: path.to_owned(),
        array: array.to_owned(),
        detail,
        fix,
    }
}

fn array_error(path: &Path, name: &str, error: &NpyError) -> DataError {
    let fix = match error {
        NpyError::Pickle => "convert it with array.astype(str) or to numbers before saving",
        NpyError::Fortran => "convert it with numpy.ascontiguousarray before saving",
        _ => "save it again with numpy.savez",
    };
    unusable(path, name, error.to_string(), fix)
}

/// BLAKE3 of a whole file, in hex.
pub(crate) fn hash(path: &Path) -> Result<String, DataError> {
    let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file)
        .map_err(|e| io_error(path, "read", e))?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests;
