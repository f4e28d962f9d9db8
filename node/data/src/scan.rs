//! What is learnt from reading all rows once, and the checks that need several rows.
//!
//! Memory does not grow with the rows: what must be compared over the whole file (rows of one record,
//! records that are the same) goes as small entries through [`crate::sort`].

use std::io;
use std::path::{Path, PathBuf};

use crate::derive::{self, Rules};
use crate::error::{DataError, Place, io_error};
use crate::limits::{GROUPS_MAX, LABELS_MAX, ROWS_MAX};
use crate::options::ReadOptions;
use crate::profile::{Profile, Profiler};
use crate::row::{Row, first};
use crate::rows::Rows;
use crate::sort::{Sorted, Sorter};
use crate::source::TargetKind;
use crate::summary::Summary;

mod entry;
mod explain;
mod grouped;

use entry::{CONTENT, ENTRY, Entry, Names};
use explain::explained;
use grouped::{Grouped, identical};

/// Most distinct slices of a file.
const SLICES_MAX: usize = 1024;
/// Errors that are kept; the others are counted.
const ERRORS_MAX: usize = 20;

/// Everything learnt from one pass.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) summary: Summary,
    pub(crate) profile: Profile,
    /// The first errors of rows; none: the dataset is in order.
    pub(crate) errors: Vec<DataError>,
    /// Entries by record, kept when the rows of a record do not follow one another.
    scattered: Option<Sorted<ENTRY>>,
    sort_bytes: usize,
}

impl Scanned {
    /// The rows in the order of their records' first rows; `None` when that is the file's own order.
    pub(crate) fn order(&self) -> Option<io::Result<Sorted<16>>> {
        let sorted = self.scattered.as_ref()?;
        let order = || {
            let mut order = Sorter::<16>::new(self.sort_bytes);
            let mut current = None;
            for entry in sorted.iter()? {
                let entry = Entry::decode(&entry?);
                let first = match current {
                    Some((id, first)) if id == entry.id => first,
                    _ => entry.row,
                };
                current = Some((entry.id, first));
                let mut bytes = [0; 16];
                let (head, tail) = bytes.split_at_mut(8);
                head.copy_from_slice(&first.to_be_bytes());
                tail.copy_from_slice(&entry.row.to_be_bytes());
                order.push(bytes)?;
            }
            order.finish()
        };
        Some(order())
    }
}

/// Reads all rows of a dataset.
pub(crate) fn scan(path: &Path, rows: &mut dyn Rows, options: &ReadOptions) -> Result<Scanned, DataError> {
    let attributes = rows
        .columns()
        .attributes
        .iter()
        .map(|(_, name)| name.clone())
        .collect();
    let rules = Rules::new(path, options, attributes)?;
    derive::corruptions(path, options, rows.columns().is_text())?;
    let mut scan = Scan::new(path, rows, options);
    while let Some(row) = rows.next_row() {
        match row {
            Ok(row) => scan.take(&row, &rules)?,
            Err(error) if error.is_of_row() => scan.refuse(error)?,
            Err(error) => return Err(error),
        }
    }
    scan.finish(rows, options)
}

struct Scan {
    path: PathBuf,
    rows: u64,
    slices: Names,
    labels: Names,
    groups: Names,
    entries: Sorter<ENTRY>,
    contents: Sorter<CONTENT>,
    profiler: Profiler,
    errors: Vec<DataError>,
    refused: u64,
    places_are_lines: bool,
    target: TargetKind,
    /// Rows whose record is another than that of the row before.
    starts: u64,
    last_id: [u8; 16],
}

impl Scan {
    fn new(path: &Path, rows: &dyn Rows, options: &ReadOptions) -> Self {
        let bytes = options.sort_bytes() / 2;
        Self {
            path: path.to_owned(),
            rows: 0,
            slices: Names::default(),
            labels: Names::default(),
            groups: Names::default(),
            entries: Sorter::new(bytes),
            contents: Sorter::new(bytes),
            profiler: Profiler::new(rows.columns()),
            errors: Vec::new(),
            refused: 0,
            places_are_lines: false,
            target: options.target,
            starts: 0,
            last_id: [0; 16],
        }
    }

    fn refuse(&mut self, error: DataError) -> Result<(), DataError> {
        if self.rows + self.refused >= ROWS_MAX {
            return Err(self.too_many("rows", usize::try_from(ROWS_MAX).unwrap_or(usize::MAX)));
        }
        self.refused += 1;
        self.keep(error);
        Ok(())
    }

