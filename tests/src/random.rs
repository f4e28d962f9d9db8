//! Seeded choices: the same seed makes the same ones on every machine.

/// A stream of numbers, BLAKE3's output keyed by a seed.
#[derive(Debug)]
pub struct Random {
    reader: blake3::OutputReader,
}

impl Random {
    /// The stream of a seed; `purpose` keeps the streams of one seed apart.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("fieldmark tests: seeded choices");
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self {
            reader: hasher.finalize_xof(),
        }
    }

    /// A number below `end` (which is not 0); its bias is below 2⁻³² for ends below 2³².
    pub fn below(&mut self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.reader.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end.max(1)
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there is none.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        let chosen = usize::try_from(self.below(items.len() as u64)).ok();
        *chosen
            .and_then(|chosen| items.get(chosen))
            .expect("there is something to choose from")
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            let chosen = usize::try_from(self.below(end as u64)).unwrap_or(0);
            items.swap(end - 1, chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_order_of_all_items() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Random::new(seed, "order").shuffle(&mut items);
            items
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }
}
