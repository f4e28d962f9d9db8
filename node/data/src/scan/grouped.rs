//! What the sorted entries of all rows tell: records, their slices, contradictions and copies.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::ERRORS_MAX;
use super::entry::{CONTENT, ENTRY, Entry};
use crate::limits::LABELS_MAX;
use crate::sort::Sorted;

/// Two rows of a record that do not go together.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) place: u64,
    pub(super) first: u64,
    pub(super) row: u64,
    pub(super) first_row: u64,
    /// The slice that is there twice; `None`: they differ in what they should share.
    pub(super) slice: Option<u16>,
}

/// What the entries tell, record by record.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    pub(super) records: u64,
    pub(super) slices: BTreeMap<u16, u64>,
    pub(super) labels: BTreeMap<u16, u64>,
    pub(super) groups: BTreeMap<u16, u64>,
    pub(super) rules: Vec<u64>,
    pub(super) problems: Vec<Problem>,
    pub(super) problem_count: u64,
}

impl Grouped {
    pub(super) fn of(sorted: &Sorted<ENTRY>) -> io::Result<Self> {
        let mut grouped = Self {
            rules: vec![0; 64],
            ..Self::default()
        };
        let mut record: Option<(Entry, BTreeMap<u16, Entry>, u64)> = None;
        for entry in sorted.iter()? {
            let entry = Entry::decode(&entry?);
            match &mut record {
                Some((first, slices, rules)) if first.id == entry.id => {
                    *rules |= entry.rules;
                    let before = slices.get(&entry.slice).copied();
                    if before.is_some() || first.shared != entry.shared {
                        grouped.problem(&entry, before.as_ref().unwrap_or(first), before.is_some());
                    }
                    slices.entry(entry.slice).or_insert(entry);
                }
                _ => {
                    grouped.close(record.take());
                    record = Some((entry, BTreeMap::from([(entry.slice, entry)]), entry.rules));
                }
            }
        }
        grouped.close(record);
        Ok(grouped)
    }

    fn problem(&mut self, entry: &Entry, first: &Entry, twice: bool) {
        self.problem_count += 1;
        if self.problems.len() < ERRORS_MAX {
            self.problems.push(Problem {
                place: entry.place,
                first: first.place,
                row: entry.row,
                first_row: first.row,
                slice: twice.then_some(entry.slice),
            });
        }
    }

    fn close(&mut self, record: Option<(Entry, BTreeMap<u16, Entry>, u64)>) {
        let Some((first, slices, rules)) = record else {
            return;
        };
        self.records += 1;
        *self.labels.entry(first.label).or_default() += 1;
        *self.groups.entry(first.group).or_default() += 1;
        for slice in slices.into_keys() {
            *self.slices.entry(slice).or_default() += 1;
        }
        for (at, count) in self.rules.iter_mut().enumerate() {
            *count += rules >> at & 1;
        }
    }
}

/// Records whose view in a slice is the same as an earlier record's, with the same label.
pub(super) fn identical(sorted: &Sorted<CONTENT>) -> io::Result<u64> {
    let mut copies = BTreeSet::new();
    let (mut count, mut before) = (0, None::<[u8; CONTENT]>);
    for entry in sorted.iter()? {
        let entry = entry?;
        let same = before.is_some_and(|b| b.first_chunk::<18>() == entry.first_chunk::<18>() && b != entry);
        let id: Option<[u8; 16]> = entry.last_chunk().copied();
        // A record counts once however many of its views are copies; beyond the limit, once a view.
        if same && (copies.len() >= LABELS_MAX || copies.insert(id)) {
            count += 1;
        }
        before = Some(entry);
    }
    Ok(count)
}
