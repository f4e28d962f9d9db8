//! Readers of private datasets: CSV and NPZ files with one row per view of a source record.
//!
//! [`open`] reads a file once, checks every value and builds an index; [`DatasetFile::records`] then
//! gives the source records in the order of their ids, each with all its views, wherever in the file
//! they are. Nothing here decides what is measured, keeps a file open longer than needed or writes to
//! it; [`views`] makes the corrupted views of a file's clean ones and writes them to a new file.
//!
//! Both formats hold the same four things: `record_id`, `slice`, `label` and features. A CSV file has a
//! header with the first three names, every other column is a feature. An NPZ file has arrays
//! `record_id`, `slice`, `label` (text or integers) and `features` (rows first).
//!
//! CSV is read as a stream and needs memory for the index alone, about 100 bytes a row. The features
//! of an NPZ file are held in memory, because its members are compressed.
//!
//! ```no_run
//! let file = fieldmark_node_data::open("digits.csv")?;
//! println!("{} records in {:?}", file.summary().records, file.summary().slices);
//! for source in file.records()? {
//!     let source = source?;
//!     println!("{}: {} views", source.record_id, source.views.len());
//! }
//! # Ok::<(), fieldmark_node_data::DataError>(())
//! ```

mod csv_file;
mod error;
mod file;
mod matrix;
mod npy;
mod npz;
pub mod predicate;
mod row;
mod scan;
mod source;
pub mod views;

pub use error::{DataError, Place};
pub use file::{DatasetFile, Records};
pub use matrix::{Matrix, matrix};
pub use npy::holds_pickle;
pub use scan::{FEATURES_MAX, LABELS_MAX, ROWS_MAX, Summary};
pub use source::{Preference, Source, Target, TargetKind, View};

use std::path::Path;

/// Reads and checks a `.csv` or `.npz` file.
///
/// # Errors
/// [`DataError`] naming file, line, column, what was found and what was expected.
pub fn open(path: impl AsRef<Path>) -> Result<DatasetFile, DataError> {
    DatasetFile::open(path.as_ref(), None)
}

/// The source records of a file in the order of their ids; opens and checks the file first.
///
/// # Errors
/// As [`open`].
pub fn records(path: impl AsRef<Path>) -> Result<Records, DataError> {
    open(path)?.records()
}
