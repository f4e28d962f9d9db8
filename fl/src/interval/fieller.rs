//! Fieller's interval for a ratio of two independent noisy numbers, with sampling variance.

use super::Estimate;
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

    /// All θ with (h − θn)² ≤ z²·(V_h + θ²·V_n + n·sampling(θ)): the roots of a quadratic.
    /// Nothing if the set is not an interval, that is, if n is within z deviations of zero.
    pub(crate) fn bounds(&self, z: f64, sampling: Sampling) -> Option<(f64, f64)> {
        let (h, n) = (self.numerator.value, self.denominator.value);
        let z2 = z * z;
        let (constant, quadratic) = match sampling {
            Sampling::None => (0.0, 0.0),
            Sampling::Bernoulli { fraction } => (n * fraction / 4.0, -n * fraction),
            Sampling::Fixed { variance } => (n * variance, 0.0),
        };
        let a = n * n - z2 * (self.denominator.variance + quadratic);
        let c = h * h - z2 * (self.numerator.variance + constant);
        let discriminant = h * h * n * n - a * c;
        if a <= 0.0 || discriminant < 0.0 {
            return None;
        }
        let root = sqrt(discriminant);
        Some(((h * n - root) / a, (h * n + root) / a))
    }
}

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
