//! Exact sampling of a symmetric, log-concave distribution on the integers by rejection from steps.
//!
//! Write P(x) ∝ w(|x|) with w(x) = exp(−γ(x)), w(0) = 1. Block k is the `width` integers from
//! k·width on. Over each of the first K blocks lies a step of the integer height
//! hₖ ≥ scale·w(k·width), over what is left a staircase: blocks of 16·width integers each,
//! the g-th of height H·2^−g with H ≥ scale·w(K·width). A point is drawn uniformly under the steps,
//! and its x is kept when the point lies below scale·w(x). That is rejection sampling: kept values have
//! exactly the probabilities w(x)/Σw, whatever the heights are, as long as the steps cover the
//! curve. They do: within a block w falls, and H·2^−g covers the g-th stair because w falls by a
//! factor of two or more from one stair to the next. The logarithm of that factor is
//! - Gaussian: at least K·width·16·width/σ², where K·width ≥ 6σ, and width = 1 for σ < 16 and
//!   width > ⌊σ⌋/16 otherwise: above 5;
//! - Laplace: 16·width/scale, with the same widths: at least 16/17, and ln 2 is less.
//!
//! The steps' areas are integers of block columns that sum to at most 2⁶³, so one random word
//! picks sign, block and the integer part V of the point's height together. Within a block the point
//! is kept at once when V is below the curve's least value there, and otherwise V is held
//! against bounds on scale·w(x); only if V is the very integer in which scale·w(x) lies, about once in
//! 2⁵⁵ draws, are further bits drawn and the exponential computed to as many ([`Comparison`]).
//! A draw of −0 is rejected, so that 0 counts once.

#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a numeric kernel: indices are masked or bounded by the last block, whose end is the largest word; \
              products are shifted below 64 bits where they are made"
)]

use super::Ratio;
use super::exp::{Comparison, NEAR_BITS, NEAR_ERROR, near};
use num_bigint::BigUint;
use rand_core::CryptoRng;

/// Bits of a word that pick block and height; the last one is the sign.
const POINT_BITS: u32 = 63;
/// Bits of a point that the guide looks at.
const GUIDE_BITS: u32 = 8;
/// Blocks in a stair of the tail.
const STAIR_BLOCKS: u64 = 16;
/// A block is at most this part of the scale.
const BLOCKS_PER_SCALE: u64 = 8;
/// Where the tail starts, in scales.
const GAUSSIAN_TAIL: u64 = 6;
const LAPLACE_TAIL: u64 = 16;

/// γ of the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exponent {
    /// γ(x) = x²/2σ²
    Gaussian {
        /// σ²
        sigma_squared: Ratio,
    },
    /// γ(x) = x/scale
    Laplace {
        /// The scale.
        scale: Ratio,
    },
}

impl Exponent {
    /// Numerator and denominator of γ. They fit for the blocks before the tail: with σ² = p/q at
    /// most 2⁵⁴ and q at most 2³², x is below 7·(σ + 1), and x²·q below 2⁹⁴.
    fn at(self, x: u64) -> (u128, u128) {
        let x = u128::from(x);
        match self {
            Self::Gaussian { sigma_squared } => (
                x * x * u128::from(sigma_squared.denominator()),
                2 * u128::from(sigma_squared.numerator()),
            ),
            Self::Laplace { scale } => (x * u128::from(scale.denominator()), u128::from(scale.numerator())),
        }
    }

    /// The same for any x.
    fn at_any(self, x: u128) -> (BigUint, BigUint) {
        let x = BigUint::from(x);
        match self {
            Self::Gaussian { sigma_squared } => (
                &x * &x * sigma_squared.denominator(),
                BigUint::from(sigma_squared.numerator()) * 2u8,
            ),
            Self::Laplace { scale } => (x * scale.denominator(), scale.numerator().into()),
        }
    }

    /// ⌊σ⌋ or ⌊scale⌋.
    fn scale_floor(self) -> u64 {
        match self {
            Self::Gaussian { sigma_squared } => sigma_squared.floor().isqrt(),
            Self::Laplace { scale } => scale.floor(),
        }
    }

    fn tail_start(self) -> u64 {
        let scales = match self {
            Self::Gaussian { .. } => GAUSSIAN_TAIL,
            Self::Laplace { .. } => LAPLACE_TAIL,
        };
        scales * (self.scale_floor() + 1)
    }
}

/// One step.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// The first point after its column; it starts where the one before ends.
    end: u64,
    /// A height below the curve on the whole block: points below it are kept.
    floor: u64,
}

/// The steps over one distribution.
#[derive(Clone, Debug)]
pub(super) struct Table {
    exponent: Exponent,
    /// Logarithm of a block's width.
    width_log: u32,
    /// Height of w = 1.
    scale: u64,
    /// The blocks before the tail, then the tail, then what is never kept.
    blocks: Vec<Block>,
    /// Height of the tail's first stair.
    tail_height: u64,
    /// First block that ends after a point with these highest bits.
    guide: Vec<u16>,
}

