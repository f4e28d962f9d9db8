//! Mechanisms under a neighbour relation, with checked parameters.

use core::marker::PhantomData;

use thiserror::Error;

use super::kind::{Base, Kind, Sampling};
use super::relation::{AddRemove, Neighbours, ReplaceOne};

/// A parameter outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum MechanismError {
    /// A number outside its range.
    #[error("{name} is {found}, must be {range}")]
    Range {
        /// The parameter.
        name: &'static str,
        /// The value given.
        found: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The mechanism is known on all records only.
    #[error("{what} is not known on a sample of the records")]
    Sample {
        /// The mechanism.
        what: &'static str,
    },
    /// More records are drawn than there are.
    #[error("a sample of {sample} cannot be drawn from {source_size} records")]
    SampleSize {
        /// Records drawn.
        sample: u64,
        /// Records there are.
        source_size: u64,
    },
}

const SCALE: &str = "between 1e-3 and 1e9";

/// One use of a mechanism under the relation `N`.
///
/// Scales of continuous noise are noise multipliers: noise over the sensitivity under `N`. (A sum whose
/// terms are clipped to norm C has sensitivity C when a record comes or goes, 2C when it is replaced.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mechanism<N: Neighbours> {
    pub(super) kind: Kind,
    relation: PhantomData<N>,
}

impl<N: Neighbours> Mechanism<N> {
    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            relation: PhantomData,
        }
    }

    const fn of_base(base: Base) -> Self {
        let sampling = Sampling::Whole;
        Self::of(Kind::Noise { base, sampling })
    }

    /// Anything that is ε-private.
    ///
    /// # Errors
    /// ε is not above 0 and at most 100.
    pub fn pure(epsilon: f64) -> Result<Self, MechanismError> {
        in_range("ε", epsilon, 1e-9, 100.0, "between 1e-9 and 100")?;
        Ok(Self::of(Kind::Pure { epsilon }))
    }

    /// Anything that is ρ-zCDP.
    ///
    /// # Errors
    /// ρ is not between 1e-12 and 10,000.
    pub fn concentrated(rho: f64) -> Result<Self, MechanismError> {
        in_range("ρ", rho, 1e-12, 1e4, "between 1e-12 and 10000")?;
        Ok(Self::of(Kind::Concentrated { rho }))
    }

    /// Gaussian noise of σ times the sensitivity, on vectors of any length (σ and sensitivity in L2).
    ///
    /// # Errors
    /// σ is not between 1e-3 and 1e9.
    pub fn gaussian(sigma: f64) -> Result<Self, MechanismError> {
        in_range("σ", sigma, 1e-3, 1e9, SCALE)?;
        Ok(Self::of_base(Base::Gaussian { sigma }))
    }

    /// Laplace noise of this scale times the L1 sensitivity, on one number.
    ///
    /// # Errors
    /// The scale is not between 1e-3 and 1e9.
    pub fn laplace(scale: f64) -> Result<Self, MechanismError> {
        in_range("scale", scale, 1e-2, 1e9, "between 0.01 and 1e9")?;
        Ok(Self::of_base(Base::Laplace { scale }))
    }

    /// A discrete Gaussian of parameter σ on one integer that changes by at most `sensitivity`.
    ///
    /// # Errors
    /// σ is not between 0.05 and 1e9, or the sensitivity not between 1 and a million.
    pub fn discrete_gaussian(sigma: f64, sensitivity: u64) -> Result<Self, MechanismError> {
        in_range("σ", sigma, 0.05, 1e9, "between 0.05 and 1e9")?;
        in_range(
            "sensitivity",
            sensitivity as f64,
            1.0,
            1e6,
            "between 1 and 1000000",
        )?;
        Ok(Self::of_base(Base::DiscreteGaussian { sigma, sensitivity }))
    }

    /// A discrete Laplace of this scale on one integer that changes by at most `sensitivity`.
    ///
    /// # Errors
    /// Scale over sensitivity is not between 0.01 and 1e9, or the sensitivity not between 1 and a
    /// million.
    pub fn discrete_laplace(scale: f64, sensitivity: u64) -> Result<Self, MechanismError> {
        in_range(
            "sensitivity",
            sensitivity as f64,
            1.0,
            1e6,
            "between 1 and 1000000",
        )?;
        in_range("scale", scale, 1e-2, 1e9, "between 0.01 and 1e9")?;
        let relative = scale / sensitivity as f64;
        in_range(
            "scale over sensitivity",
            relative,
            1e-2,
            1e9,
            "between 0.01 and 1e9",
        )?;
        let rate = 1.0 / scale;
        Ok(Self::of_base(Base::DiscreteLaplace { rate, sensitivity }))
    }

    /// Prefix sums over `steps` steps by a binary tree with Gaussian noise of σ times a step's
    /// sensitivity in each node, where a record is in one step only: it is in the nodes of
    /// ⌈log₂(steps + 1)⌉ levels, whose joint noise is Gaussian (Kairouz et al. 2021, single epoch).
    ///
    /// # Errors
    /// σ is not between 1e-2 and 1e9, or there are no steps.
    pub fn tree_aggregation(sigma: f64, steps: u64) -> Result<Self, MechanismError> {
        in_range("σ", sigma, 1e-2, 1e9, "between 0.01 and 1e9")?;
        if steps == 0 {
            return Err(MechanismError::Range {
                name: "steps",
                found: 0.0,
                range: "at least 1",
            });
        }
        let levels = f64::from(steps.ilog2() + 1);
        // Rounded down: less noise costs more.
        let sigma = sigma / libm::sqrt(levels) * (1.0 - 2.0 * f64::EPSILON);
        Ok(Self::of_base(Base::Gaussian { sigma }))
    }

    fn sampled(self, sampling: Sampling) -> Result<Self, MechanismError> {
        match self.kind {
            Kind::Noise {
                base,
                sampling: Sampling::Whole,
            } => Ok(Self::of(Kind::Noise { base, sampling })),
            Kind::Noise { .. } => Err(MechanismError::Sample {
                what: "a mechanism on a sample",
            }),
            _ => Err(MechanismError::Sample {
                what: "a mechanism known only by its ε or ρ",
            }),
        }
    }
}

