//! ε and δ as checked numbers.

use serde::{Deserialize, Serialize};

use super::PrivacyError;

/// Largest ε that can be asked for; beyond it no statement is left.
pub const EPSILON_MAX: f64 = 100.0;

/// ε of (ε, δ)-differential privacy: above 0, at most [`EPSILON_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Epsilon(f64);

impl Epsilon {
    /// Checks the range.
    ///
    /// # Errors
    /// Not above 0, above [`EPSILON_MAX`], or not a number.
    pub fn new(value: f64) -> Result<Self, PrivacyError> {
        if value > 0.0 && value <= EPSILON_MAX {
            Ok(Self(value))
        } else {
            Err(PrivacyError::Epsilon { found: value })
        }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Epsilon {
    type Error = PrivacyError;
    fn try_from(value: f64) -> Result<Self, PrivacyError> {
        Self::new(value)
    }
}

impl From<Epsilon> for f64 {
    fn from(epsilon: Epsilon) -> Self {
        epsilon.0
    }
}

/// δ of (ε, δ)-differential privacy: between 1e-30 and 0.1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Delta(f64);

impl Delta {
    /// Checks the range.
    ///
    /// # Errors
    /// Below 1e-30, above 0.1, or not a number.
    pub fn new(value: f64) -> Result<Self, PrivacyError> {
        if (1e-30..=0.1).contains(&value) {
            Ok(Self(value))
        } else {
            Err(PrivacyError::Delta { found: value })
        }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Delta {
    type Error = PrivacyError;
    fn try_from(value: f64) -> Result<Self, PrivacyError> {
        Self::new(value)
    }
}

impl From<Delta> for f64 {
    fn from(delta: Delta) -> Self {
        delta.0
    }
}
