//! Sorting more entries than memory holds: sorted runs in one unlinked temporary file, merged when read.
//! Entries are fixed-size byte strings, compared byte by byte.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Takes entries in any order.
#[derive(Debug)]
pub(crate) struct Sorter<const N: usize> {
    entries: Vec<[u8; N]>,
    entries_max: usize,
    file: Option<File>,
    /// First entry and number of entries of each run in the file.
    runs: Vec<(u64, u64)>,
    written: u64,
}

/// Entries that can be read in order, any number of times.
#[derive(Debug)]
pub(crate) struct Sorted<const N: usize> {
    entries: Vec<[u8; N]>,
    file: Option<File>,
    runs: Vec<(u64, u64)>,
    buffer_entries: usize,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that holds about `bytes` in memory.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            entries: Vec::new(),
            entries_max: (bytes / N).max(16),
            file: None,
            runs: Vec::new(),
            written: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: [u8; N]) -> io::Result<()> {
        if self.entries.len() >= self.entries_max {
            self.spill()?;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.entries.sort_unstable();
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        file.write_all_at(self.entries.as_flattened(), self.written * N as u64)?;
        let count = self.entries.len() as u64;
        self.runs.push((self.written, count));
        self.written += count;
        self.entries.clear();
        self.file = Some(file);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<Sorted<N>> {
        if self.file.is_some() {
            self.spill()?;
            self.entries = Vec::new();
        }
        self.entries.sort_unstable();
        let buffer_entries = (self.entries_max / (self.runs.len() + 1)).max(16);
        Ok(Sorted {
            entries: self.entries,
            file: self.file,
            runs: self.runs,
            buffer_entries,
        })
    }
}

impl<const N: usize> Sorted<N> {
    /// The entries in order.
    pub(crate) fn iter(&self) -> io::Result<Merge<'_, N>> {
        let mut merge = Merge {
            file: self.file.as_ref(),
            memory: self.entries.iter(),
            runs: Vec::new(),
            heap: BinaryHeap::new(),
        };
        for &(start, count) in &self.runs {
            merge.runs.push(Run {
                next: start,
                end: start + count,
                buffer: Vec::new(),
                buffer_entries: self.buffer_entries,
            });
        }
        for at in 0..merge.runs.len() {
            merge.advance(at)?;
        }
        Ok(merge)
    }
}

#[derive(Debug)]
struct Run<const N: usize> {
    next: u64,
    end: u64,
    /// Entries read ahead, the next one last.
    buffer: Vec<[u8; N]>,
    buffer_entries: usize,
}

impl<const N: usize> Run<N> {
    fn take(&mut self, file: &File) -> io::Result<Option<[u8; N]>> {
        if self.buffer.is_empty() && self.next < self.end {
            let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
            self.buffer = vec![[0; N]; left.min(self.buffer_entries)];
            file.read_exact_at(self.buffer.as_flattened_mut(), self.next * N as u64)?;
            self.next += self.buffer.len() as u64;
            self.buffer.reverse();
        }
        Ok(self.buffer.pop())
    }
}

/// Gives entries in order.
#[derive(Debug)]
pub(crate) struct Merge<'s, const N: usize> {
    file: Option<&'s File>,
    memory: std::slice::Iter<'s, [u8; N]>,
    runs: Vec<Run<N>>,
    heap: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Merge<'_, N> {
    fn advance(&mut self, at: usize) -> io::Result<()> {
        if let (Some(run), Some(file)) = (self.runs.get_mut(at), self.file)
            && let Some(entry) = run.take(file)?
        {
            self.heap.push(Reverse((entry, at)));
        }
        Ok(())
    }
}

impl<const N: usize> Iterator for Merge<'_, N> {
    type Item = io::Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.file.is_none() {
            return self.memory.next().map(|entry| Ok(*entry));
        }
        let Reverse((entry, at)) = self.heap.pop()?;
        Some(self.advance(at).map(|()| entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_in_memory_is_sorted_the_same() {
        let numbers = (0..5000_u32).map(|at| at.wrapping_mul(2_654_435_761));
        let sorted = |bytes| {
            let mut sorter = Sorter::<4>::new(bytes);
            numbers
                .clone()
                .for_each(|n| sorter.push(n.to_be_bytes()).unwrap());
            sorter.finish().unwrap()
        };
        let mut expected: Vec<[u8; 4]> = numbers.clone().map(u32::to_be_bytes).collect();
        expected.sort_unstable();
        for bytes in [100, 4 * 1024, 1 << 20] {
            let sorted = sorted(bytes);
            for _ in 0..2 {
                let found: Vec<[u8; 4]> = sorted.iter().unwrap().map(Result::unwrap).collect();
                assert!(found == expected, "with {bytes} bytes");
            }
        }
        assert!(sorted(100).runs.len() > 100);
    }
}