impl Mechanism<AddRemove> {
    /// The same on a sample in which each record is with probability `rate`, drawn anew for each use
    /// and kept secret.
    ///
    /// # Errors
    /// The rate is not above 0 and at most 1, or this is not noise on a query of all records.
    pub fn on_poisson_sample(self, rate: f64) -> Result<Self, MechanismError> {
        in_range("sampling rate", rate, 1e-9, 1.0, "between 1e-9 and 1")?;
        self.sampled(Sampling::Poisson { rate })
    }
}

impl Mechanism<ReplaceOne> {
    /// The same on a sample of `sample` of the `source_size` records, drawn without replacement, anew
    /// for each use and kept secret.
    ///
    /// # Errors
    /// The sample is empty or larger than the source, or this is not noise on a query of all records.
    pub fn on_sample(self, sample: u64, source_size: u64) -> Result<Self, MechanismError> {
        if sample == 0 || sample > source_size {
            return Err(MechanismError::SampleSize { sample, source_size });
        }
        let rate = sample as f64 / source_size as f64;
        in_range("sampling rate", rate, 1e-9, 1.0, "between 1e-9 and 1")?;
        self.sampled(Sampling::FixedSize { rate })
    }

    /// Randomised response among `buckets` answers: with probability `noise` the answer is drawn evenly
    /// from all of them, else it is the true one.
    ///
    /// # Errors
    /// The probability is not above 0 and at most 1, or there are fewer than 2 answers.
    pub fn randomized_response(noise: f64, buckets: u32) -> Result<Self, MechanismError> {
        in_range("noise probability", noise, 1e-9, 1.0, "between 1e-9 and 1")?;
        in_range("number of answers", f64::from(buckets), 2.0, 1e9, "at least 2")?;
        if noise >= 1.0 {
            return Self::pure(1e-9);
        }
        Ok(Self::of(Kind::Response { noise, buckets }))
    }
}

fn in_range(
    name: &'static str,
    found: f64,
    least: f64,
    most: f64,
    range: &'static str,
) -> Result<(), MechanismError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(MechanismError::Range { name, found, range })
    }
}
