//! Which reader a dataset gets, by what its path is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::csv_file::CsvRows;
use crate::error::{DataError, io_error};
use crate::images::ImageRows;
use crate::npz::NpzRows;
use crate::options::ReadOptions;
use crate::parquet_file::ParquetRows;
use crate::row::Row;
use crate::rows::Rows;

/// Opens a dataset.
pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Box<dyn Rows>, DataError> {
    let found = std::fs::metadata(path).map_err(|error| io_error(path, "open", error))?;
    if found.is_dir() {
        return Ok(Box::new(ImageRows::open(path, options)?));
    }
    let extension = path.extension().map(|e| e.to_ascii_lowercase());
    match extension.as_deref().and_then(|e| e.to_str()) {
        Some("csv") => Ok(Box::new(CsvRows::open(path, options, None)?)),
        Some("npz") => Ok(Box::new(NpzRows::open(path, options)?)),
        Some("parquet") => Ok(Box::new(ParquetRows::open(path, options)?)),
        _ => Err(DataError::Format {
            path: path.to_owned(),
        }),
    }
}

/// Some rows by their numbers; reads until the last of them.
pub(crate) fn rows_at(
    path: &Path,
    options: &ReadOptions,
    wanted: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Row>, DataError> {
    let mut from = open(path, options)?;
    let (mut found, mut number) = (BTreeMap::new(), 0);
    while found.len() < wanted.len() {
        match from.next_row() {
            Some(Ok(row)) => {
                if wanted.contains(&number) {
                    found.insert(number, row);
                }
                number += 1;
            }
            Some(Err(error)) if error.is_of_row() => {}
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    Ok(found)
}
