//! NPZ files: arrays `record_id`, `label`, `features` and, where they are there, `slice` and `group`, held in
//! memory: members of an archive may be compressed and are not read side by side.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::columns::{Cell, Columns};
use crate::csv_file::io_error;
use crate::error::{DataError, Place, shortened};
use crate::file::Rows;
use crate::npy::{Header, NpyError};
use crate::options::ReadOptions;
use crate::row::Row;
use crate::scan::{FEATURES_MAX, ROWS_MAX};

/// Most bytes of one array as stored; keeps a small file from unpacking into all memory.
const ARRAY_BYTES_MAX: u64 = 4 << 30;
/// Members that an error lists.
const LISTED_MAX: usize = 12;

/// The rows of a file.
pub(crate) struct NpzRows {
    path: PathBuf,
    columns: Columns,
    record_ids: Vec<String>,
    slices: Option<Vec<String>>,
    labels: Vec<String>,
    groups: Option<Vec<String>>,
    /// Row by row.
    features: Vec<f64>,
    width: usize,
    at: usize,
    missing: Vec<u64>,
}

impl NpzRows {
    /// Reads and checks the arrays.
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| DataError::Array {
            path: path.to_owned(),
            array: "(file)".to_owned(),
            detail: e.to_string(),
            fix: "write it with numpy.savez",
        })?;
        let has = |archive: &Archive, name: &str| archive.index_for_name(&format!("{name}.npy")).is_some();
        let record_ids = texts(path, &mut archive, "record_id")?;
        let labels = texts(path, &mut archive, "label")?;
        let rows = record_ids.len() as u64;
        same_rows(path, "label", labels.len() as u64, rows)?;
        let mut optional = |name: &'static str| -> Result<Option<Vec<String>>, DataError> {
            if !has(&archive, name) {
                return Ok(None);
            }
            let values = texts(path, &mut archive, name)?;
            same_rows(path, name, values.len() as u64, rows)?;
            Ok(Some(values))
        };
        let (slices, groups) = (optional("slice")?, optional("group")?);
        if record_ids.is_empty() {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        let (features, width) = features(path, &mut archive, rows)?;
        let mut names: Vec<String> = vec!["record_id".into(), "label".into()];
        names.extend(slices.is_some().then(|| "slice".to_owned()));
        names.extend(groups.is_some().then(|| "group".to_owned()));
        names.extend((0..width).map(|at| format!("features[{at}]")));
        let columns = Columns::new(path, names, options, None)?;
        Ok(Self {
            path: path.to_owned(),
            missing: vec![0; columns.names.len()],
            columns,
            record_ids,
            slices,
            labels,
            groups,
            features,
            width,
            at: 0,
        })
    }

    fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let named = [
            Some(&self.record_ids),
            Some(&self.labels),
            self.slices.as_ref(),
            self.groups.as_ref(),
        ];
        let mut named = named.into_iter().flatten();
        let count = 2 + usize::from(self.slices.is_some()) + usize::from(self.groups.is_some());
        if let Some(feature) = column.checked_sub(count) {
            let found = self.features.get(row * self.width + feature);
            return found.map_or(Cell::Missing, |number| Cell::Number(*number));
        }
        let text = named.nth(column).and_then(|values| values.get(row));
        text.map_or(Cell::Missing, |text| Cell::Text(text))
    }
}

impl Rows for NpzRows {
    fn next_row(&mut self) -> Option<Result<Row, DataError>> {
        let row = self.at;
        if row >= self.record_ids.len() {
            return None;
        }
        self.at += 1;
        let mut missing = std::mem::take(&mut self.missing);
        let made = self.columns.row(
            Place::Row(row as u64),
            |column| self.cell(row, column),
            &mut missing,
        );
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

type Archive = ZipArchive<BufReader<File>>;

/// Opens an array and reads its header.
fn with_array<T>(
    path: &Path,
    archive: &mut Archive,
    name: &'static str,
    read: impl FnOnce(&Header, &mut dyn std::io::Read) -> Result<T, NpyError>,
) -> Result<(Header, T), DataError> {
    let members: Vec<String> = archive
        .file_names()
        .filter_map(Result::ok)
        .map(|member| shortened(member.trim_end_matches(".npy")))
        .take(LISTED_MAX)
        .collect();
    let missing = || DataError::Missing {
        path: path.to_owned(),
        what: "array",
        name,
        found: members,
    };
    let mut member = archive.by_name(&format!("{name}.npy")).map_err(|_| missing())?;
    let fail = |error: NpyError| array_error(path, name, &error);
    let header = Header::read(&mut member).map_err(fail)?;
    let values = read(&header, &mut member).map_err(fail)?;
    Ok((header, values))
}

fn array_error(path: &Path, name: &str, error: &NpyError) -> DataError {
    let fix = match error {
        NpyError::Pickle => "convert it with array.astype(str) or to numbers before saving",
        NpyError::Fortran => "convert it with numpy.ascontiguousarray before saving",
        NpyError::TooLarge { .. } => {
            "split the file, or save it as Parquet or CSV, which are read as a stream"
        }
        _ => "save it again with numpy.savez",
    };
    DataError::Array {
        path: path.to_owned(),
        array: name.to_owned(),
        detail: error.to_string(),
        fix,
    }
}

fn texts(path: &Path, archive: &mut Archive, name: &'static str) -> Result<Vec<String>, DataError> {
    let (header, values) = with_array(path, archive, name, |header, mut source| {
        header.texts(&mut source, ARRAY_BYTES_MAX)
    })?;
    if header.shape.len() != 1 {
        return Err(DataError::Array {
            path: path.to_owned(),
            array: name.to_owned(),
            detail: format!("its shape is {:?}, one value per row is expected", header.shape),
            fix: "flatten it before saving",
        });
    }
    if values.len() as u64 > ROWS_MAX {
        return Err(DataError::TooMany {
            path: path.to_owned(),
            what: "rows",
            limit: ROWS_MAX,
        });
    }
    Ok(values)
}

fn features(path: &Path, archive: &mut Archive, rows: u64) -> Result<(Vec<f64>, usize), DataError> {
    let (header, numbers) = with_array(path, archive, "features", |header, mut source| {
        header.numbers(&mut source, ARRAY_BYTES_MAX)
    })?;
    same_rows(path, "features", header.shape.first().copied().unwrap_or(0), rows)?;
    let width = header
        .shape
        .iter()
        .skip(1)
        .try_fold(1_u64, |product, size| product.checked_mul(*size));
    let width = width.and_then(|w| usize::try_from(w).ok()).unwrap_or(usize::MAX);
    if width == 0 || width > FEATURES_MAX {
        let (what, limit) = ("features per row (or none)", FEATURES_MAX as u64);
        return Err(DataError::TooMany {
            path: path.to_owned(),
            what,
            limit,
        });
    }
    Ok((numbers, width))
}

fn same_rows(path: &Path, array: &str, found: u64, expected: u64) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    Err(DataError::Array {
        path: path.to_owned(),
        array: array.to_owned(),
        detail: format!("it has {found} rows, record_id has {expected}"),
        fix: "save arrays with one entry per row",
    })
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