impl Table {
    pub(super) fn new(exponent: Exponent) -> Self {
        let width_log = (exponent.scale_floor() / BLOCKS_PER_SCALE)
            .checked_ilog2()
            .unwrap_or(0);
        let width = 1u64 << width_log;
        // Fewer than 300 blocks, since a block is more than a sixteenth of the scale.
        let count = exponent.tail_start().div_ceil(width);
        let above = |x| {
            let (n, d) = exponent.at(x);
            near(n, d) + NEAR_ERROR
        };
        let starts: Vec<u64> = (0..=count).map(|k| above(k << width_log)).collect();
        let tail = starts[count as usize];
        // All columns together, in units of w: the tail's stairs sum to twice its first.
        let columns: u128 = starts[..count as usize].iter().map(|&w| u128::from(w)).sum();
        let columns = columns + u128::from(2 * STAIR_BLOCKS) * u128::from(tail);
        // Rounding up adds at most one point to each column.
        let points = (1u128 << POINT_BITS) - u128::from(count + 2 * STAIR_BLOCKS);
        let scale = ((points << NEAR_BITS) / columns) as u64;
        let scaled = |w: u64| ((u128::from(scale) * u128::from(w)) >> NEAR_BITS) as u64;
        let mut end = 0;
        // The least value of a block of one integer is its first, of a wider one more than the next
        // block's first.
        let least = &starts[usize::from(width > 1)..];
        let mut blocks: Vec<Block> = starts[..count as usize]
            .iter()
            .zip(least)
            .map(|(&first, &least)| {
                end += scaled(first) + 1;
                Block {
                    end,
                    floor: scaled(least.saturating_sub(2 * NEAR_ERROR)),
                }
            })
            .collect();
        let tail_height = scaled(tail) + 1;
        end += 2 * STAIR_BLOCKS * tail_height;
        blocks.push(Block { end, floor: 0 });
        blocks.push(Block {
            end: u64::MAX,
            floor: 0,
        });
        let guide = (0..1u64 << GUIDE_BITS)
            .map(|top| {
                let point = top << (POINT_BITS - GUIDE_BITS);
                blocks.partition_point(|block| block.end <= point) as u16
            })
            .collect();
        Self {
            exponent,
            width_log,
            scale,
            blocks,
            tail_height,
            guide,
        }
    }

    pub(super) fn sample<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> i128 {
        let tail = self.blocks.len() - 2;
        loop {
            let word = rng.next_u64();
            let (negative, point) = (word >> POINT_BITS == 1, word & (u64::MAX >> 1));
            let mut k = usize::from(self.guide[(point >> (POINT_BITS - GUIDE_BITS)) as usize]);
            while self.blocks[k].end <= point {
                k += 1;
            }
            let drawn = if k < tail {
                self.in_block(k, point, rng).map(i128::from)
            } else if k == tail {
                self.in_tail(rng)
            } else {
                None
            };
            match drawn {
                Some(0) if negative => {}
                Some(magnitude) => return if negative { -magnitude } else { magnitude },
                None => {}
            }
        }
    }

    fn in_block<R: CryptoRng + ?Sized>(&self, k: usize, point: u64, rng: &mut R) -> Option<i64> {
        let start = if k == 0 { 0 } else { self.blocks[k - 1].end };
        let height = point - start;
        let offset = if self.width_log == 0 {
            0
        } else {
            u64::from(rng.next_u32() >> (u32::BITS - self.width_log))
        };
        let x = ((k as u64) << self.width_log) + offset;
        let kept = height < self.blocks[k].floor || self.below_curve(x, height, rng);
        kept.then_some(x.cast_signed())
    }

    /// Whether a point of integer height `height` and a uniform fraction lies below scale·w(x).
    fn below_curve<R: CryptoRng + ?Sized>(&self, x: u64, height: u64, rng: &mut R) -> bool {
        let (n, d) = self.exponent.at(x);
        let value = near(n, d);
        let scaled = |w: u64| ((u128::from(self.scale) * u128::from(w)) >> NEAR_BITS) as u64;
        if height < scaled(value.saturating_sub(NEAR_ERROR)) {
            return true;
        }
        if height > scaled(value + NEAR_ERROR) {
            return false;
        }
        let comparison = Comparison {
            base: height.into(),
            step: 1u8.into(),
            limit: self.scale.into(),
            n: n.into(),
            d: d.into(),
        };
        comparison.decide(rng)
    }

