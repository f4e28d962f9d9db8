//! What can be wrong with a dataset file. Each message names the file, the place, what was found, what
//! was expected and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use fieldmark_fl::corrupt::CorruptError;

/// Where in a file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a CSV file; the header is line 1.
    Line(u64),
    /// A row of an array; the first is row 0, as in Python.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// What the system said of a step with a file.
pub(crate) fn io_error(path: &Path, step: &'static str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        step,
        source,
    }
}

/// A dataset file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened, read or written.
    #[error("{}: cannot {step} the file: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file to be written is there already.
    #[error("{}: it exists already, and nothing is overwritten; remove it or choose another --out", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The name ends in none of `.csv`, `.parquet` and `.npz`, and it is no folder.
    #[error("{}: datasets are .csv, .parquet or .npz files or folders of images; convert it to one of these", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// No data rows.
    #[error("{}: the file holds no rows; it needs a header and at least one row of data", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A needed column or array is missing.
    #[error("{}: there is no {what} '{name}', found are {}; add it or rename the one that is meant",
        path.display(), found.join(", "))]
    Missing {
        /// The file.
        path: PathBuf,
        /// `column` or `array`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// Those found, at most twelve.
        found: Vec<String>,
    },
    /// The header names a column twice.
    #[error("{}: line 1: column '{column}' is there twice; rename or remove one", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// Its name.
        column: String,
    },
    /// A row with more or fewer values than the header has columns.
    #[error("{}: {place}: {found} values, the header has {expected} columns; check the row for a missing or stray comma", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Columns of the header.
        expected: u64,
        /// Values of the row.
        found: u64,
    },
    /// A value that cannot be used.
    #[error("{}: {place}, column '{column}': found '{found}', expected {expected}; {fix}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Its column.
        column: Box<str>,
        /// The value, shortened.
        found: Box<str>,
        /// What would be right.
        expected: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// Two rows are the same view of the same record.
    #[error("{}: {place}: record '{record}' has slice '{slice}' already, at {first}; remove one of the rows", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The second row.
        place: Place,
        /// The first.
        first: Place,
        /// The record.
        record: String,
        /// The slice.
        slice: String,
    },
    /// Two rows of a record differ in what its views share.
    #[error("{}: {place}: record '{record}' has {column} '{found}', at {first} it has '{expected}'; a record has one in all its views", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The later row.
        place: Place,
        /// The earlier row.
        first: Place,
        /// The record.
        record: Box<str>,
        /// `label`, `group` or an attribute.
        column: Box<str>,
        /// Value of the later row.
        found: Box<str>,
        /// Value of the earlier row.
        expected: Box<str>,
    },
    /// A feature outside the stated range.
    #[error("{}: {place}, column '{column}': found {found}, outside {low} to {high}; correct it, or state the range with --range", path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Its column.
        column: Box<str>,
        /// The value.
        found: f32,
        /// The least value.
        low: f32,
        /// The greatest.
        high: f32,
    },
    /// What was asked for does not fit the dataset.
    #[error("{}: {detail}", path.display())]
    Options {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: Box<str>,
    },
    /// A Parquet file that cannot be used.
    #[error("{}: {detail}; {fix}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: Box<str>,
        /// What to do.
        fix: &'static str,
    },
    /// One image that cannot be used.
    #[error("{}: {detail}; {fix}", path.display())]
    ImageFile {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        detail: Box<str>,
        /// What to do.
        fix: &'static str,
    },
    /// A slice that is asked for and not in the file.
    #[error("{}: there is no slice '{slice}', found are {}; add a row of this slice for every record", path.display(), found.join(", "))]
    NoSlice {
        /// The file.
        path: PathBuf,
        /// The slice asked for.
        slice: String,
        /// The slices there are.
        found: Vec<String>,
    },
    /// More of something than is taken.
    #[error("{}: more than {limit} {what}; split the file", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// What.
        what: &'static str,
        /// Most that is taken.
        limit: u64,
    },
    /// Bytes that are not CSV.
    #[error("{}: {}the file is not valid CSV: {detail}; save it as UTF-8 with commas between values",
        path.display(), place.map(|p| format!("{p}: ")).unwrap_or_default())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Where, if known.
        place: Option<Place>,
        /// What is wrong.
        detail: String,
    },
    /// An array that cannot be used.
    #[error("{}: array '{array}': {detail}; {fix}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// Its name.
        array: String,
        /// What is wrong.
        detail: String,
        /// What to do.
        fix: &'static str,
    },
    /// The file is not the one that was read before.
    #[error("{}: the file changed since it was read; add the dataset again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A view cannot be made from a record.
    #[error("{}: record '{record}': {source}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The record.
        record: String,
        /// Why not.
        source: CorruptError,
    },
    /// The features are no image of the stated range or shape.
    #[error("{}: {detail}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: String,
    },
}

impl DataError {
    pub(crate) fn options(path: &Path, detail: String) -> Self {
        let (path, detail) = (path.to_owned(), detail.into());
        Self::Options { path, detail }
    }

    /// Whether one row is at fault and others can still be read.
    pub(crate) fn is_of_row(&self) -> bool {
        matches!(
            self,
            Self::Value { .. } | Self::Width { .. } | Self::OutOfRange { .. } | Self::ImageFile { .. }
        )
    }
}

/// A value as it is quoted in an error: short, without control characters.
pub(crate) fn shortened(value: &str) -> String {
    let mut text: String = value.chars().filter(|c| !c.is_control()).take(40).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text
}
