//! The normal distribution, accurate far into its tails and the same on every machine.
//!
//! Built on `libm`, which is pure Rust, instead of the platform's mathematics library. Tails use
//! logarithms, so that an accountant can work with δ = 1e-30 and intervals with any level.

use libm::{erfc, exp, log, log1p, sqrt};

/// The 97.5% point, for two-sided 95% intervals.
pub const Z95: f64 = 1.959_963_984_540_054;

/// Below this argument `erfc` runs out of range and the asymptotic series takes over.
const SERIES_BELOW: f64 = -35.0;

/// Φ(x), the distribution function.
pub fn cdf(x: f64) -> f64 {
    erfc(-x / core::f64::consts::SQRT_2) / 2.0
}

/// ln Φ(x), finite for every finite x.
pub fn ln_cdf(x: f64) -> f64 {
    if x > 0.0 {
        log1p(-cdf(-x))
    } else if x > SERIES_BELOW {
        log(cdf(x))
    } else {
        // Mills' ratio: Φ(x) = φ(x)/|x| · (1 − 1/x² + 3/x⁴ − 15/x⁶ + …).
        let inverse = 1.0 / (x * x);
        let series = -inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - 105.0 * inverse)));
        -x * x / 2.0 - log(-x) - log(2.0 * core::f64::consts::PI) / 2.0 + log1p(series)
    }
}

/// The x with Φ(−x) = tail, for a tail between 1e-300 and 0.5; outside, the nearest bound's.
///
/// Newton's method on ln Φ(−x), which is concave, from a start above the root: converges from one
/// side in a few steps.
pub fn upper_quantile(tail: f64) -> f64 {
    let target = log(tail.clamp(1e-300, 0.5));
    // Φ(−x) ≤ e^(−x²/2)/2 for x ≥ 0, so the start is at or above the root.
    let mut x = sqrt((-2.0 * (target + core::f64::consts::LN_2)).max(0.0));
    for _ in 0..60 {
        let value = ln_cdf(-x);
        let slope = -exp(-x * x / 2.0 - log(2.0 * core::f64::consts::PI) / 2.0 - value);
        let step = (value - target) / slope;
        x -= step;
        if step.abs() < 1e-15 * x.abs().max(1.0) {
            break;
        }
    }
    x.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, relative: f64) {
        assert!(
            (found / expected - 1.0).abs() < relative,
            "{found} against {expected}"
        );
    }

    #[test]
    fn tails_match_published_values() {
        close(cdf(-1.0), 0.158_655_253_931_457_05, 1e-14);
        close(cdf(-6.0), 9.865_876_450_376_98e-10, 1e-13);
        close(ln_cdf(-10.0), -53.231_285_150_512_47, 1e-13);
        close(ln_cdf(-40.0), -804.608_442_013_754, 1e-12);
    }

    #[test]
    fn the_series_meets_the_function_where_they_change_places() {
        let left = ln_cdf(SERIES_BELOW - 1e-9);
        let right = ln_cdf(SERIES_BELOW + 1e-9);
        assert!((left - right).abs() < 1e-6 && left < right, "{left} {right}");
    }

    #[test]
    fn quantiles_invert_the_distribution() {
        close(upper_quantile(0.025), Z95, 1e-14);
        close(upper_quantile(0.5e-6), 4.891_638_475_698_99, 1e-12);
        assert_eq!(upper_quantile(0.5), 0.0);
        for exponent in 1..300 {
            let tail = libm::pow(10.0, -f64::from(exponent));
            close(ln_cdf(-upper_quantile(tail)), log(tail), 1e-12);
        }
    }
}
