//! Real values released on a declared grid, with the rounding in the sensitivity.
//!
//! A grid's spacing is a power of two, so that dividing by it is exact. A value is rounded to the
//! nearest point (half a step to the even one), which moves each coordinate by at most half a step;
//! between neighbours a difference of Δ becomes at most Δ/step + 1 steps in one coordinate, at most
//! Δ/step + √d in the L2 norm of d coordinates, and at most Δ/step + d in their L1 norm. Discrete
//! noise is added to the points. So the output is a point of a grid that is the same for all inputs,
//! and its low bits tell nothing (Mironov 2012, "On significance of the least significant bits").
//!
//! The Δ given must bound the computed values, errors of their own arithmetic included.

use super::{MechanismError, count, positive};
use crate::noise::{DiscreteGaussian, DiscreteLaplace, Ratio};
use crate::privacy::{Delta, Epsilon, Rho, calibrate};
use rand_core::CryptoRng;

/// Largest distance of a point from zero, in steps: beyond it floats are no longer exact.
const POINTS_MAX: f64 = (1u64 << 52) as f64;
/// Most coordinates of a release.
const DIMENSION_MAX: u64 = 1 << 32;
/// Scales of Laplace noise are rounded up to this part of a step.
const SCALE_PARTS: u64 = 1 << 16;

/// The multiples of 2^exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    exponent: i32,
}

impl Grid {
    /// A grid of spacing 2^exponent, −200 ≤ exponent ≤ 200.
    ///
    /// # Errors
    /// The exponent is out of range.
    pub fn new(exponent: i32) -> Result<Self, MechanismError> {
        if (-200..=200).contains(&exponent) {
            Ok(Self { exponent })
        } else {
            Err(MechanismError::Number {
                what: "exponent of the grid",
                found: f64::from(exponent),
                expected: "between -200 and 200",
            })
        }
    }

    /// The spacing.
    #[must_use]
    pub fn step(self) -> f64 {
        libm::scalbn(1.0, self.exponent)
    }

    /// The number of the point nearest to a value.
    ///
    /// # Errors
    /// The value is not finite or more than 2⁵² steps from zero.
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^52 in size")]
    pub fn point(self, value: f64) -> Result<i64, MechanismError> {
        let steps = libm::rint(libm::scalbn(value, -self.exponent));
        if steps.abs() <= POINTS_MAX {
            Ok(steps as i64)
        } else {
            Err(MechanismError::OffGrid { found: value })
        }
    }

    /// The value of a point.
    #[must_use]
    pub fn value(self, point: i128) -> f64 {
        libm::scalbn(point as f64, self.exponent)
    }

    /// A sensitivity in whole steps after rounding, given what rounding adds: floor(Δ/step + added),
    /// safe to floor because the L1 norm of integers is one.
    fn steps(self, sensitivity: f64, added: f64) -> Result<f64, MechanismError> {
        positive("sensitivity", sensitivity)?;
        // A margin over the errors of the additions here.
        let steps = (libm::scalbn(sensitivity, -self.exponent) + added) * (1.0 + 4.0 * f64::EPSILON);
        if steps <= 67_108_864.0 {
            Ok(steps)
        } else {
            Err(MechanismError::Number {
                what: "sensitivity in steps of the grid",
                found: steps,
                expected: "at most 2^26: choose a wider grid",
            })
        }
    }

    fn points(self, dimension: u64, values: &[f64]) -> Result<Vec<i64>, MechanismError> {
        let found = u64::try_from(values.len()).unwrap_or(u64::MAX);
        count("number of values", found, dimension, dimension)?;
        values.iter().map(|&value| self.point(value)).collect()
    }
}

/// Gaussian noise on a grid.
///
/// ```
/// use fieldmark_fl::mechanism::{Grid, GridGaussian};
/// use fieldmark_fl::privacy::{Delta, Epsilon};
/// // Two values with an L2 sensitivity of 1, in steps of 1/64.
/// let (epsilon, delta) = (Epsilon::new(1.0)?, Delta::new(1e-6)?);
/// let release = GridGaussian::calibrated(Grid::new(-6)?, 2, 1.0, epsilon, delta)?;
/// assert_eq!(release.l2_squared(), 4279); // (64 + √2)² steps², not 64²
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GridGaussian {
    grid: Grid,
    dimension: u64,
    l2_squared: u64,
    sigma_squared: u64,
    noise: DiscreteGaussian,
}

