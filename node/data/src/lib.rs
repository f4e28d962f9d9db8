//! Readers of private datasets: Parquet, CSV and NPZ files with one row per view of a source record, and
//! folders of images.
//!
//! [`open`] reads a dataset once and checks every value; [`check`] does the same and tells everything
//! that is wrong with its rows; [`DatasetFile::records`] then gives the source records in the order of
//! their first rows, each with all its views, wherever in the file they are, and with the slices made by
//! conditions ([`predicate`]) and corruptions. Nothing here decides what is measured, keeps a file open
//! longer than needed or writes to it; [`views`] writes made views to a new file.
//!
//! What columns mean is in `columns.rs`, the formats and their limits in `docs/guides/datasets.md`.
//!
//! Memory is bounded whatever the number of rows: what has to be compared over the whole file is sorted in
//! unlinked temporary files.
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

mod columns;
mod csv_file;
mod derive;
mod error;
mod file;
mod format;
mod images;
mod limits;
mod matrix;
mod npy;
mod npz;
mod options;
mod parquet_file;
pub mod predicate;
mod profile;
mod row;
mod rows;
mod scan;
mod sort;
mod source;
mod spool;
mod summary;
pub mod views;

pub use error::{DataError, Place};
pub use file::{DatasetFile, Records};
pub use images::{Picture, picture};
pub use limits::{FEATURES_MAX, GROUPS_MAX, LABELS_MAX, ROWS_MAX};
pub use matrix::{Matrix, matrix};
pub use npy::holds_pickle;
pub use options::{CorruptionRule, ImageShape, RULES_MAX, Range, ReadOptions, SliceRule};
pub use profile::{ColumnProfile, Profile, Spread};
pub use source::{Preference, Source, Target, TargetKind, View};
pub use summary::Summary;

use std::path::Path;

/// Reads and checks a dataset as it is: labels are classes, slices are those in the file.
///
/// # Errors
/// [`DataError`] naming file, line, column, what was found and what was expected.
pub fn open(path: impl AsRef<Path>) -> Result<DatasetFile, DataError> {
    open_with(path, &ReadOptions::default())
}

/// Reads and checks a dataset.
///
/// # Errors
/// [`DataError`] naming file, line, column, what was found and what was expected.
pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<DatasetFile, DataError> {
    DatasetFile::open(path.as_ref(), options)
}

/// The source records of a dataset; opens and checks it first.
///
/// # Errors
/// As [`open`].
pub fn records(path: impl AsRef<Path>) -> Result<Records, DataError> {
    open(path)?.records()
}

/// What a check found.
#[derive(Debug)]
pub struct Report {
    /// What the dataset holds.
    pub summary: Summary,
    /// Column by column, with warnings.
    pub profile: Profile,
    /// What is wrong with rows, at most twenty; [`Profile::refused`] counts all.
    pub errors: Vec<DataError>,
}

/// Reads a dataset to its end and tells what it holds and what is wrong with it.
///
/// # Errors
/// [`DataError`] when the dataset cannot be read at all; errors of rows are in the report.
pub fn check(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Report, DataError> {
    let scanned = file::examine(path.as_ref(), options)?;
    Ok(Report {
        summary: scanned.summary,
        profile: scanned.profile,
        errors: scanned.errors,
    })
}
