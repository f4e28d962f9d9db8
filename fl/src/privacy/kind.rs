//! The mechanisms that accountants know, without their neighbour relation.
//!
//! Scales of continuous noise are relative to the sensitivity (noise multipliers); integer noise
//! keeps its own scale and an integer sensitivity.

use super::pure;

/// Noise added to a query on all records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Base {
    /// Gaussian noise of σ times the sensitivity.
    Gaussian { sigma: f64 },
    /// Laplace noise of this scale times the sensitivity.
    Laplace { scale: f64 },
    /// A discrete Gaussian on one integer query.
    DiscreteGaussian { sigma: f64, sensitivity: u64 },
    /// A discrete Laplace, probability proportional to e^(−rate·|x|), on one integer query.
    DiscreteLaplace { rate: f64, sensitivity: u64 },
}

impl Base {
    /// The least pure ε, if there is one.
    pub(crate) fn pure_epsilon(self) -> Option<f64> {
        match self {
            Self::Laplace { scale } => Some(1.0 / scale),
            Self::DiscreteLaplace { rate, sensitivity } => Some(rate * sensitivity as f64),
            Self::Gaussian { .. } | Self::DiscreteGaussian { .. } => None,
        }
    }

    /// ρ of zCDP, if the noise is Gaussian.
    pub(crate) fn rho(self) -> Option<f64> {
        let multiplier = match self {
            Self::Gaussian { sigma } => sigma,
            Self::DiscreteGaussian { sigma, sensitivity } => sigma / sensitivity as f64,
            Self::Laplace { .. } | Self::DiscreteLaplace { .. } => return None,
        };
        Some(1.0 / (2.0 * multiplier * multiplier))
    }
}

/// Which records a use of the mechanism sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sampling {
    /// All of them.
    Whole,
    /// Each one independently with probability `rate`.
    Poisson { rate: f64 },
    /// A subset of fixed size, the fraction `rate`, drawn without replacement.
    FixedSize { rate: f64 },
}

/// One mechanism.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Anything that is ε-private.
    Pure { epsilon: f64 },
    /// Anything that is ρ-zCDP.
    Concentrated { rho: f64 },
    /// Randomised response among `buckets` answers; with probability `noise` the answer is drawn evenly.
    Response { noise: f64, buckets: u32 },
    /// A query with noise.
    Noise { base: Base, sampling: Sampling },
}

impl Kind {
    /// The least pure ε known, if there is one.
    pub(crate) fn pure_epsilon(&self) -> Option<f64> {
        match *self {
            Self::Pure { epsilon } => Some(epsilon),
            Self::Concentrated { .. } => None,
            Self::Response { noise, buckets } => {
                let other = noise / f64::from(buckets);
                Some(libm::log((1.0 - noise + other) / other) * (1.0 + 1e-15))
            }
            Self::Noise { base, sampling } => {
                let epsilon = base.pure_epsilon()?;
                Some(match sampling {
                    Sampling::Whole => epsilon,
                    Sampling::Poisson { rate } | Sampling::FixedSize { rate } => {
                        pure::amplified(epsilon, rate)
                    }
                })
            }
        }
    }

    /// ρ of zCDP, if there is one: ε²/2 of a pure ε (Bun and Steinke 2016, proposition 1.4).
    pub(crate) fn rho(&self) -> Option<f64> {
        match *self {
            Self::Concentrated { rho } => Some(rho),
            Self::Noise {
                base,
                sampling: Sampling::Whole,
            } if base.rho().is_some() => base.rho(),
            _ => self.pure_epsilon().map(|epsilon| epsilon * epsilon / 2.0),
        }
    }

    /// Whether every loss is ±ε₀, so that the optimal composition of pure mechanisms is exact.
    pub(crate) fn is_two_valued(&self) -> bool {
        matches!(
            self,
            Self::Pure { .. }
                | Self::Response { buckets: 2, .. }
                | Self::Noise {
                    base: Base::DiscreteLaplace { sensitivity: 1, .. },
                    sampling: Sampling::Whole,
                }
        )
    }
}
