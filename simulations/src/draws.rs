//! Seeded randomness: one independent stream per purpose, so that a change in one part of the
//! simulator does not shift what another part draws. Integers only.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// 32 bytes that follow from the seed and a purpose.
pub(crate) fn secret(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("fieldmark simulation v1");
    hasher.update(&seed.to_be_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A stream of draws.
#[derive(Debug, Clone)]
pub(crate) struct Draws(ChaCha20Rng);

impl Draws {
    /// The stream of a purpose.
    pub(crate) fn of(seed: u64, purpose: &str) -> Self {
        Self(ChaCha20Rng::from_seed(secret(seed, purpose, 0)))
    }

    /// In `0..bound`, 0 for an empty range. The bias of less than 2⁻³² does not matter here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// As [`Draws::below`], for positions.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }

    /// In `range`, both ends included.
    pub(crate) fn within(&mut self, [low, high]: [u64; 2]) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// In 0..1, with 32 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// Puts items into a drawn order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, purpose| {
            (0..8)
                .map(|_| Draws::of(seed, purpose).below(1 << 40))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut draws = Draws::of(1, "ranges");
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| draws.within([3, 6])).collect();
        assert_eq!(drawn, [3, 4, 5, 6].into());
        assert_eq!(draws.within([9, 9]), 9);
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Draws::of(4, "shuffle").shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
