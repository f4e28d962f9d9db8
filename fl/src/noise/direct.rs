//! One value at a time, with nothing prepared.
//!
//! Follows Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy" (2020):
//! Bernoulli(e^−γ) by their algorithm 1, discrete Laplace by algorithm 2 and discrete Gaussian by
//! algorithm 3. Deviation: the paper's integers are unbounded. Here all fit in `u128`, because
//! σ² is at most [`SIGMA_SQUARED_MAX`] and a proposal beyond 512 scales is refused. The paper would
//! reach such a proposal with probability e^−512 and then accept it with probability below
//! e^−100000, which is also the bound on the distance to the exact distribution.

use super::{LAPLACE_SCALE_MAX, NoiseError, Ratio, SIGMA_SQUARED_MAX, uniform_below};
use rand_core::CryptoRng;

/// Number of whole scales after which a proposal is refused.
const TAIL_STEPS_MAX: u64 = 512;

/// Draws one value from the discrete Gaussian: P(x) ∝ exp(−x²/2σ²) over all integers x. For many
/// draws of one scale [`super::DiscreteGaussian`] is some ten times faster; it draws other values
/// from the same generator.
///
/// # Errors
/// σ² is zero or above [`SIGMA_SQUARED_MAX`].
pub fn discrete_gaussian<R: CryptoRng>(sigma_squared: u64, rng: &mut R) -> Result<i128, NoiseError> {
    if sigma_squared == 0 || sigma_squared > SIGMA_SQUARED_MAX {
        return Err(NoiseError::SigmaSquared {
            found: Ratio::from(sigma_squared),
        });
    }
    let scale = sigma_squared.isqrt() + 1;
    let variance = u128::from(sigma_squared);
    let denominator = 2 * variance * u128::from(scale).pow(2);
    loop {
        let proposal = laplace(scale, rng);
        let distance = (proposal.unsigned_abs() * u128::from(scale)).abs_diff(variance);
        if bernoulli_exp(distance * distance, denominator, rng) {
            return Ok(proposal);
        }
    }
}

/// Draws one value from the discrete Laplace: P(x) ∝ exp(−|x|/scale) over all integers x.
///
/// # Errors
/// The scale is zero or above [`LAPLACE_SCALE_MAX`].
pub fn discrete_laplace<R: CryptoRng>(scale: u64, rng: &mut R) -> Result<i128, NoiseError> {
    if scale == 0 || scale > LAPLACE_SCALE_MAX {
        return Err(NoiseError::Scale {
            found: Ratio::from(scale),
        });
    }
    Ok(laplace(scale, rng))
}

/// Algorithm 2 with s = 1 for a scale already checked.
fn laplace<R: CryptoRng>(scale: u64, rng: &mut R) -> i128 {
    let wide = u128::from(scale);
    loop {
        let remainder = uniform_below(wide, rng);
        if !bernoulli_exp(remainder, wide, rng) {
            continue;
        }
        let mut steps = 0;
        while steps < TAIL_STEPS_MAX && bernoulli_exp_fraction(1, 1, rng) {
            steps += 1;
        }
        let negative = rng.next_u32() & 1 == 1;
        let magnitude = remainder + wide * u128::from(steps);
        if steps == TAIL_STEPS_MAX || (negative && magnitude == 0) {
            continue;
        }
        let magnitude = i128::try_from(magnitude).unwrap_or(i128::MAX);
        return if negative { -magnitude } else { magnitude };
    }
}

/// True with probability exp(−numerator/denominator), for any ratio (algorithm 1).
fn bernoulli_exp<R: CryptoRng>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    let mut whole = numerator / denominator;
    while whole > 0 {
        if !bernoulli_exp_fraction(1, 1, rng) {
            return false;
        }
        whole -= 1;
    }
    bernoulli_exp_fraction(numerator % denominator, denominator, rng)
}

/// True with probability exp(−γ) for γ = numerator/denominator ≤ 1: the alternating series of
/// exp as a race. Bernoulli(γ/k) is drawn as Bernoulli(γ) and Bernoulli(1/k), which keeps the
/// denominators small.
fn bernoulli_exp_fraction<R: CryptoRng>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    let mut k: u128 = 1;
    loop {
        let goes_on = uniform_below(denominator, rng) < numerator && uniform_below(k, rng) == 0;
        if !goes_on {
            return k % 2 == 1;
        }
        k += 1;
    }
}
