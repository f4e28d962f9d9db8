//! What a stated (ε, δ) costs in noise, and what noise keeps.
//!
//! [`relation`] says what neighbours are, [`params`] what ε and δ are. [`zcdp`] calibrates the vectors
//! that committees release and feeds the filters of [`crate::budget`]. [`gaussian`] is exact for
//! continuous noise. Every ε reported here is an upper bound: rounding goes outward.

use thiserror::Error;

use crate::noise::SIGMA_SQUARED_MAX;

pub mod gaussian;
pub mod params;
pub mod relation;
mod search;
pub mod zcdp;

pub use gaussian::analytic_gaussian_sigma;
pub use params::{Delta, EPSILON_MAX, Epsilon};
pub use relation::{AddRemove, Neighbours, Relation, ReplaceByZero, ReplaceOne};
pub use zcdp::{NoiseScale, Rho, calibrate, epsilon_at, epsilon_of, rho_limit};

/// A parameter or a result outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PrivacyError {
    /// ε is not in its range.
    #[error("ε is {found}, must be above 0 and at most {EPSILON_MAX}")]
    Epsilon {
        /// The value given.
        found: f64,
    },
    /// δ is not in its range.
    #[error("δ is {found}, must be between 1e-30 and 0.1")]
    Delta {
        /// The value given.
        found: f64,
    },
    /// A sensitivity that is zero, negative or not finite.
    #[error("sensitivity is {found}, must be positive")]
    Sensitivity {
        /// The value given.
        found: f64,
    },
    /// σ² is zero.
    #[error("σ² is zero")]
    NoNoise,
    /// The noise needed is more than the sampler can draw.
    #[error("ε is too small for this task: σ² would be {needed}, the most is {SIGMA_SQUARED_MAX}")]
    TooMuchNoise {
        /// σ² needed, capped at the largest integer.
        needed: u128,
    },
}
