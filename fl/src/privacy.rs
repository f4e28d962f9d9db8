//! What a stated (ε, δ) costs in noise, and what noise keeps.
//!
//! [`relation`] says what neighbours are, [`params`] what ε and δ are. [`zcdp`] calibrates the vectors
//! that committees release and feeds the filters of [`crate::budget`]. A [`Composition`] of
//! [`Mechanism`]s has the least ε of all accountants: exact curves ([`gaussian`], [`discrete`], pure
//! composition), zCDP, Rényi, and privacy loss distributions. [`clipping`] splits noise for adaptive
//! clipping, [`meaning`] says what an (ε, δ) means, [`spec`] and [`mod@reference`] read mechanisms and
//! reference figures. Every ε reported here is an upper bound: rounding goes outward.

use thiserror::Error;

use crate::noise::SIGMA_SQUARED_MAX;

pub mod clipping;
pub mod composition;
pub mod discrete;
pub mod gaussian;
mod hockey;
mod kind;
pub mod meaning;
pub mod mechanism;
pub mod params;
mod pld;
mod pure;
mod rdp;
pub mod reference;
pub mod relation;
mod search;
pub mod spec;
pub mod zcdp;

pub use clipping::adaptive_clipping_noise_split;
pub use composition::{Bound, Composition, Method};
pub use discrete::{calibrate_discrete_gaussian, calibrate_discrete_laplace};
pub use gaussian::analytic_gaussian_sigma;
pub use mechanism::{Mechanism, MechanismError};
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
    /// A noise scale that is zero, negative or not finite.
    #[error("noise is {found}, must be positive")]
    Noise {
        /// The value given.
        found: f64,
    },
    /// The clip count alone costs more than the whole may.
    #[error(
        "the noise of the clip count is {found}, must be above {least}: alone it costs more than the whole"
    )]
    CountNoise {
        /// The value given.
        found: f64,
        /// It must be above this.
        least: f64,
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
