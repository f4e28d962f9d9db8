//! Integer bounds on exp(−n/d), and the comparison of a uniform number with one.
//!
//! [`near`] gives 62 bits fast, [`bounds`] as many as asked for. Both evaluate the alternating
//! series of exp(−y), 0 ≤ y ≤ 1, from its last term: v ← 1 − y·v/k for k = N … 1. Writing one ulp
//! for the last place, each step's two floors add less than 2 ulps and the error before it enters
//! divided by k, so that the errors are below 2, 3, 3.5, … ulps and below 6 at the end; y itself is
//! low by less than one ulp, and N is so large that the terms left out are below one. Together:
//! fewer than [`NEAR_ERROR`] = 8 ulps, whatever the ulp is.

#![expect(
    clippy::cast_possible_truncation,
    reason = "every product is shifted below its target's width where it is made"
)]

use num_bigint::BigUint;
use rand_core::CryptoRng;

/// Bits after the point of [`near`].
pub(super) const NEAR_BITS: u32 = 62;

/// 1 in the fixed point of [`near`].
pub(super) const NEAR_ONE: u64 = 1 << NEAR_BITS;

/// [`near`] is off by less than this many ulps.
pub(super) const NEAR_ERROR: u64 = 8;

/// ⌊2⁶²/e⌋.
const NEAR_INVERSE_E: u64 = 1_696_544_475_317_221_318;

/// Terms of the series in [`near`]: the first left out is 1/21! < 2⁻⁶⁵.
const NEAR_TERMS: u64 = 20;

/// Beyond this exponent [`near`] is 0, which is right to less than one ulp.
const NEAR_EXPONENT_MAX: u128 = 64;

/// 2⁶²·exp(−n/d) to within [`NEAR_ERROR`] ulps on either side, for 1 ≤ d ≤ 2⁶⁵.
///
/// Each factor 1/e takes an error of x ulps to less than x/e + 2, which stays below 8.
pub(super) fn near(n: u128, d: u128) -> u64 {
    let (whole, rest) = (n / d, n % d);
    if whole >= NEAR_EXPONENT_MAX {
        return 0;
    }
    let y = ((rest << NEAR_BITS) / d) as u64;
    let mut value = NEAR_ONE;
    for k in (1..=NEAR_TERMS).rev() {
        value = NEAR_ONE - product(y, value) / k;
    }
    for _ in 0..whole {
        value = product(value, NEAR_INVERSE_E);
    }
    value
}

/// The product of two numbers up to 1 in the fixed point of [`near`], rounded down.
fn product(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> NEAR_BITS) as u64
}

/// Integers (low, high) with low ≤ 2^bits·exp(−n/d) ≤ high and high − low ≤ 3, for d ≥ 1.
pub(super) fn bounds(n: &BigUint, d: &BigUint, bits: u64) -> (BigUint, BigUint) {
    let zero = BigUint::from(0u8);
    let one = BigUint::from(1u8);
    if n >= &(d * bits) {
        // e^−bits is below 2^−bits.
        return (zero, one);
    }
    // exp(−n/d) = exp(−y)^(2^halvings) with y ≤ 1.
    let halvings = (n.bits() + 1).saturating_sub(d.bits());
    let places = bits + halvings + 16;
    let unit = &one << places;
    let y = (n << places) / (d << halvings);
    let mut value = unit.clone();
    for k in (1..=terms(places)).rev() {
        value = &unit - ((&y * value) >> places) / k;
    }
    // A square of a number up to 1 doubles its error and adds an ulp: at most 2^halvings·10 ulps
    // in the end, of which 2^(halvings + 16) make one of the result.
    let error = BigUint::from(NEAR_ERROR);
    let mut high = (&value + &error).min(unit);
    let mut low = if value > error { value - error } else { zero };
    for _ in 0..halvings {
        low = (&low * &low) >> places;
        high = ((&high * &high) >> places) + 1u8;
    }
    (low >> (places - bits), (high >> (places - bits)) + 1u8)
}

/// The least N with (N + 1)! above 2^places.
fn terms(places: u64) -> u64 {
    let mut factorial = BigUint::from(1u8);
    let mut last = 1;
    while factorial.bits() <= places + 1 {
        last += 1;
        factorial *= last;
    }
    last
}

/// The question whether `base + step·U < limit·exp(−n/d)` for a uniform U in [0, 1).
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) base: BigUint,
    pub(super) step: BigUint,
    pub(super) limit: BigUint,
    pub(super) n: BigUint,
    pub(super) d: BigUint,
}

