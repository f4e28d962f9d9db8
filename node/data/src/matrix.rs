//! Rows of numbers for one request to a model: `.npy` files, and CSV files without ids or labels.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use crate::csv_file::csv_error;
use crate::error::{DataError, Place, io_error, shortened};
use crate::npy::{Header, NpyError};
use crate::row::{feature_of_number, feature_of_text};

/// Most bytes of a matrix.
const BYTES_MAX: u64 = 1 << 30;
/// Columns of a dataset that are no features.
const NO_FEATURES: [&str; 3] = ["record_id", "slice", "label"];

/// Numbers with a shape, rows first.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Sizes.
    pub shape: Vec<u64>,
    /// Values in row-major order.
    pub values: Vec<f64>,
}

/// Reads a `.npy` file, or a `.csv` file with one row per line. A first line that is not all numbers is
/// a header; its columns `record_id`, `slice` and `label` are left out.
///
/// # Errors
/// [`DataError`] naming file, line and column.
pub fn matrix(path: &Path) -> Result<Matrix, DataError> {
    std::fs::metadata(path).map_err(|error| io_error(path, "open", error))?;
    match path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        Some("npy") => npy(path),
        Some("csv") => csv(path),
        _ => Err(DataError::Format {
            path: path.to_owned(),
        }),
    }
}

fn npy(path: &Path) -> Result<Matrix, DataError> {
    let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
    let mut source = BufReader::new(file);
    let fail = |error: NpyError| DataError::Array {
        path: path.to_owned(),
        array: "(file)".to_owned(),
        detail: error.to_string(),
        fix: "save it with numpy.save as an array of numbers",
    };
    let header = Header::read(&mut source).map_err(fail)?;
    let numbers = header.numbers(&mut source, BYTES_MAX).map_err(fail)?;
    let value = |(at, number): (usize, f64)| {
        let wrong = |problem: crate::row::NoFeature| DataError::Value {
            path: path.to_owned(),
            place: Place::Row(at as u64),
            column: "(flat index)".into(),
            found: number.to_string().into(),
            expected: problem.expected,
            fix: problem.fix,
        };
        feature_of_number(number).map(|_| number).map_err(wrong)
    };
    let values = numbers
        .into_iter()
        .enumerate()
        .map(value)
        .collect::<Result<_, _>>()?;
    Ok(Matrix {
        shape: header.shape,
        values,
    })
}

fn csv(path: &Path) -> Result<Matrix, DataError> {
    let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .from_reader(BufReader::new(file));
    let mut record = StringRecord::new();
    let (mut rows, mut values, mut kept) = (0_u64, Vec::new(), None::<Vec<bool>>);
    while reader.read_record(&mut record).map_err(|e| csv_error(path, &e))? {
        if kept.is_none() {
            let is_header = record.iter().any(|field| field.trim().parse::<f64>().is_err());
            kept = Some(
                record
                    .iter()
                    .map(|name| !is_header || !NO_FEATURES.contains(&name.trim()))
                    .collect(),
            );
            if is_header {
                continue;
            }
        }
        let keep = kept.iter().flatten();
        for (at, (field, _)) in record
            .iter()
            .zip(keep)
            .enumerate()
            .filter(|(_, (_, keep))| **keep)
        {
            let number =
                feature_of_text(field).map(|rounded| field.trim().parse().unwrap_or(f64::from(rounded)));
            values.push(number.map_err(|problem| DataError::Value {
                path: path.to_owned(),
                place: Place::Line(record.position().map_or(0, csv::Position::line)),
                column: (at + 1).to_string().into(),
                found: shortened(field).into(),
                expected: problem.expected,
                // What is said of datasets names options that a request does not have.
                fix: "correct it or remove its column; only record_id, slice and label may hold anything else",
            })?);
        }
        rows += 1;
    }
    if rows == 0 || values.is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    let width = values.len() as u64 / rows;
    Ok(Matrix {
        shape: vec![rows, width],
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Matrix, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        std::fs::write(&path, text).unwrap();
        matrix(&path)
    }

    #[test]
    fn rows_are_read_with_or_without_a_header() {
        let expected = Matrix {
            shape: vec![2, 2],
            values: vec![1.0, 2.0, 3.0, 4.0],
        };
        assert_eq!(read("1,2\n3,4\n").unwrap(), expected);
        assert_eq!(
            read("record_id,x0,label,x1\na,1,0,2\nb,3,1,4\n").unwrap(),
            expected
        );
    }

    #[test]
    fn a_bad_number_names_line_and_column() {
        let error = read("x0,x1\n1,2\n3,z\n").unwrap_err().to_string();
        assert!(error.contains("line 3, column '2'"), "{error}");
        assert!(!error.contains("--"), "{error}");
        assert!(matches!(read("x0,x1\n"), Err(DataError::Empty { .. })));
    }
}
