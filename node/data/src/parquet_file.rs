//! Parquet files of flat columns, read in batches by the crate's column readers.
//!
//! Memory holds one batch and one page of each column. Nested columns, decimals and fixed-size bytes are
//! refused, and so is brotli. The crate reserves, without touching it, what a
//! page's header announces: up to 2 GiB of addresses, no memory.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::columns::{Cell, Columns};
use crate::error::{DataError, Place, io_error, shortened};
use crate::npz::hash;
use crate::options::ReadOptions;
use crate::row::Row;
use crate::rows::Rows;

/// Most cells of a batch.
const BATCH_CELLS: usize = 1 << 20;
/// Most rows of a batch.
const BATCH_ROWS: usize = 1024;

const RESAVE: &str = "save it again, for example with pyarrow.parquet.write_table";

/// The rows of a file.
pub(crate) struct ParquetRows {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    columns: Columns,
    unsigned: Vec<bool>,
    /// The next row group to open.
    group: usize,
    open: Vec<ColumnReader>,
    left_in_group: usize,
    batch: Vec<Values>,
    batch_rows: usize,
    at: usize,
    number: u64,
    missing: Vec<u64>,
    failed: bool,
}

/// One column of a batch.
#[derive(Debug)]
enum Values {
    Numbers(Vec<Option<f64>>),
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

impl Values {
    fn cell(&self, row: usize) -> Cell<'_> {
        let cell = match self {
            Self::Numbers(values) => values.get(row).copied().flatten().map(Cell::Number),
            Self::Integers(values) => values.get(row).copied().flatten().map(Cell::Integer),
            Self::Texts(values) => values.get(row).and_then(Option::as_deref).map(Cell::Text),
        };
        cell.unwrap_or(Cell::Missing)
    }
}

fn broken(path: &Path, detail: impl std::fmt::Display, fix: &'static str) -> DataError {
    DataError::Parquet {
        path: path.to_owned(),
        detail: detail.to_string().into(),
        fix,
    }
}

/// Runs what hands a file's bytes to the crate, whose assertions damaged bytes can trip.
fn guarded<T>(path: &Path, run: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    // What was being read is dropped by the caller, so nothing half-changed is seen again.
    std::panic::catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(broken(path, "it is damaged", RESAVE)))
}

/// That every column lies in the file and is compressed in a way that is read here.
fn columns_are_read(
    path: &Path,
    reader: &SerializedFileReader<File>,
    file_bytes: u64,
) -> Result<(), DataError> {
    let groups = reader.metadata().row_groups().iter();
    for column in groups.flat_map(|group| group.columns()) {
        let name = shortened(&column.column_path().string());
        let read = matches!(
            column.compression(),
            Compression::UNCOMPRESSED
                | Compression::SNAPPY
                | Compression::GZIP(_)
                | Compression::LZ4
                | Compression::LZ4_RAW
                | Compression::ZSTD(_)
        );
        if !read {
            let detail = format!(
                "column '{name}' is compressed with {}, which is not read here",
                column.compression()
            );
            let fix = "write it with compression snappy, zstd, lz4, gzip or none";
            return Err(broken(path, detail, fix));
        }
        // The crate asserts that these are not negative, and takes memory for what they say.
        let start = column
            .dictionary_page_offset()
            .unwrap_or(column.data_page_offset());
        let bytes = u64::try_from(column.compressed_size()).ok();
        let end = u64::try_from(start)
            .ok()
            .zip(bytes)
            .and_then(|(a, b)| a.checked_add(b));
        if column.data_page_offset() < 0 || end.is_none_or(|end| end > file_bytes) {
            let detail = format!("column '{name}' lies beyond the end of the file");
            return Err(broken(path, detail, RESAVE));
        }
    }
    Ok(())
}

