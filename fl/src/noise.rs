//! Exact discrete Gaussian and discrete Laplace noise, integers only.
//!
//! [`DiscreteGaussian`] and [`DiscreteLaplace`] are prepared once for a scale and then draw fast
//! (`noise/table.rs`). [`discrete_gaussian`] and [`discrete_laplace`] draw a single value without
//! preparing anything (`noise/direct.rs`); they are the independent second implementation that
//! the tests hold the first against.
//!
//! **Exactness.** A prepared sampler draws from exactly the distribution it names: every decision
//! that involves an exponential is made between integer bounds on it, and where a uniform word
//! falls between the bounds, more bits of the word and of the exponential are computed until it
//! no longer does. No floating point is involved, so no rounding weakens the guarantee, and every
//! machine draws the same value from the same generator. The direct sampler is exact but for a
//! cut of probability below e^−512 (see there).
//!
//! Drawing takes variable time; an observer who can time an aggregator's sampler to the
//! nanosecond is outside the threat model.

use rand_core::CryptoRng;
use thiserror::Error;

mod direct;
mod exp;
mod ratio;
mod table;

pub use direct::{discrete_gaussian, discrete_laplace};
pub use ratio::Ratio;

use table::{Exponent, Table};

/// Largest σ² that a sampler carries: 2⁵⁴.
pub const SIGMA_SQUARED_MAX: u64 = 1 << 54;

/// Largest scale of a discrete Laplace that a sampler carries: 2²⁷.
pub const LAPLACE_SCALE_MAX: u64 = 1 << 27;

/// A scale outside the sampler's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// σ² is zero or too large.
    #[error("σ² is {found}, must be above 0 and at most {SIGMA_SQUARED_MAX}")]
    SigmaSquared {
        /// The value given.
        found: Ratio,
    },
    /// The Laplace scale is zero or too large.
    #[error("scale is {found}, must be above 0 and at most {LAPLACE_SCALE_MAX}")]
    Scale {
        /// The value given.
        found: Ratio,
    },
    /// A denominator of zero or beyond [`Ratio::DENOMINATOR_MAX`].
    #[error(
        "the denominator of a scale is {found}, must be between 1 and {}",
        Ratio::DENOMINATOR_MAX
    )]
    Denominator {
        /// The value given.
        found: u64,
    },
}

/// A sampler of the discrete Gaussian: P(x) ∝ exp(−x²/2σ²) over all integers x.
///
/// Preparing takes some 20 µs and 4 KB, a draw some 20 ns.
///
/// ```
/// use fieldmark_fl::noise::{DiscreteGaussian, Ratio};
/// use rand_chacha::ChaCha20Rng;
/// use rand_core::SeedableRng;
/// let mut rng = ChaCha20Rng::from_seed([7; 32]);
/// let noise = DiscreteGaussian::new(Ratio::from(900))?;
/// let draws: Vec<i128> = (0..4).map(|_| noise.sample(&mut rng)).collect();
/// assert!(draws.iter().all(|draw| draw.abs() < 300));
/// # Ok::<(), fieldmark_fl::noise::NoiseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DiscreteGaussian(Table);

impl DiscreteGaussian {
    /// Prepares a sampler for σ².
    ///
    /// # Errors
    /// σ² is zero or above [`SIGMA_SQUARED_MAX`].
    pub fn new(sigma_squared: Ratio) -> Result<Self, NoiseError> {
        if sigma_squared.is_zero() || sigma_squared > Ratio::from(SIGMA_SQUARED_MAX) {
            return Err(NoiseError::SigmaSquared { found: sigma_squared });
        }
        Ok(Self(Table::new(Exponent::Gaussian { sigma_squared })))
    }

    /// Draws one value.
    pub fn sample<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> i128 {
        self.0.sample(rng)
    }
}

/// A sampler of the discrete Laplace: P(x) ∝ exp(−|x|/scale) over all integers x.
///
/// Preparing takes some 50 µs and 6 KB, a draw some 20 ns.
#[derive(Clone, Debug)]
pub struct DiscreteLaplace(Table);

impl DiscreteLaplace {
    /// Prepares a sampler for a scale.
    ///
    /// # Errors
    /// The scale is zero or above [`LAPLACE_SCALE_MAX`].
    pub fn new(scale: Ratio) -> Result<Self, NoiseError> {
        if scale.is_zero() || scale > Ratio::from(LAPLACE_SCALE_MAX) {
            return Err(NoiseError::Scale { found: scale });
        }
        Ok(Self(Table::new(Exponent::Laplace { scale })))
    }

    /// Draws one value.
    pub fn sample<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> i128 {
        self.0.sample(rng)
    }
}

/// Uniform in `0..bound` by rejection of masked words; a bound of 0 counts as 1.
pub(crate) fn uniform_below<R: CryptoRng + ?Sized>(bound: u128, rng: &mut R) -> u128 {
    let largest = bound.saturating_sub(1);
    if largest == 0 {
        return 0;
    }
    let mask = u128::MAX >> largest.leading_zeros();
    loop {
        let low = u128::from(rng.next_u64());
        let word = if mask >> 64 == 0 {
            low
        } else {
            low | u128::from(rng.next_u64()) << 64
        };
        let candidate = word & mask;
        if candidate <= largest {
            return candidate;
        }
    }
}

#[cfg(test)]
mod tests;
