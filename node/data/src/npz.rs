//! NPZ files: arrays `record_id`, `slice`, `label` and `features`, held in memory after reading.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::ZipArchive;

use crate::csv_file::io_error;
use crate::error::{DataError, Place, shortened};
use crate::npy::{Header, NpyError};
use crate::row::{Row, feature_of_number};
use crate::scan::{FEATURES_MAX, Index, ROWS_MAX, Scan};

/// Most bytes of one array as stored; keeps a small file from unpacking into all memory.
const ARRAY_BYTES_MAX: u64 = 4 << 30;
/// Members that an error lists.
const LISTED_MAX: usize = 12;

/// The arrays of one file.
pub(crate) struct Arrays {
    record_ids: Vec<String>,
    slices: Vec<String>,
    labels: Vec<String>,
    /// Row by row.
    features: Vec<f32>,
    width: usize,
}

/// Reads a whole file.
pub(crate) fn scan(path: &Path) -> Result<Index, DataError> {
    let arrays = Arrays::read(path)?;
    let mut scan = Scan::new(path, arrays.width);
    for row in 0..arrays.record_ids.len() {
        let row = arrays.row(row as u64).ok_or_else(|| DataError::Changed {
            path: path.to_owned(),
        })?;
        scan.take(&row)?;
    }
    scan.finish(hash(path)?)
}

impl Arrays {
    /// Reads and checks the four arrays.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| DataError::Array {
            path: path.to_owned(),
            array: "(file)".to_owned(),
            detail: e.to_string(),
            fix: "write it with numpy.savez",
        })?;
        let record_ids = texts(path, &mut archive, "record_id")?;
        let slices = texts(path, &mut archive, "slice")?;
        let labels = texts(path, &mut archive, "label")?;
        for (name, found) in [("slice", slices.len()), ("label", labels.len())] {
            same_rows(path, name, found as u64, record_ids.len() as u64)?;
        }
        if record_ids.is_empty() {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        let (features, width) = features(path, &mut archive, record_ids.len() as u64)?;
        Ok(Self {
            record_ids,
            slices,
            labels,
            features,
            width,
        })
    }

    /// A row; `None` past the last.
    pub(crate) fn row(&self, row: u64) -> Option<Row> {
        let at = usize::try_from(row).ok()?;
        let start = at.checked_mul(self.width)?;
        Some(Row {
            place: Place::Row(row),
            locator: row,
            record_id: self.record_ids.get(at)?.clone(),
            slice: self.slices.get(at)?.clone(),
            label: self.labels.get(at)?.clone(),
            features: self.features.get(start..start + self.width)?.to_vec(),
        })
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
        NpyError::TooLarge { .. } => "split the file, or save it as CSV, which is read as a stream",
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

fn features(path: &Path, archive: &mut Archive, rows: u64) -> Result<(Vec<f32>, usize), DataError> {
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
    let feature = |(at, number): (usize, f64)| {
        feature_of_number(number).map_err(|problem| DataError::Value {
            path: path.to_owned(),
            place: Place::Row((at / width) as u64),
            column: format!("features[{}]", at % width).into(),
            found: number.to_string().into(),
            expected: problem.expected,
            fix: problem.fix,
        })
    };
    let features = numbers
        .into_iter()
        .enumerate()
        .map(feature)
        .collect::<Result<_, _>>()?;
    Ok((features, width))
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