    /// A point under the tail's stairs, drawn afresh: the stair g with probability 2^−(g+1), x in
    /// it, and its height H·U·2^−g, which is held against scale·w(x).
    fn in_tail<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Option<i128> {
        let mut stair = 0u64;
        loop {
            let zeros = rng.next_u64().leading_zeros();
            stair += u64::from(zeros);
            if zeros < u64::BITS {
                break;
            }
        }
        let width = (STAIR_BLOCKS << self.width_log) as u128;
        let offset = u128::from(rng.next_u64()) & (width - 1);
        let start = ((self.blocks.len() - 2) as u128) << self.width_log;
        let x = start + u128::from(stair) * width + offset;
        let (n, d) = self.exponent.at_any(x);
        let comparison = Comparison {
            base: 0u8.into(),
            step: self.tail_height.into(),
            limit: BigUint::from(self.scale) << stair,
            n,
            d,
        };
        comparison.decide(rng).then_some(x.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exp::bounds;
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn exponents() -> Vec<Exponent> {
        let ratio = |n, d| Ratio::new(n, d).unwrap();
        let mut all = Vec::new();
        for (n, d) in [
            (1, 1 << 20),
            (1, 16),
            (1, 2),
            (1, 1),
            (4, 1),
            (900, 1),
            (1_000_003, 7),
            (1 << 54, 1),
        ] {
            all.push(Exponent::Gaussian {
                sigma_squared: ratio(n, d),
            });
        }
        for (n, d) in [
            (1, 1 << 20),
            (1, 3),
            (1, 1),
            (15, 1),
            (16, 1),
            (1_000_003, 7),
            (1 << 27, 1),
        ] {
            all.push(Exponent::Laplace { scale: ratio(n, d) });
        }
        all
    }

    #[test]
    fn the_steps_cover_the_curve_and_floors_lie_below_it() {
        for exponent in exponents() {
            let table = Table::new(exponent);
            let width = 1u128 << table.width_log;
            let curve = |x: u128| {
                let (n, d) = exponent.at_any(x);
                let (low, high) = bounds(&n, &d, 128);
                (low * table.scale, high * table.scale)
            };
            let tail = table.blocks.len() - 2;
            let mut before = 0;
            for (k, block) in (0u128..).zip(&table.blocks[..tail]) {
                let height = BigUint::from(block.end - before) << 128u32;
                assert!(height >= curve(k * width).1, "{exponent:?} block {k}");
                let floor = BigUint::from(block.floor) << 128u32;
                assert!(floor <= curve((k + 1) * width - 1).0, "{exponent:?} block {k}");
                before = block.end;
            }
            assert_eq!(
                table.blocks[tail].end - before,
                2 * STAIR_BLOCKS * table.tail_height
            );
            assert!(table.blocks[tail].end <= 1 << POINT_BITS);
            for stair in 0..40u32 {
                let start = (tail as u128 + u128::from(stair) * u128::from(STAIR_BLOCKS)) * width;
                let (n, d) = exponent.at_any(start);
                let (_, high) = bounds(&n, &d, 128 + u64::from(stair));
                let height = BigUint::from(table.tail_height) << 128u32;
                assert!(height >= (high * table.scale), "{exponent:?} stair {stair}");
            }
        }
    }

    #[test]
    fn tables_are_small_and_waste_little() {
        for exponent in exponents() {
            let table = Table::new(exponent);
            assert!(table.blocks.len() <= 300, "{exponent:?}: {}", table.blocks.len());
            let unused = (1u64 << POINT_BITS) - table.blocks[table.blocks.len() - 2].end;
            assert!(unused < 1 << 40, "{exponent:?}: {unused}");
        }
    }

    #[test]
    fn the_tail_has_the_curves_shape() {
        // Scale 1 of a Laplace: beyond the tail's start the magnitude is geometric with ratio 1/e.
        let table = Table::new(Exponent::Laplace {
            scale: Ratio::from(1),
        });
        let start = (table.blocks.len() - 2) as i128;
        let mut rng = ChaCha20Rng::seed_from_u64(12);
        let drawn: Vec<i128> = (0..8_000).filter_map(|_| table.in_tail(&mut rng)).collect();
        let total = drawn.len() as f64;
        let mut statistic = 0.0;
        for step in 0..5 {
            let share = (-f64::from(step)).exp() * (1.0 - (-1.0f64).exp());
            let seen = drawn.iter().filter(|&&x| x == start + i128::from(step)).count() as f64;
            statistic += (seen - share * total).powi(2) / (share * total);
        }
        assert!(total > 100.0 && statistic < 22.0, "{statistic} of {total}");
    }

    #[test]
    fn a_point_on_the_curves_integer_is_decided_by_further_bits() {
        let table = Table::new(Exponent::Gaussian {
            sigma_squared: Ratio::from(4),
        });
        let (n, d) = table.exponent.at_any(3);
        let (low, _) = bounds(&n, &d, 256);
        let scaled = (low * table.scale) >> 192u32;
        let whole: u64 = (&scaled >> 64u32).try_into().unwrap();
        let fraction: u64 = (scaled & BigUint::from(u64::MAX)).try_into().unwrap();
        let share = fraction as f64 / 2f64.powi(64);
        let mut rng = ChaCha20Rng::seed_from_u64(8);
        let trials = 4_000;
        let kept = (0..trials)
            .filter(|_| table.below_curve(3, whole, &mut rng))
            .count();
        let error = (kept as f64 / f64::from(trials) - share).abs();
        assert!(error < 4.0 * (0.25 / f64::from(trials)).sqrt(), "{kept} {share}");
        assert!((0..100).all(|_| table.below_curve(3, whole - 1, &mut rng)));
        assert!((0..100).all(|_| !table.below_curve(3, whole + 1, &mut rng)));
    }
}
