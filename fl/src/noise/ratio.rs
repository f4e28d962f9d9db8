//! Scales as exact ratios of integers, so that a scale below 1 is not rounded either.

use super::NoiseError;
use std::cmp::Ordering;
use std::fmt;

/// A non-negative ratio in lowest terms, with a denominator of at most 2³².
///
/// ```
/// use fieldmark_fl::noise::Ratio;
/// assert_eq!(Ratio::new(2, 32)?, Ratio::new(1, 16)?);
/// assert!(Ratio::from(1) > Ratio::new(1, 16)?);
/// # Ok::<(), fieldmark_fl::noise::NoiseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: u64,
    denominator: u64,
}

impl Ratio {
    /// Largest denominator.
    pub const DENOMINATOR_MAX: u64 = 1 << 32;

    /// Reduces a ratio to its lowest terms.
    ///
    /// # Errors
    /// The denominator is zero, or above [`Self::DENOMINATOR_MAX`] in lowest terms.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self, NoiseError> {
        let divisor = greatest_common_divisor(numerator, denominator).max(1);
        let reduced = Self {
            numerator: numerator / divisor,
            denominator: denominator / divisor,
        };
        if reduced.denominator == 0 || reduced.denominator > Self::DENOMINATOR_MAX {
            return Err(NoiseError::Denominator {
                found: reduced.denominator,
            });
        }
        Ok(reduced)
    }

    /// The numerator in lowest terms.
    #[must_use]
    pub const fn numerator(self) -> u64 {
        self.numerator
    }

    /// The denominator in lowest terms.
    #[must_use]
    pub const fn denominator(self) -> u64 {
        self.denominator
    }

    /// Whether it is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// The largest integer that is not above it.
    #[must_use]
    pub const fn floor(self) -> u64 {
        self.numerator / self.denominator
    }

    /// The nearest float.
    #[must_use]
    pub fn value(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl From<u64> for Ratio {
    fn from(whole: u64) -> Self {
        Self {
            numerator: whole,
            denominator: 1,
        }
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        let cross = |a: Self, b: Self| u128::from(a.numerator) * u128::from(b.denominator);
        cross(*self, *other).cmp(&cross(*other, *self))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denominator == 1 {
            write!(f, "{}", self.numerator)
        } else {
            write!(f, "{}/{}", self.numerator, self.denominator)
        }
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_reduced_and_compared_exactly() {
        let half = Ratio::new(1 << 40, 1 << 41).unwrap();
        assert_eq!((half.numerator(), half.denominator()), (1, 2));
        assert!(half < Ratio::from(1) && half > Ratio::new(499_999, 1_000_000).unwrap());
        assert_eq!(Ratio::new(7, 2).unwrap().floor(), 3);
        assert_eq!(Ratio::new(7, 2).unwrap().to_string(), "7/2");
        assert_eq!(Ratio::new(0, 5).unwrap(), Ratio::from(0));
    }

    #[test]
    fn denominators_out_of_range_are_refused() {
        assert_eq!(Ratio::new(1, 0), Err(NoiseError::Denominator { found: 0 }));
        assert_eq!(Ratio::new(0, 0), Err(NoiseError::Denominator { found: 0 }));
        let found = (1 << 32) + 1;
        assert_eq!(Ratio::new(1, found), Err(NoiseError::Denominator { found }));
    }
}
