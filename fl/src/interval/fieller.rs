//! Fieller's interval for a ratio of two independent noisy numbers, with sampling variance.
//!
//! Ratios are only looked at when the noisy denominator is [`RECORDS_SIGMAS_MIN`] deviations above
//! zero, and that choice biases it upwards: a count that seems to be just large enough may well be
//! smaller. The bound that a smaller count moves is therefore taken with the denominator's lower
//! limit conditional on the choice (a truncated normal's), in the manner of Zou and Donner's method
//! of variance estimates recovery (2008): its deviation is stretched by the ratio of that limit's
//! distance to the usual one. From about eleven deviations on the stretch is 1.

use super::{Estimate, RECORDS_SIGMAS_MIN};
use crate::normal::ln_cdf;
use libm::sqrt;

/// The sampling variance per record, beside the noise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampling {
    /// None: the interval is for these very records.
    None,
    /// `fraction · (¼ − θ²)`, evaluated at the θ under test.
    Bernoulli {
        /// Part of the Bernoulli variance.
        fraction: f64,
    },
    /// A number, whatever θ is.
    Fixed {
        /// Variance of one record's contribution.
        variance: f64,
    },
}

/// A ratio θ = numerator / denominator of independent estimates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) numerator: Estimate,
    pub(crate) denominator: Estimate,
}

impl Ratio {
    /// The point estimate.
    pub(crate) fn value(&self) -> f64 {
        self.numerator.value / self.denominator.value
    }

    /// The same ratio with the numerator moved to where the ratio is within ±½.
    pub(crate) fn within_half(mut self) -> Self {
        let most = self.denominator.value / 2.0;
        self.numerator.value = self.numerator.value.clamp(-most, most);
        self
    }

    /// All θ with (h − θn)² ≤ z²·(V_h + θ²·V_n + n·sampling(θ)): the roots of a quadratic, with V_n
    /// stretched on the side that fewer records would move. A side without a bound is infinite.
    /// Nothing if n is within z deviations of zero.
    pub(crate) fn bounds(&self, z: f64, sampling: Sampling) -> Option<(f64, f64)> {
        let plain = self.roots(z, sampling, 1.0)?;
        let stretched = match stretch(&self.denominator, z) {
            Some(1.0) => return Some(plain),
            Some(factor) => self.roots(z, sampling, factor),
            None => None,
        }
        .unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        let low = if plain.0 < 0.0 { stretched.0 } else { plain.0 };
        let high = if plain.1 > 0.0 { stretched.1 } else { plain.1 };
        Some((low.min(plain.0), high.max(plain.1)))
    }

    /// Whether intervals are more than 2.5% wider because the count may be smaller than it seems.
    pub(crate) fn doubtful(&self, z: f64) -> bool {
        stretch(&self.denominator, z).is_none_or(|factor| factor > STRETCH_MUCH)
    }

    fn roots(&self, z: f64, sampling: Sampling, stretch: f64) -> Option<(f64, f64)> {
        let (h, n) = (self.numerator.value, self.denominator.value);
        let z2 = z * z;
        let (constant, quadratic) = match sampling {
            Sampling::None => (0.0, 0.0),
            Sampling::Bernoulli { fraction } => (n * fraction / 4.0, -n * fraction),
            Sampling::Fixed { variance } => (n * variance, 0.0),
        };
        let a = n * n - z2 * (self.denominator.variance * stretch * stretch + quadratic);
        let c = h * h - z2 * (self.numerator.variance + constant);
        let discriminant = h * h * n * n - a * c;
        if a <= 0.0 || discriminant < 0.0 {
            return None;
        }
        let root = sqrt(discriminant);
        Some(((h * n - root) / a, (h * n + root) / a))
    }
}

/// By how much the count's deviation is stretched downwards because it was only looked at above
/// the threshold; nothing if it may be zero.
///
/// With the count x deviations above zero and d = x − threshold, the lower limit is y deviations
/// below the count where Φ(−y) / Φ(d − y) = Φ(−z); without the choice it would be z below.
fn stretch(records: &Estimate, z: f64) -> Option<f64> {
    let deviation = sqrt(records.variance);
    let seen = records.value / deviation.max(1e-9);
    let above = seen - RECORDS_SIGMAS_MIN;
    if above > NO_CHOICE_SIGMAS {
        return Some(1.0);
    }
    let target = ln_cdf(-z);
    let excess = |y: f64| ln_cdf(-y) - ln_cdf(above - y) - target;
    if excess(seen) > 0.0 {
        return None;
    }
    let (mut near, mut far) = (z, seen);
    for _ in 0..BISECTIONS {
        let middle = (near + far) / 2.0;
        if excess(middle) > 0.0 {
            near = middle;
        } else {
            far = middle;
        }
    }
    Some(far / z)
}

/// A stretch that a reader should know of.
const STRETCH_MUCH: f64 = 1.025;
/// Deviations above the threshold from which the choice no longer matters.
const NO_CHOICE_SIGMAS: f64 = 6.0;
/// Halvings of an interval shorter than twelve: to 1e-11.
const BISECTIONS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(h: f64, h_variance: f64, n: f64, n_variance: f64) -> Ratio {
        Ratio {
            numerator: Estimate {
                value: h,
                variance: h_variance,
            },
            denominator: Estimate {
                value: n,
                variance: n_variance,
            },
        }
    }

    #[test]
    fn without_noise_in_the_denominator_it_is_the_plain_interval() {
        let (low, high) = ratio(30.0, 4.0, 100.0, 0.0).bounds(2.0, Sampling::None).unwrap();
        assert!((low - 0.26).abs() < 1e-12 && (high - 0.34).abs() < 1e-12);
    }

    #[test]
    fn without_noise_at_all_it_is_wilson() {
        // Wilson's 95% interval for 80 of 100 is [0.7112, 0.8666].
        let bounds = ratio(30.0, 0.0, 100.0, 0.0).bounds(1.96, Sampling::Bernoulli { fraction: 1.0 });
        let (low, high) = bounds.unwrap();
        assert!((low + 0.5 - 0.7112).abs() < 1e-4 && (high + 0.5 - 0.8666).abs() < 1e-4);
    }

    #[test]
    fn bounds_are_where_the_test_changes_its_mind() {
        let ratio = ratio(31.0, 9.0, 90.0, 16.0);
        for sampling in [
            Sampling::None,
            Sampling::Bernoulli { fraction: 0.4 },
            Sampling::Fixed { variance: 0.1 },
        ] {
            let (low, high) = ratio.bounds(1.5, sampling).unwrap();
            for theta in [low, high] {
                let per_record = match sampling {
                    Sampling::None => 0.0,
                    Sampling::Bernoulli { fraction } => fraction * (0.25 - theta * theta),
                    Sampling::Fixed { variance } => variance,
                };
                let distance: f64 = 31.0 - theta * 90.0;
                let deviations = distance.abs() / (9.0 + theta * theta * 16.0 + 90.0 * per_record).sqrt();
                assert!((deviations - 1.5).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_denominator_within_its_noise_has_no_interval() {
        assert!(ratio(1.0, 1.0, 3.0, 4.0).bounds(2.0, Sampling::None).is_none());
    }

    #[test]
    fn a_numerator_pushed_out_by_noise_still_has_an_interval() {
        let ratio = ratio(60.0, 1.0, 100.0, 1.0).within_half();
        let (low, high) = ratio.bounds(1.96, Sampling::Bernoulli { fraction: 1.0 }).unwrap();
        assert!(low < 0.5 && high >= 0.5);
    }
}