    fn keep(&mut self, error: DataError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// Takes note of a row.
    fn take(&mut self, row: &Row, rules: &Rules) -> Result<(), DataError> {
        if self.rows >= ROWS_MAX {
            return Err(self.too_many("rows", usize::try_from(ROWS_MAX).unwrap_or(usize::MAX)));
        }
        let slice = self.slices.number(&row.slice, SLICES_MAX);
        let slice = slice.ok_or_else(|| self.too_many("slices", SLICES_MAX))?;
        let label = match self.target {
            TargetKind::Value => 0,
            _ => {
                let label = self.labels.number(&row.target.to_string(), LABELS_MAX);
                let what = "distinct labels; if they are numbers to be predicted state --target value, else";
                label.ok_or_else(|| self.too_many(what, LABELS_MAX))?
            }
        };
        let group = match &row.group {
            None => u16::MAX,
            Some(group) => {
                let group = self.groups.number(group, GROUPS_MAX);
                group.ok_or_else(|| self.too_many("groups", GROUPS_MAX))?
            }
        };
        let id: [u8; 16] = first(&blake3::hash(row.record_id.as_bytes()));
        self.starts += u64::from(self.rows == 0 || id != self.last_id);
        self.last_id = id;
        let (is_line, place) = match row.place {
            Place::Line(line) => (true, line),
            Place::Row(number) => (false, number),
        };
        self.places_are_lines = is_line;
        let entry = Entry {
            id,
            row: self.rows,
            place,
            slice,
            shared: row.shared_hash(),
            rules: rules.bits(row),
            label,
            group,
        };
        let mut content = [0; CONTENT];
        let parts = row
            .content_hash()
            .into_iter()
            .chain(slice.to_be_bytes())
            .chain(id);
        content
            .iter_mut()
            .zip(parts)
            .for_each(|(byte, part)| *byte = part);
        let failed = |e| io_error(&self.path, "sort the rows of", e);
        self.entries.push(entry.encode()).map_err(failed)?;
        self.contents.push(content).map_err(failed)?;
        self.profiler.take(row);
        self.rows += 1;
        Ok(())
    }

    fn too_many(&self, what: &'static str, limit: usize) -> DataError {
        let (path, limit) = (self.path.clone(), limit as u64);
        DataError::TooMany { path, what, limit }
    }

    fn finish(mut self, rows: &mut dyn Rows, options: &ReadOptions) -> Result<Scanned, DataError> {
        let version = rows.version()?;
        let path = self.path.clone();
        let failed = |e| io_error(&path, "sort the rows of", e);
        if self.rows == 0 && self.errors.is_empty() {
            return Err(DataError::Empty { path });
        }
        let bytes = options.sort_bytes() / 2;
        let contents = std::mem::replace(&mut self.contents, Sorter::new(0));
        let identical = identical(&contents.finish().map_err(failed)?).map_err(failed)?;
        let entries = std::mem::replace(&mut self.entries, Sorter::new(0));
        let sorted = entries.finish().map_err(failed)?;
        let grouped = Grouped::of(&sorted).map_err(failed)?;
        for problem in &grouped.problems {
            self.keep(DataError::Duplicate {
                path: path.clone(),
                place: self.place(problem.place),
                first: self.place(problem.first),
                record: String::new(),
                slice: problem
                    .slice
                    .and_then(|s| self.slices.names.get(usize::from(s)).cloned())
                    .unwrap_or_default(),
            });
        }
        let found = grouped
            .problems
            .iter()
            .map(|p| (p.row, p.first_row))
            .collect::<Vec<_>>();
        let summary = self.summary(&grouped, rows, options, version)?;
        let profile = Profile::new(
            self.profiler,
            &summary,
            options,
            rows.missing(),
            crate::profile::Counts {
                identical,
                refused: self.refused + grouped.problem_count,
                labels: self.labels.counted(&grouped.labels),
                groups: self.groups.counted(&grouped.groups),
            },
        );
        let errors = explained(self.errors, &found, &path, options)?;
        let scattered = (self.starts != grouped.records).then_some(sorted);
        Ok(Scanned {
            summary,
            profile,
            errors,
            scattered,
            sort_bytes: bytes,
        })
    }

    fn place(&self, number: u64) -> Place {
        if self.places_are_lines {
            Place::Line(number)
        } else {
            Place::Row(number)
        }
    }

    fn summary(
        &self,
        grouped: &Grouped,
        rows: &dyn Rows,
        options: &ReadOptions,
        version: String,
    ) -> Result<Summary, DataError> {
        let file_slices = self.slices.sorted();
        let mut counts = self.slices.counted(&grouped.slices);
        let base = derive::base(&self.path, options, &file_slices)?;
        let of_base = base.and_then(|base| counts.get(&base).copied()).unwrap_or(0);
        let by_rule = options
            .slices
            .iter()
            .zip(&grouped.rules)
            .map(|(rule, count)| (&rule.slice, *count));
        for (slice, count) in by_rule.chain(options.corruptions.iter().map(|rule| (&rule.slice, of_base))) {
            if counts.insert(slice.clone(), count).is_some() {
                let detail = format!(
                    "the slice '{slice}' is in the file already; give the one to be made another name"
                );
                return Err(DataError::options(&self.path, detail));
            }
        }
        let columns = rows.columns();
        let features = match rows.image() {
            Some([width, height, channels]) => width * height * channels,
            None => columns.features.len(),
        };
        Ok(Summary {
            records: grouped.records,
            rows: self.rows,
            slice_records: counts.values().copied().collect(),
            slices: counts.into_keys().collect(),
            file_slices,
            features: features as u64,
            text: columns.is_text(),
            target: self.target,
            labels: self.labels.sorted(),
            groups: self.groups.sorted(),
            image: rows.image(),
            version,
        })
    }
}
