//! The entries of fixed size by which rows are compared, and the numbers by which entries know names.

use std::collections::BTreeMap;

/// Record id's hash (16), row (8), place (8), slice (2), shared hash (8), conditions (8), label (2),
/// group (2).
pub(super) const ENTRY: usize = 54;
/// Content hash (16), slice (2), record id's hash (16).
pub(super) const CONTENT: usize = 34;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: [u8; 16],
    pub(super) row: u64,
    pub(super) place: u64,
    pub(super) slice: u16,
    pub(super) shared: [u8; 8],
    pub(super) rules: u64,
    pub(super) label: u16,
    pub(super) group: u16,
}

impl Entry {
    pub(super) fn encode(&self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        let parts = self.id.iter().copied();
        let parts = parts
            .chain(self.row.to_be_bytes())
            .chain(self.place.to_be_bytes());
        let parts = parts.chain(self.slice.to_be_bytes()).chain(self.shared);
        let parts = parts
            .chain(self.rules.to_be_bytes())
            .chain(self.label.to_be_bytes());
        out.iter_mut()
            .zip(parts.chain(self.group.to_be_bytes()))
            .for_each(|(byte, part)| *byte = part);
        out
    }

    pub(super) fn decode(bytes: &[u8; ENTRY]) -> Self {
        let mut left = bytes.as_slice();
        Self {
            id: taken(&mut left),
            row: u64::from_be_bytes(taken(&mut left)),
            place: u64::from_be_bytes(taken(&mut left)),
            slice: u16::from_be_bytes(taken(&mut left)),
            shared: taken(&mut left),
            rules: u64::from_be_bytes(taken(&mut left)),
            label: u16::from_be_bytes(taken(&mut left)),
            group: u16::from_be_bytes(taken(&mut left)),
        }
    }
}

fn taken<const N: usize>(left: &mut &[u8]) -> [u8; N] {
    let (head, tail) = left.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
    *left = tail;
    *head
}

/// Texts with numbers, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: BTreeMap<String, u16>,
    pub(super) names: Vec<String>,
}

impl Names {
    /// The number of a text; `None` when it would be one more than `limit`.
    pub(super) fn number(&mut self, text: &str, limit: usize) -> Option<u16> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        let number = u16::try_from(self.names.len())
            .ok()
            .filter(|_| self.names.len() < limit)?;
        self.numbers.insert(text.to_owned(), number);
        self.names.push(text.to_owned());
        Some(number)
    }

    pub(super) fn sorted(&self) -> Vec<String> {
        self.numbers.keys().cloned().collect()
    }

    /// Counts by number as counts by name, sorted.
    pub(super) fn counted(&self, counts: &BTreeMap<u16, u64>) -> BTreeMap<String, u64> {
        let count = |number: &u16| counts.get(number).copied().unwrap_or(0);
        self.numbers
            .iter()
            .map(|(name, number)| (name.clone(), count(number)))
            .collect()
    }
}