impl Comparison {
    /// Answers it exactly: draws 64 bits of U after another until both sides are apart. The two
    /// sides are equal with probability 0, and every word tells them apart with probability
    /// 1 − 2⁻⁶⁰ or so, unless the step is huge.
    pub(super) fn decide<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> bool {
        let mut drawn = BigUint::from(0u8);
        let mut bits = 0;
        loop {
            drawn = (drawn << 64u32) + rng.next_u64();
            bits += 64;
            // Both sides times 2^bits.
            let left = (&self.base << bits) + &self.step * &drawn;
            let guard = self.limit.bits();
            let (low, high) = bounds(&self.n, &self.d, bits + guard);
            if &left + &self.step <= (&self.limit * low) >> guard {
                return true;
            }
            if left > (&self.limit * high) >> guard {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn bounds_hold_the_known_digits() {
        // 10⁴⁰·e⁻¹ and 10⁴⁰·e^(−7/3), by mpmath.
        let rows = [
            (1u8, 1u8, "3678794411714423215955237701614608674458"),
            (7, 3, "969719678644050628099066592983707314807"),
        ];
        for (n, d, digits) in rows {
            let (low, high) = bounds(&n.into(), &d.into(), 200);
            let scale = BigUint::from(10u8).pow(40);
            let digits: BigUint = digits.parse().unwrap();
            assert!((&low * &scale) >> 200u32 <= digits);
            assert!((&high * &scale) >> 200u32 >= digits);
            assert!(high - low <= BigUint::from(3u8));
        }
    }

    #[test]
    fn the_constant_is_the_floor() {
        let one = BigUint::from(1u8);
        let (low, high) = bounds(&one, &one, 90);
        assert_eq!(low >> 28u32, BigUint::from(NEAR_INVERSE_E));
        assert_eq!(high >> 28u32, BigUint::from(NEAR_INVERSE_E));
    }

    #[test]
    fn comparisons_come_out_with_their_probability() {
        // 1 + 3·U < 5·e^(−1/2): probability (5·e^(−1/2) − 1)/3 = 0.67755.
        let comparison = Comparison {
            base: 1u8.into(),
            step: 3u8.into(),
            limit: 5u8.into(),
            n: 1u8.into(),
            d: 2u8.into(),
        };
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let trials = 20_000;
        let yes = (0..trials).filter(|_| comparison.decide(&mut rng)).count();
        let expected = (5.0 * (-0.5f64).exp() - 1.0) / 3.0;
        let error = (yes as f64 / f64::from(trials) - expected).abs();
        assert!(error < 4.0 * (expected * (1.0 - expected) / f64::from(trials)).sqrt());
    }

    /// Gives these words, then zeros.
    struct Words(Vec<u64>);

    impl rand_core::TryRng for Words {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|word| word as u32)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(if self.0.is_empty() { 0 } else { self.0.remove(0) })
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Words {}

    #[test]
    fn a_word_between_the_bounds_is_refined_to_either_side() {
        let one = BigUint::from(1u8);
        let (exact, _) = bounds(&one, &one, 256);
        let comparison = Comparison {
            base: 0u8.into(),
            step: one.clone(),
            limit: one.clone(),
            n: one.clone(),
            d: one,
        };
        let word = |at: u32| {
            ((&exact >> (192 - 64 * at)) & BigUint::from(u64::MAX))
                .try_into()
                .unwrap()
        };
        let [first, second, third]: [u64; 3] = [word(0), word(1), word(2)];
        for (last, below) in [(third - 5, true), (third + 5, false)] {
            let mut words = Words(vec![first, second, last]);
            assert_eq!(comparison.decide(&mut words), below);
            assert!(words.0.is_empty(), "three words are needed");
        }
    }

    proptest! {
        #[test]
        fn the_fast_value_is_within_its_error(n in 0u128..1 << 70, d in 1u128..1 << 64) {
            let (low, high) = bounds(&n.into(), &d.into(), 62);
            let value = BigUint::from(near(n, d));
            prop_assert!(&value + NEAR_ERROR >= low);
            prop_assert!(value <= high + NEAR_ERROR);
        }

        #[test]
        fn the_fast_value_is_within_its_error_where_it_matters(
            n in 0u128..1 << 60, shift in 0u32..7,
        ) {
            let d = (1u128 << 60) >> shift;
            let (low, high) = bounds(&n.into(), &d.into(), 62);
            let value = BigUint::from(near(n, d));
            prop_assert!(&value + NEAR_ERROR >= low);
            prop_assert!(value <= high + NEAR_ERROR);
        }

        #[test]
        fn more_bits_narrow_the_bounds(n in 0u64..1 << 40, d in 1u64..1 << 40, bits in 1u64..300) {
            let (low, high) = bounds(&n.into(), &d.into(), bits);
            let (finer_low, finer_high) = bounds(&n.into(), &d.into(), bits + 50);
            prop_assert!(low <= (&finer_low >> 50u32) + 1u8);
            prop_assert!(&low << 50u32 <= finer_high);
            prop_assert!(&high << 50u32 >= finer_low);
            prop_assert!(&high - &low <= BigUint::from(3u8));
        }
    }
}