impl ParquetRows {
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        guarded(path, || Self::open_unguarded(path, options))
    }

    fn open_unguarded(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        let file_bytes = file.metadata().map_err(|e| io_error(path, "read", e))?.len();
        let unreadable = |e: ParquetError| {
            broken(
                path,
                format!("it is no Parquet file or a damaged one ({e})"),
                RESAVE,
            )
        };
        let reader = SerializedFileReader::new(file).map_err(unreadable)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let (mut names, mut unsigned) = (Vec::new(), Vec::new());
        for column in schema.columns() {
            let name = shortened(&column.path().string());
            if column.path().parts().len() != 1 || column.max_rep_level() > 0 {
                let detail = format!("column '{name}' is nested");
                return Err(broken(path, detail, "write one flat column for each value"));
            }
            let decimal = column.converted_type() == ConvertedType::DECIMAL
                || matches!(column.logical_type_ref(), Some(LogicalType::Decimal { .. }));
            let kind = column.physical_type();
            if decimal || matches!(kind, Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY) {
                let kind = if decimal {
                    "DECIMAL".to_owned()
                } else {
                    kind.to_string()
                };
                let detail = format!("column '{name}' is of type {kind}");
                return Err(broken(path, detail, "convert it to integers, floats or strings"));
            }
            names.push(column.path().string());
            unsigned.push(matches!(
                column.converted_type(),
                ConvertedType::UINT_32 | ConvertedType::UINT_64
            ));
        }
        columns_are_read(path, &reader, file_bytes)?;
        let columns = Columns::new(path, names, options, None)?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            missing: vec![0; columns.names.len()],
            columns,
            unsigned,
            group: 0,
            open: Vec::new(),
            left_in_group: 0,
            batch: Vec::new(),
            batch_rows: 0,
            at: 0,
            number: 0,
            failed: false,
        })
    }

    /// Reads the next batch; false at the end.
    fn advance(&mut self) -> Result<bool, DataError> {
        while self.left_in_group == 0 {
            if self.group >= self.reader.num_row_groups() {
                return Ok(false);
            }
            self.open_group().map_err(|e| self.damaged(&e))?;
        }
        let rows = (BATCH_CELLS / self.open.len().max(1))
            .clamp(1, BATCH_ROWS)
            .min(self.left_in_group);
        let mut batch = Vec::with_capacity(self.open.len());
        for (reader, unsigned) in self.open.iter_mut().zip(&self.unsigned) {
            let column = column(reader, rows, *unsigned);
            let found = column.map_err(|detail| {
                broken(
                    &self.path,
                    format!("row group {}: {detail}", self.group - 1),
                    RESAVE,
                )
            })?;
            batch.push(found);
        }
        self.left_in_group -= rows;
        (self.batch, self.batch_rows, self.at) = (batch, rows, 0);
        Ok(true)
    }

    fn open_group(&mut self) -> Result<(), ParquetError> {
        let group = self.reader.get_row_group(self.group)?;
        self.group += 1;
        let columns = 0..self.columns.names.len();
        self.open = columns
            .map(|at| group.get_column_reader(at))
            .collect::<Result<_, _>>()?;
        self.left_in_group = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        Ok(())
    }

    fn damaged(&self, error: &ParquetError) -> DataError {
        broken(
            &self.path,
            format!("row group {} cannot be read ({error})", self.group),
            RESAVE,
        )
    }
}

/// The next values of one column.
fn column(reader: &mut ColumnReader, rows: usize, unsigned: bool) -> Result<Values, String> {
    let text = |bytes: parquet::data_type::ByteArray| {
        String::from_utf8(bytes.data().to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
    };
    Ok(match reader {
        ColumnReader::BoolColumnReader(r) => {
            Values::Integers(batch(r, rows)?.into_iter().map(|v| v.map(i64::from)).collect())
        }
        ColumnReader::Int32ColumnReader(r) => {
            let wide = |v: i32| {
                if unsigned {
                    i64::from(v.cast_unsigned())
                } else {
                    i64::from(v)
                }
            };
            Values::Integers(batch(r, rows)?.into_iter().map(|v| v.map(wide)).collect())
        }
        ColumnReader::Int64ColumnReader(r) if unsigned => {
            #[expect(clippy::cast_precision_loss, reason = "above 2^53 rounded, as in NumPy")]
            let number = |v: i64| v.cast_unsigned() as f64;
            Values::Numbers(batch(r, rows)?.into_iter().map(|v| v.map(number)).collect())
        }
        ColumnReader::Int64ColumnReader(r) => Values::Integers(batch(r, rows)?),
        ColumnReader::FloatColumnReader(r) => {
            Values::Numbers(batch(r, rows)?.into_iter().map(|v| v.map(f64::from)).collect())
        }
        ColumnReader::DoubleColumnReader(r) => Values::Numbers(batch(r, rows)?),
        ColumnReader::ByteArrayColumnReader(r) => {
            let texts = batch(r, rows)?.into_iter().map(|v| v.map(text).transpose());
            Values::Texts(texts.collect::<Result<_, _>>()?)
        }
        _ => return Err("a column of an unexpected type".to_owned()),
    })
}

/// Exactly `rows` values, `None` where one is missing.
fn batch<T: DataType>(reader: &mut ColumnReaderImpl<T>, rows: usize) -> Result<Vec<Option<T::T>>, String> {
    let (mut out, mut values, mut levels) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
    while out.len() < rows {
        values.clear();
        levels.clear();
        let (records, _, _) = reader
            .read_records(rows - out.len(), Some(&mut levels), None, &mut values)
            .map_err(|e| e.to_string())?;
        if records == 0 {
            return Err("it ends early".to_owned());
        }
        if levels.is_empty() {
            out.extend(values.drain(..).map(Some));
            continue;
        }
        let mut present = values.drain(..);
        out.extend(
            levels
                .iter()
                .map(|level| (*level > 0).then(|| present.next()).flatten()),
        );
    }
    Ok(out)
}

impl Rows for ParquetRows {
    fn next_row(&mut self) -> Option<Result<Row, DataError>> {
        if self.failed {
            return None;
        }
        if self.at >= self.batch_rows {
            let path = self.path.clone();
            match guarded(&path, || self.advance()) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        let (row, place) = (self.at, Place::Row(self.number));
        self.at += 1;
        self.number += 1;
        let batch = &self.batch;
        let cell = |column: usize| batch.get(column).map_or(Cell::Missing, |values| values.cell(row));
        Some(self.columns.row(place, cell, &mut self.missing))
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

#[cfg(test)]
mod tests;
