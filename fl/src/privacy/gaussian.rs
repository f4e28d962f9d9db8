//! The continuous Gaussian mechanism, exactly (Balle and Wang 2018, theorem 8).
//!
//! With a noise multiplier σ (noise over sensitivity), δ(ε) = Φ(1/2σ − εσ) − e^ε Φ(−1/2σ − εσ).
//! Several Gaussians on the same record are one: their squared inverse multipliers add (Dong, Roth and
//! Su 2022, corollary 3.3), adaptively chosen or not. Both results are rounded up. The formula
//! understates δ for discrete noise: that has [`super::discrete`].

use libm::{exp, expm1};

use super::PrivacyError;
use super::params::{Delta, Epsilon};
use super::search::least_true;
use crate::normal::ln_cdf;

/// The least σ of the continuous Gaussian mechanism for (ε, δ), rounded up. For comparison only:
/// discrete noise on vectors is calibrated by [`super::calibrate`].
///
/// # Errors
/// A sensitivity that is not positive and finite.
pub fn analytic_gaussian_sigma(
    epsilon: Epsilon,
    delta: Delta,
    sensitivity: f64,
) -> Result<f64, PrivacyError> {
    if !(sensitivity > 0.0 && sensitivity.is_finite()) {
        return Err(PrivacyError::Sensitivity { found: sensitivity });
    }
    let keeps = |sigma| gaussian_delta(epsilon.value(), sigma) <= delta.value();
    let (mut low, mut high) = (1e-6, 1e-6);
    while !keeps(high) {
        low = high;
        high *= 2.0;
    }
    Ok(least_true(low, high, keeps) * (1.0 + 1e-12) * sensitivity)
}

/// The least ε at δ of the continuous Gaussian mechanism with noise multiplier σ, rounded up;
/// infinite for a multiplier so small that ε exceeds 1e9.
pub fn gaussian_epsilon(sigma: f64, delta: f64) -> f64 {
    let keeps = |epsilon| gaussian_delta(epsilon, sigma) <= delta;
    if keeps(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1e-6);
    while !keeps(high) {
        low = high;
        high *= 2.0;
        if high > 1e9 {
            return f64::INFINITY;
        }
    }
    least_true(low, high, keeps) * (1.0 + 1e-12)
}

/// δ(ε) of the continuous Gaussian with noise multiplier σ, rounded up.
pub fn gaussian_delta(epsilon: f64, sigma: f64) -> f64 {
    let upper = ln_cdf(0.5 / sigma - epsilon * sigma);
    let lower = epsilon + ln_cdf(-0.5 / sigma - epsilon * sigma);
    // e^upper − e^lower without cancellation of their common size.
    let size = exp(upper);
    let rounding = 16.0 * f64::EPSILON * (1.0 + upper.abs() + lower.abs() + epsilon) * size;
    -size * expm1((lower - upper).min(0.0)) + rounding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epsilon(value: f64) -> Epsilon {
        Epsilon::new(value).unwrap()
    }

    fn delta(value: f64) -> Delta {
        Delta::new(value).unwrap()
    }

    #[test]
    fn analytic_sigma_matches_the_reference_values() {
        // (ε, δ, exact σ): 40-digit bisection of the equation of Balle and Wang.
        let rows = [
            (0.1, 1e-5, 30.749_566_131_977_45),
            (1.0, 1e-5, 3.730_631_634_815_942),
            (2.0, 1e-6, 2.230_476_271_186_417),
            (8.0, 1e-6, 0.652_935_384_358_216),
        ];
        for (eps, del, exact) in rows {
            let sigma = analytic_gaussian_sigma(epsilon(eps), delta(del), 1.0).unwrap();
            assert!(
                sigma >= exact * (1.0 - 1e-9) && sigma <= exact * (1.0 + 1e-9),
                "{sigma} {exact}"
            );
        }
        let scaled = analytic_gaussian_sigma(epsilon(1.0), delta(1e-5), 10.0).unwrap();
        assert!((scaled / 37.306_316_348_159_42 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn epsilon_and_sigma_invert_each_other() {
        for eps in [0.01, 0.3, 2.0, 40.0] {
            for del in [1e-2, 1e-6, 1e-20] {
                let sigma = analytic_gaussian_sigma(epsilon(eps), delta(del), 1.0).unwrap();
                let back = gaussian_epsilon(sigma, del);
                assert!((back / eps - 1.0).abs() < 1e-8, "{eps} {del}: {back}");
            }
        }
    }

    #[test]
    fn wide_noise_needs_no_epsilon_at_a_large_delta() {
        assert_eq!(gaussian_epsilon(100.0, 0.1), 0.0);
        assert!(gaussian_epsilon(1e-9, 0.1).is_infinite());
    }
}
