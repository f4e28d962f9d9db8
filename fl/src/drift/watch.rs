//! Counts of what is served, over a sliding window.

use std::collections::VecDeque;

use super::comparison::{Finding, compare};
use super::{LEVEL, Reference};

/// Rows of a block; the window moves on by whole blocks.
const BLOCK_ROWS: u64 = 256;
/// Blocks of the window: 2,048 rows and the block that is being filled.
const BLOCKS: usize = 8;

/// Counts one release's served rows. Memory: 9 blocks of a number for each bin, at most 600 KB.
#[derive(Debug, Clone)]
pub struct Watch {
    reference: Reference,
    blocks: VecDeque<Block>,
}

#[derive(Debug, Clone, Default)]
struct Block {
    rows: u64,
    /// By feature and bin.
    counts: Vec<Vec<u64>>,
    /// By feature.
    not_finite: Vec<u64>,
}

impl Block {
    fn new(reference: &Reference) -> Self {
        Self {
            rows: 0,
            counts: reference
                .features
                .iter()
                .map(|f| vec![0; f.counts.len()])
                .collect(),
            not_finite: vec![0; reference.features.len()],
        }
    }
}

impl Watch {
    /// Nothing served yet.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        Self {
            blocks: VecDeque::from([Block::new(&reference)]),
            reference,
        }
    }

    /// What it compares with.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Counts one row: what each feature of the reference has in it, in its order. A feature without a value is not
    /// counted; a value that is no finite number is.
    pub fn add(&mut self, row: &[Option<f64>]) {
        if self.blocks.back().is_none_or(|block| block.rows >= BLOCK_ROWS) {
            self.blocks.push_back(Block::new(&self.reference));
            if self.blocks.len() > BLOCKS + 1 {
                self.blocks.pop_front();
            }
        }
        let Some(block) = self.blocks.back_mut() else {
            return;
        };
        block.rows += 1;
        let features = self.reference.features.iter().zip(row).enumerate();
        for (at, (feature, value)) in features {
            let Some(value) = value else { continue };
            let count = match feature.bin(*value) {
                Some(bin) => block.counts.get_mut(at).and_then(|bins| bins.get_mut(bin)),
                None => block.not_finite.get_mut(at),
            };
            count.into_iter().for_each(|count| *count += 1);
        }
    }

    /// How each feature stands. All looks together raise a false alarm with probability [`LEVEL`].
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let level = LEVEL / (self.reference.features.len().max(1) as f64);
        let finding = |(at, feature): (usize, &super::Distribution)| {
            let mut live = vec![0; feature.counts.len()];
            let mut not_finite = 0;
            for block in &self.blocks {
                let counts = block.counts.get(at).into_iter().flatten();
                live.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                not_finite += block.not_finite.get(at).copied().unwrap_or(0);
            }
            compare(feature, &live, not_finite, level)
        };
        self.reference.features.iter().enumerate().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Collector;
    use super::*;

    fn watch() -> Watch {
        let mut collector = Collector::new(vec!["x".into()]);
        (0..1000).for_each(|at| collector.add(&[Some(f64::from(at % 100))]));
        Watch::new(collector.finish(None))
    }

    #[test]
    fn what_changes_is_found_and_forgotten_when_it_ends() {
        let mut watch = watch();
        (0..1000).for_each(|at| watch.add(&[Some(f64::from(at % 100))]));
        assert!(!watch.findings()[0].drifted);
        (0..1000).for_each(|at| watch.add(&[Some(f64::from(at % 50))]));
        assert!(watch.findings()[0].drifted);
        (0..3000).for_each(|at| watch.add(&[Some(f64::from(at % 100))]));
        let found = &watch.findings()[0];
        assert!(!found.drifted && found.records <= 2048 + 256, "{found:?}");
    }

    #[test]
    fn values_that_are_no_numbers_are_counted_apart() {
        let mut watch = watch();
        watch.add(&[Some(f64::NAN)]);
        watch.add(&[None]);
        let found = &watch.findings()[0];
        assert_eq!((found.records, found.not_finite), (0, 1));
        (0..100).for_each(|_| watch.add(&[Some(f64::NAN)]));
        assert!(watch.findings()[0].drifted);
    }
}
