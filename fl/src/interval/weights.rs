//! A reader's weights of slices.

use thiserror::Error;

/// Largest weight.
pub const WEIGHT_MAX: f64 = 1_000.0;

/// Weights of slices, one each, at least one above zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    shares: Vec<f64>,
    equal: bool,
}

/// Why numbers are no weights.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A weight is negative, too large or not a number.
    #[error("weight {index} is {found}, must be between 0 and {WEIGHT_MAX}")]
    OutOfRange {
        /// Index of the slice.
        index: usize,
        /// The weight given.
        found: f64,
    },
    /// All weights are zero, or there are none.
    #[error("at least one weight must be above zero")]
    AllZero,
}

impl Weights {
    /// The same weight for every slice.
    #[must_use]
    pub fn equals(slices: usize) -> Self {
        Self {
            shares: vec![1.0 / slices.max(1) as f64; slices],
            equal: true,
        }
    }

    /// Weights of any sum; only their proportions count.
    ///
    /// # Errors
    /// A weight outside 0 to [`WEIGHT_MAX`], or none above zero.
    pub fn new(weights: &[f64]) -> Result<Self, WeightsError> {
        let bad = |weight: &&f64| !(0.0..=WEIGHT_MAX).contains(*weight);
        if let Some(index) = weights.iter().position(|weight| bad(&weight)) {
            let found = weights.get(index).copied().unwrap_or(f64::NAN);
            return Err(WeightsError::OutOfRange { index, found });
        }
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Err(WeightsError::AllZero);
        }
        let first = weights.first().copied().unwrap_or(0.0);
        Ok(Self {
            shares: weights.iter().map(|weight| weight / sum).collect(),
            equal: weights.iter().all(|weight| *weight == first),
        })
    }

    /// Whether all are the same.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.equal
    }

    /// Number of slices.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "weights of nothing weight nothing")]
    pub fn len(&self) -> usize {
        self.shares.len()
    }

    /// The weights, scaled to sum to 1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        self.shares.clone()
    }
}

/// A bound on the deviation (or root mean square) of Σ w_s·x_s, from that of the plain mean
/// (1/S)·Σ x_s and of every x_s alone, whatever their correlations.
///
/// For any a, Σ w_s·x_s = a·mean + Σ (w_s − a/S)·x_s, and deviations add up at most. The sum is
/// piecewise linear in a, so its least value is at a = 0 or where some w_s − a/S is zero.
pub(crate) fn weighted_deviation(weights: &Weights, mean: f64, each: &[f64]) -> f64 {
    let slices = each.len().max(1) as f64;
    let bound = |part: f64| {
        let rest: f64 = weights
            .shares
            .iter()
            .zip(each)
            .map(|(weight, deviation)| (weight - part / slices).abs() * deviation)
            .sum();
        part * mean + rest
    };
    weights
        .shares
        .iter()
        .map(|weight| bound(weight * slices))
        .fold(bound(0.0), f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_proportions() {
        let weights = Weights::new(&[2.0, 0.0, 2.0]).unwrap();
        assert_eq!(weights.shares(), [0.5, 0.0, 0.5]);
        assert!(!weights.equal() && Weights::new(&[3.0, 3.0]).unwrap().equal());
        assert_eq!(Weights::new(&[0.0, 0.0]), Err(WeightsError::AllZero));
        assert_eq!(Weights::new(&[]), Err(WeightsError::AllZero));
        assert!(matches!(
            Weights::new(&[1.0, -1.0]),
            Err(WeightsError::OutOfRange { index: 1, .. })
        ));
        assert!(Weights::new(&[f64::NAN]).is_err());
    }

    #[test]
    fn the_bound_is_exact_for_equal_weights_and_for_one_slice() {
        let each = [0.4, 0.5, 0.3];
        let plain = weighted_deviation(&Weights::equals(3), 0.2, &each);
        assert!((plain - 0.2).abs() < 1e-12);
        let one = weighted_deviation(&Weights::new(&[0.0, 1.0, 0.0]).unwrap(), 0.2, &each);
        assert!((one - 0.5).abs() < 1e-12);
        let between = weighted_deviation(&Weights::new(&[1.0, 2.0, 1.0]).unwrap(), 0.2, &each);
        assert!(between > 0.2 && between < 0.425);
    }
}
