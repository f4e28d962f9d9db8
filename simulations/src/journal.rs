//! The event log of a run: one line per event, hashed as it is written. The last lines are kept for a
//! failure's report; all of them go to a file where one is asked for.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Lines kept in memory.
const TAIL_MAX: usize = 200;

/// An event log being written.
#[derive(Debug)]
pub(crate) struct Journal {
    hasher: blake3::Hasher,
    tail: VecDeque<String>,
    lines: u64,
    file: Option<BufWriter<File>>,
    failed: Option<io::Error>,
}

impl Journal {
    /// An empty log; `path` also receives every line.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn new(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?.map(BufWriter::new);
        let hasher = blake3::Hasher::new_derive_key("fieldmark simulation v1 event log");
        Ok(Self {
            hasher,
            tail: VecDeque::new(),
            lines: 0,
            file,
            failed: None,
        })
    }

    /// Adds a line: virtual time, who, what.
    pub(crate) fn line(&mut self, now: u64, who: &str, what: fmt::Arguments<'_>) {
        let mut line = if self.tail.len() < TAIL_MAX {
            String::new()
        } else {
            self.tail.pop_front().unwrap_or_default()
        };
        line.clear();
        // Writing to a string has no way to fail.
        let _ = writeln!(line, "{now:>7} {who:<6} {what}");
        self.hasher.update(line.as_bytes());
        self.lines += 1;
        if let Some(Err(error)) = self.file.as_mut().map(|file| file.write_all(line.as_bytes())) {
            self.failed.get_or_insert(error);
        }
        self.tail.push_back(line);
    }

    /// Lines so far.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Ends the log: its hash and its last lines.
    ///
    /// # Errors
    /// When the file could not be written.
    pub(crate) fn finish(mut self) -> io::Result<(String, Vec<String>)> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        match self.failed {
            Some(error) => Err(error),
            None => {
                let tail = self
                    .tail
                    .into_iter()
                    .map(|line| line.trim_end().to_owned())
                    .collect();
                Ok((self.hasher.finalize().to_hex().to_string(), tail))
            }
        }
    }
}

/// The first digits of a hash of `data`, by which lines tell messages apart.
pub(crate) fn digest(data: &[u8]) -> impl fmt::Display + use<> {
    let hash = blake3::hash(data);
    let mut short = [0; 4];
    short.copy_from_slice(hash.as_bytes().first_chunk::<4>().unwrap_or(&[0; 4]));
    Digest(short)
}

struct Digest([u8; 4]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_counts_for_the_hash_and_the_last_ones_are_kept() {
        let run = |changed: u64| {
            let mut journal = Journal::new(None).unwrap();
            for at in 0..1_000 {
                journal.line(at, "n1", format_args!("{}", if at == 3 { changed } else { at }));
            }
            journal.finish().unwrap()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3).0, run(4).0);
        assert_eq!(run(3).1.len(), TAIL_MAX);
        assert!(run(3).1[TAIL_MAX - 1].ends_with("999"));
    }
}
