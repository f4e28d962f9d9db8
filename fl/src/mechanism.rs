//! Differentially private mechanisms beside the vector release of tasks, each exact on integers.
//!
//! [`RandomisedResponse`] hides one choice out of k. [`GridGaussian`] and [`GridLaplace`] release
//! real values on a declared grid and account for the rounding. [`ClipQuantile`] follows a quantile of
//! norms with a noisy count. [`TreeSum`] releases every prefix sum of a stream. The vector release
//! itself is [`crate::vdaf`] with [`crate::noise`].
//!
//! A mechanism states what it costs; whether that may be spent is [`crate::budget`]'s business.

use crate::noise::NoiseError;
use crate::privacy::PrivacyError;
use thiserror::Error;

mod clip;
mod grid;
mod response;
mod tree;

pub use clip::{ClipOptions, ClipQuantile, clip_count_sensitivity, count_below};
pub use grid::{Grid, GridGaussian, GridLaplace};
pub use response::RandomisedResponse;
pub use tree::TreeSum;

/// A parameter or an input that a mechanism cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum MechanismError {
    /// A number of choices, dimensions or steps outside its range.
    #[error("the {what} is {found}, must be between {least} and {most}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The value given.
        found: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// A real parameter outside its range.
    #[error("the {what} is {found}, must be {expected}")]
    Number {
        /// Which parameter.
        what: &'static str,
        /// The value given.
        found: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// An answer that is not one of the choices.
    #[error("choice {found} of {choices}")]
    Choice {
        /// The value given.
        found: u32,
        /// How many choices there are; they count from 0.
        choices: u32,
    },
    /// A value that is not finite, or too far from zero for its grid.
    #[error("the value {found} is not on the grid, whose points end at ±2^52 steps")]
    OffGrid {
        /// The value given.
        found: f64,
    },
    /// The noise is outside the sampler's range.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// The promise cannot be kept.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
}

/// Checks a count against its range.
fn count(what: &'static str, found: u64, least: u64, most: u64) -> Result<(), MechanismError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(MechanismError::Count {
            what,
            found,
            least,
            most,
        })
    }
}

/// Checks that a real parameter is positive and finite.
fn positive(what: &'static str, found: f64) -> Result<(), MechanismError> {
    if found > 0.0 && found.is_finite() {
        Ok(())
    } else {
        Err(MechanismError::Number {
            what,
            found,
            expected: "positive",
        })
    }
}