impl GridGaussian {
    /// A release of `dimension` values whose L2 sensitivity is `sensitivity`, with noise of σ² in
    /// squared steps.
    ///
    /// # Errors
    /// No dimension, a sensitivity that is not positive or above 2²⁶ steps, or σ² out of range.
    pub fn new(
        grid: Grid,
        dimension: u64,
        sensitivity: f64,
        sigma_squared: u64,
    ) -> Result<Self, MechanismError> {
        Ok(Self {
            grid,
            dimension,
            l2_squared: effective_l2_squared(grid, dimension, sensitivity)?,
            sigma_squared,
            noise: DiscreteGaussian::new(Ratio::from(sigma_squared))?,
        })
    }

    /// The release with the least noise for (ε, δ).
    ///
    /// # Errors
    /// As [`Self::new`], or the noise needed is more than the sampler draws.
    pub fn calibrated(
        grid: Grid,
        dimension: u64,
        sensitivity: f64,
        epsilon: Epsilon,
        delta: Delta,
    ) -> Result<Self, MechanismError> {
        let l2_squared = effective_l2_squared(grid, dimension, sensitivity)?;
        let scale = calibrate(l2_squared, epsilon, delta)?;
        Self::new(grid, dimension, sensitivity, scale.sigma_squared)
    }

    /// The squared L2 sensitivity of the rounded values, in squared steps.
    #[must_use]
    pub fn l2_squared(&self) -> u64 {
        self.l2_squared
    }

    /// σ² in squared steps.
    #[must_use]
    pub fn sigma_squared(&self) -> u64 {
        self.sigma_squared
    }

    /// What one release costs.
    ///
    /// # Errors
    /// None for a release that could be made.
    pub fn rho(&self) -> Result<Rho, MechanismError> {
        Ok(Rho::of_gaussian(self.l2_squared, self.sigma_squared)?)
    }

    /// Rounds and noises values; the result is in steps, [`Grid::value`] makes it a number.
    ///
    /// # Errors
    /// Another number of values than the dimension, or a value that is off the grid.
    pub fn release<R: CryptoRng + ?Sized>(
        &self,
        values: &[f64],
        rng: &mut R,
    ) -> Result<Vec<i128>, MechanismError> {
        let points = self.grid.points(self.dimension, values)?;
        let noisy = |point| i128::from(point) + self.noise.sample(rng);
        Ok(points.into_iter().map(noisy).collect())
    }
}

/// Laplace noise on a grid.
#[derive(Clone, Debug)]
pub struct GridLaplace {
    grid: Grid,
    dimension: u64,
    l1: u64,
    scale: Ratio,
    noise: DiscreteLaplace,
}

impl GridLaplace {
    /// A release of `dimension` values whose L1 sensitivity is `sensitivity`, with noise of a scale
    /// in steps.
    ///
    /// # Errors
    /// As [`GridGaussian::new`].
    pub fn new(grid: Grid, dimension: u64, sensitivity: f64, scale: Ratio) -> Result<Self, MechanismError> {
        Ok(Self {
            grid,
            dimension,
            l1: effective_l1(grid, dimension, sensitivity)?,
            scale,
            noise: DiscreteLaplace::new(scale)?,
        })
    }

    /// The release with the least noise, in parts of 2⁻¹⁶ of a step, for ε.
    ///
    /// # Errors
    /// As [`Self::new`], or the noise needed is more than the sampler draws.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a number too large saturates to a scale that is refused"
    )]
    pub fn calibrated(
        grid: Grid,
        dimension: u64,
        sensitivity: f64,
        epsilon: Epsilon,
    ) -> Result<Self, MechanismError> {
        let l1 = effective_l1(grid, dimension, sensitivity)?;
        let parts = l1 as f64 / epsilon.value() * SCALE_PARTS as f64;
        let scale = Ratio::new(libm::ceil(parts * (1.0 + 4.0 * f64::EPSILON)) as u64, SCALE_PARTS)?;
        Self::new(grid, dimension, sensitivity, scale)
    }

    /// The L1 sensitivity of the rounded values, in steps.
    #[must_use]
    pub fn l1(&self) -> u64 {
        self.l1
    }

    /// ε of one release, rounded up.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        self.l1 as f64 / self.scale.value() * (1.0 + 4.0 * f64::EPSILON)
    }

    /// Rounds and noises values; the result is in steps, [`Grid::value`] makes it a number.
    ///
    /// # Errors
    /// Another number of values than the dimension, or a value that is off the grid.
    pub fn release<R: CryptoRng + ?Sized>(
        &self,
        values: &[f64],
        rng: &mut R,
    ) -> Result<Vec<i128>, MechanismError> {
        let points = self.grid.points(self.dimension, values)?;
        let noisy = |point| i128::from(point) + self.noise.sample(rng);
        Ok(points.into_iter().map(noisy).collect())
    }
}

