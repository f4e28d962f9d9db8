//! Exact discrete Gaussian and discrete Laplace noise, integers only.
//!
//! Follows Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy" (2020):
//! Bernoulli(e^−γ) by their algorithm 1, discrete Laplace by algorithm 2 and discrete Gaussian by
//! algorithm 3. No floating point is involved, so no rounding weakens the guarantee and every
//! machine draws the same value from the same generator.
//!
//! Deviation: the paper's integers are unbounded. Here all fit in `u128`, because σ² is at most
//! [`SIGMA_SQUARED_MAX`] and a proposal beyond 512 scales is refused. The paper
//! would reach such a proposal with probability e^−512 and then accept it with probability below
//! e^−100000, which is also the bound on the distance to the exact distribution.
//!
//! Drawing takes variable time; an observer who can time an aggregator's sampler to the
//! nanosecond is outside the threat model.

use rand_core::{CryptoRng, Rng};
use thiserror::Error;

/// Largest σ² (and square of a Laplace scale) that the integers here can carry: 2⁵⁴.
pub const SIGMA_SQUARED_MAX: u64 = 1 << 54;

/// Number of whole scales after which a proposal is refused.
const TAIL_STEPS_MAX: u64 = 512;

/// A scale outside the sampler's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// σ² is zero or too large.
    #[error("σ² is {found}, must be between 1 and {SIGMA_SQUARED_MAX}")]
    SigmaSquared {
        /// The value given.
        found: u64,
    },
    /// The Laplace scale is zero or too large.
    #[error("scale is {found}, must be between 1 and 2^27")]
    Scale {
        /// The value given.
        found: u64,
    },
}

/// Draws from the discrete Gaussian: P(x) ∝ exp(−x²/2σ²) over all integers x.
///
/// # Errors
/// σ² is zero or above [`SIGMA_SQUARED_MAX`].
pub fn discrete_gaussian<R: CryptoRng>(sigma_squared: u64, rng: &mut R) -> Result<i128, NoiseError> {
    if sigma_squared == 0 || sigma_squared > SIGMA_SQUARED_MAX {
        return Err(NoiseError::SigmaSquared { found: sigma_squared });
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

/// Draws from the discrete Laplace: P(x) ∝ exp(−|x|/scale) over all integers x.
///
/// # Errors
/// The scale is zero or above 2²⁷.
pub fn discrete_laplace<R: CryptoRng>(scale: u64, rng: &mut R) -> Result<i128, NoiseError> {
    if scale == 0 || scale > 1 << 27 {
        return Err(NoiseError::Scale { found: scale });
    }
    Ok(laplace(scale, rng))
}

/// Algorithm 2 with s = 1 for a scale already checked.
fn laplace<R: Rng>(scale: u64, rng: &mut R) -> i128 {
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
fn bernoulli_exp<R: Rng>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
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
fn bernoulli_exp_fraction<R: Rng>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    let mut k: u128 = 1;
    loop {
        let goes_on = uniform_below(denominator, rng) < numerator && uniform_below(k, rng) == 0;
        if !goes_on {
            return k % 2 == 1;
        }
        k += 1;
    }
}

/// Uniform in `0..bound` by rejection of masked words; `bound` is at least 1.
fn uniform_below<R: Rng>(bound: u128, rng: &mut R) -> u128 {
    let largest = bound - 1;
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
mod tests {
    use super::*;
    use crate::normal::cdf;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const DRAWS: usize = 200_000;

    fn gaussian_draws(sigma_squared: u64, seed: u64) -> Vec<i128> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..DRAWS)
            .map(|_| discrete_gaussian(sigma_squared, &mut rng).unwrap())
            .collect()
    }

    /// Chi-squared statistic against a mass function over −reach..=reach, tails pooled.
    fn chi_squared(draws: &[i128], reach: i128, mass: impl Fn(i128) -> f64) -> (f64, f64) {
        let total: f64 = (-200..=200).map(&mass).sum();
        let mut inside = 0.0;
        let mut statistic = 0.0;
        for x in -reach..=reach {
            let expected = mass(x) / total * draws.len() as f64;
            let seen = draws.iter().filter(|&&draw| draw == x).count() as f64;
            inside += expected;
            statistic += (seen - expected).powi(2) / expected;
        }
        let expected = draws.len() as f64 - inside;
        let seen = draws.iter().filter(|draw| draw.abs() > reach).count() as f64;
        statistic += (seen - expected).powi(2) / expected;
        (statistic, (2 * reach + 1) as f64)
    }

    #[test]
    fn small_gaussians_fit_their_mass_function() {
        for (sigma_squared, reach) in [(1, 3), (4, 7), (10, 11)] {
            let mass = |x: i128| (-((x * x) as f64) / (2.0 * sigma_squared as f64)).exp();
            let (statistic, degrees) = chi_squared(&gaussian_draws(sigma_squared, 7), reach, mass);
            assert!(
                statistic < degrees + 3.5 * (2.0 * degrees).sqrt(),
                "σ²={sigma_squared}: {statistic}"
            );
        }
    }

    #[test]
    fn laplace_fits_its_mass_function() {
        let mut rng = ChaCha20Rng::seed_from_u64(11);
        let draws: Vec<_> = (0..DRAWS)
            .map(|_| discrete_laplace(3, &mut rng).unwrap())
            .collect();
        let (statistic, degrees) = chi_squared(&draws, 15, |x| (-(x.abs() as f64) / 3.0).exp());
        assert!(statistic < degrees + 3.5 * (2.0 * degrees).sqrt(), "{statistic}");
    }

    #[test]
    fn large_gaussians_are_normal_by_kolmogorov_and_smirnov() {
        for sigma_squared in [40_000, 1 << 40, SIGMA_SQUARED_MAX] {
            let mut draws = gaussian_draws(sigma_squared, 3);
            draws.sort_unstable();
            let sigma = (sigma_squared as f64).sqrt();
            let largest = draws.iter().enumerate().map(|(rank, &draw)| {
                (cdf((draw as f64 + 0.5) / sigma) - (rank + 1) as f64 / DRAWS as f64).abs()
            });
            let largest = largest.fold(0.0, f64::max);
            // 1.63/√N is the 1% point; a grid of spacing 1/200 σ adds at most 0.002.
            assert!(
                largest < 1.63 / (DRAWS as f64).sqrt() + 0.002,
                "σ²={sigma_squared}: {largest}"
            );
            let variance = draws.iter().map(|&draw| (draw as f64).powi(2)).sum::<f64>() / DRAWS as f64;
            assert!((variance / (sigma * sigma) - 1.0).abs() < 0.012, "{variance}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_noise_everywhere() {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let draws: Vec<_> = (0..8)
            .map(|_| discrete_gaussian(1_000_000, &mut rng).unwrap())
            .collect();
        assert_eq!(draws, GOLDEN);
    }

    const GOLDEN: [i128; 8] = [2131, 862, 97, -662, -965, 322, 438, 124];

    #[test]
    fn scales_out_of_range_are_refused() {
        let mut rng = ChaCha20Rng::from_seed([0; 32]);
        assert!(discrete_gaussian(0, &mut rng).is_err());
        assert!(discrete_gaussian(SIGMA_SQUARED_MAX + 1, &mut rng).is_err());
        assert!(discrete_laplace(0, &mut rng).is_err());
        assert!(discrete_laplace((1 << 27) + 1, &mut rng).is_err());
    }
}
