//! A checked file, and its source records in the order of their ids.

use std::collections::{BTreeMap, btree_map};
use std::path::{Path, PathBuf};

use crate::csv_file;
use crate::error::DataError;
use crate::npz;
use crate::row::Row;
use crate::scan::{Index, RecordIndex, Summary, ViewIndex};
use crate::source::{Source, Target, View};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Npz,
}

/// A dataset file that was read once and found in order.
#[derive(Debug)]
pub struct DatasetFile {
    path: PathBuf,
    format: Format,
    slice_absent: Option<String>,
    index: Index,
}

impl DatasetFile {
    pub(crate) fn open(path: &Path, slice_absent: Option<&str>) -> Result<Self, DataError> {
        let extension = path.extension().map(|e| e.to_ascii_lowercase());
        let format = match extension.as_deref().and_then(|e| e.to_str()) {
            Some("csv") => Format::Csv,
            Some("npz") => Format::Npz,
            _ => {
                return Err(DataError::Format {
                    path: path.to_owned(),
                });
            }
        };
        let index = match format {
            Format::Csv => csv_file::scan(path, slice_absent)?,
            Format::Npz => npz::scan(path)?,
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            slice_absent: slice_absent.map(str::to_owned),
            index,
        })
    }

    /// What the file holds.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.index.summary
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the file has these slices.
    ///
    /// # Errors
    /// [`DataError::NoSlice`] for the first that is missing.
    pub fn check_slices<'s>(&self, slices: impl IntoIterator<Item = &'s str>) -> Result<(), DataError> {
        let found = &self.index.summary.slices;
        match slices.into_iter().find(|slice| !found.iter().any(|f| f == slice)) {
            None => Ok(()),
            Some(slice) => {
                let (slice, found) = (slice.to_owned(), found.clone());
                Err(DataError::NoSlice {
                    path: self.path.clone(),
                    slice,
                    found,
                })
            }
        }
    }

    /// The source records in the order of their ids. A file that changed meanwhile ends the iteration
    /// with [`DataError::Changed`] or the error that the change causes.
    ///
    /// # Errors
    /// As [`crate::open`], when the file can no longer be read.
    pub fn records(self) -> Result<Records, DataError> {
        let rows = match self.format {
            Format::Csv => Rows::Csv(Box::new(csv_file::Rows::open(
                &self.path,
                self.slice_absent.as_deref(),
            )?)),
            Format::Npz => Rows::Npz(npz::Arrays::read(&self.path)?),
        };
        let Index {
            records,
            slices,
            labels,
            summary,
        } = self.index;
        Ok(Records {
            path: self.path,
            rows,
            records: records.into_iter(),
            slices,
            labels,
            summary,
        })
    }
}

enum Rows {
    Csv(Box<csv_file::Rows>),
    Npz(npz::Arrays),
}

/// Iterator over the source records of a file.
pub struct Records {
    path: PathBuf,
    rows: Rows,
    records: btree_map::IntoIter<String, RecordIndex>,
    slices: Vec<String>,
    labels: Vec<String>,
    summary: Summary,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("path", &self.path)
            .field("left", &self.records.len())
            .finish()
    }
}

impl Records {
    /// What the file holds.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn source(&mut self, record_id: String, index: &RecordIndex) -> Result<Source, DataError> {
        let label = name(&self.labels, index.label);
        let mut views = BTreeMap::new();
        for view in &index.views {
            let row = self.row(view)?;
            let slice = name(&self.slices, view.slice);
            if row.record_id != record_id || row.slice != slice || row.label != label {
                return Err(DataError::Changed {
                    path: self.path.clone(),
                });
            }
            views.insert(slice, View::Numbers(row.features));
        }
        Ok(Source {
            record_id,
            target: Target::Class(label),
            group: None,
            attributes: BTreeMap::new(),
            views,
        })
    }

    fn row(&mut self, view: &ViewIndex) -> Result<Row, DataError> {
        match &mut self.rows {
            Rows::Csv(rows) => rows.row_at(view.locator, view.place),
            Rows::Npz(arrays) => arrays.row(view.locator).ok_or_else(|| DataError::Changed {
                path: self.path.clone(),
            }),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Source, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (record_id, index) = self.records.next()?;
        Some(self.source(record_id, &index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

fn name(names: &[String], number: u32) -> String {
    usize::try_from(number)
        .ok()
        .and_then(|at| names.get(at))
        .cloned()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