/// (Δ/step + √d)², in one dimension ⌊Δ/step + 1⌋²; whole, because the squared norm of integers is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and below 2^53 by the bound on steps"
)]
fn effective_l2_squared(grid: Grid, dimension: u64, sensitivity: f64) -> Result<u64, MechanismError> {
    count("dimension", dimension, 1, DIMENSION_MAX)?;
    let steps = grid.steps(sensitivity, libm::sqrt(dimension as f64))?;
    let steps = if dimension == 1 { libm::floor(steps) } else { steps };
    Ok(libm::floor(steps * steps * (1.0 + 4.0 * f64::EPSILON)) as u64)
}

/// ⌊Δ/step + d⌋.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and below 2^53 by the bound on steps"
)]
fn effective_l1(grid: Grid, dimension: u64, sensitivity: f64) -> Result<u64, MechanismError> {
    count("dimension", dimension, 1, DIMENSION_MAX)?;
    Ok(libm::floor(grid.steps(sensitivity, dimension as f64)?) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn values_are_rounded_to_the_nearest_point() {
        let grid = Grid::new(-2).unwrap();
        assert_eq!(grid.point(0.126).unwrap(), 1);
        assert_eq!(grid.point(-0.124).unwrap(), 0);
        assert_eq!(grid.point(0.125).unwrap(), 0);
        assert!((grid.value(-3) + 0.75).abs() < f64::EPSILON);
        for bad in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(grid.point(bad).is_err());
        }
        assert!(Grid::new(201).is_err());
    }

    #[test]
    fn a_release_is_a_grid_point_near_the_value_with_the_stated_spread() {
        let grid = Grid::new(-4).unwrap();
        let release = GridGaussian::new(grid, 2, 1.0, 400).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..20_000 {
            let points = release.release(&[1.01, -2.0], &mut rng).unwrap();
            let error = points[0] as f64 - 16.0;
            sum += error;
            squares += error * error;
        }
        assert!((sum / 20_000.0).abs() < 4.0 * 20.0 / 141.0, "{sum}");
        assert!((squares / 20_000.0 / 400.0 - 1.0).abs() < 0.04, "{squares}");
        assert!(release.release(&[1.0], &mut rng).is_err());
        assert!(release.release(&[1.0, f64::NAN], &mut rng).is_err());
    }

    #[test]
    fn calibrated_laplace_keeps_its_epsilon() {
        let epsilon = Epsilon::new(0.7).unwrap();
        let release = GridLaplace::calibrated(Grid::new(-3).unwrap(), 1, 0.3, epsilon).unwrap();
        // 0.3 is 2.4 steps; rounding makes it 3 at most.
        assert_eq!(release.l1(), 3);
        assert!(release.epsilon() <= 0.7 && release.epsilon() > 0.699);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let grid = Grid::new(0).unwrap();
        assert!(GridGaussian::new(grid, 0, 1.0, 1).is_err());
        assert!(GridGaussian::new(grid, 1, 0.0, 1).is_err());
        assert!(GridGaussian::new(grid, 1, f64::NAN, 1).is_err());
        assert!(GridGaussian::new(grid, 1, 1e9, 1).is_err());
        assert!(GridGaussian::new(grid, 1, 1.0, 0).is_err());
        assert!(GridLaplace::new(grid, 1, 1.0, Ratio::from(0)).is_err());
    }

    proptest! {
        #[test]
        fn rounded_neighbours_differ_by_the_effective_sensitivity_at_most(
            values in proptest::collection::vec(-50.0f64..50.0, 1..6),
            moves in proptest::collection::vec(-1.0f64..1.0, 6),
            exponent in -6i32..3,
        ) {
            let grid = Grid::new(exponent).unwrap();
            let moved: Vec<f64> = values.iter().zip(&moves).map(|(v, m)| v + m).collect();
            let differences: Vec<f64> = values.iter().zip(&moved).map(|(a, b)| (a - b).abs()).collect();
            let l2 = differences.iter().map(|d| d * d).sum::<f64>().sqrt().max(1e-9) * (1.0 + 1e-12);
            let l1 = differences.iter().sum::<f64>().max(1e-9) * (1.0 + 1e-12);
            let dimension = values.len() as u64;
            let steps: Vec<u64> = values
                .iter()
                .zip(&moved)
                .map(|(&a, &b)| grid.point(a).unwrap().abs_diff(grid.point(b).unwrap()))
                .collect();
            let squares: u64 = steps.iter().map(|s| s * s).sum();
            prop_assert!(squares <= effective_l2_squared(grid, dimension, l2).unwrap());
            prop_assert!(steps.iter().sum::<u64>() <= effective_l1(grid, dimension, l1).unwrap());
        }
    }
}
