//! Rényi differential privacy at continuous orders.
//!
//! A mechanism's curve is (α − 1)·ε(α) = ln E[(p/q)^α] under q, here called its cumulant, per order α.
//! Cumulants of a composition add. The conversion to (ε, δ) is that of Canonne, Kamath and Steinke
//! (2020, proposition 12), minimised over real α > 1: every α gives a valid bound.

use libm::{exp, log, log1p};

use super::kind::{Base, Kind, Sampling};
use super::search::grid_minimum;
use super::{discrete, pure};

mod sampled;

/// A bound and the order that gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RenyiBound {
    /// ε, rounded up; infinite if no order gives a bound.
    pub(crate) epsilon: f64,
    /// α.
    pub(crate) order: f64,
}

/// The least ε at δ over real orders; nothing if a part has no curve.
pub(crate) fn epsilon(parts: &[(Kind, u64)], delta: f64) -> Option<RenyiBound> {
    let curves: Option<Vec<(Curve, f64)>> = parts
        .iter()
        .map(|(kind, count)| Curve::of(kind).map(|curve| (curve, *count as f64)))
        .collect();
    let curves = curves?;
    let ln_delta = log(delta);
    // α − 1 = e^u.
    let bound = |u: f64| {
        let excess = exp(u);
        let cumulant: f64 = curves
            .iter()
            .map(|(curve, count)| count * curve.cumulant(excess))
            .sum();
        converted(cumulant, excess, ln_delta)
    };
    let coarse: Vec<f64> = (-16..=56).map(|step| f64::from(step) / 4.0).collect();
    let (place, least) = grid_minimum(&coarse, bound);
    Some(RenyiBound {
        epsilon: least.max(0.0),
        order: 1.0 + exp(place),
    })
}

/// ε of a cumulant at order 1 + excess: (K − ln δ − ln α)/(α − 1) + ln(1 − 1/α), rounded up.
fn converted(cumulant: f64, excess: f64, ln_delta: f64) -> f64 {
    let terms = [
        cumulant / excess,
        -log1p(1.0 / excess),
        -(ln_delta + log1p(excess)) / excess,
    ];
    let size: f64 = terms.iter().map(|term| term.abs()).sum();
    let bound = terms.iter().sum::<f64>() + 16.0 * f64::EPSILON * size;
    if bound.is_nan() { f64::INFINITY } else { bound }
}

/// A mechanism's cumulant at every order.
enum Curve {
    /// ρ·α·(α − 1): zCDP, Gaussian noise, discrete Gaussian noise.
    Concentrated { rho: f64 },
    /// Laplace noise of this scale over the sensitivity.
    Laplace { scale: f64 },
    /// A list of losses.
    Atoms { list: Vec<discrete::Atom> },
    /// Gaussian noise on a Poisson sample.
    PoissonGaussian { rate: f64, sigma: f64 },
    /// Discrete Gaussian noise on a Poisson sample; σ over the sensitivity.
    PoissonDiscreteGaussian { rate: f64, sigma: f64 },
    /// Gaussian noise on a sample of fixed size.
    FixedSizeGaussian { rate: f64, sigma: f64 },
}

impl Curve {
    fn of(kind: &Kind) -> Option<Self> {
        let two_valued = |epsilon0: f64| Self::Atoms {
            list: discrete::response_atoms(2.0 / (1.0 + exp(epsilon0)), 2).list,
        };
        let curve = match *kind {
            Kind::Pure { epsilon } => two_valued(epsilon),
            Kind::Concentrated { rho } => Self::Concentrated { rho },
            Kind::Response { noise, buckets } => Self::Atoms {
                list: discrete::response_atoms(noise, buckets).list,
            },
            Kind::Noise { base, sampling } => match (base, sampling) {
                (base, Sampling::Whole) => Self::of_base(base)?,
                (Base::Gaussian { sigma }, Sampling::Poisson { rate }) => {
                    Self::PoissonGaussian { rate, sigma }
                }
                (Base::DiscreteGaussian { sigma, sensitivity }, Sampling::Poisson { rate }) => {
                    let sigma = sigma / sensitivity as f64;
                    Self::PoissonDiscreteGaussian { rate, sigma }
                }
                (Base::Gaussian { sigma }, Sampling::FixedSize { rate }) => {
                    Self::FixedSizeGaussian { rate, sigma }
                }
                // Others have the curve of the worst mechanism of their pure ε, if they have one.
                (base, Sampling::Poisson { rate } | Sampling::FixedSize { rate }) => {
                    two_valued(pure::amplified(base.pure_epsilon()?, rate))
                }
            },
        };
        Some(curve)
    }

    fn of_base(base: Base) -> Option<Self> {
        Some(match base {
            Base::Gaussian { .. } | Base::DiscreteGaussian { .. } => Self::Concentrated { rho: base.rho()? },
            Base::Laplace { scale } => Self::Laplace { scale },
            Base::DiscreteLaplace { rate, sensitivity } => Self::Atoms {
                list: discrete::laplace_atoms(rate, sensitivity)?.list,
            },
        })
    }

    /// (α − 1)·ε(α) with α = 1 + `excess`, rounded up; infinite where no bound is computed.
    fn cumulant(&self, excess: f64) -> f64 {
        let order = 1.0 + excess;
        match self {
            Self::Concentrated { rho } => rho * order * excess,
            Self::Laplace { scale } => laplace(*scale, order),
            Self::Atoms { list } => of_atoms(list, excess),
            Self::PoissonGaussian { rate, sigma } => sampled::poisson(*rate, *sigma, excess),
            Self::PoissonDiscreteGaussian { rate, sigma } => sampled::poisson_discrete(*rate, *sigma, excess),
            Self::FixedSizeGaussian { rate, sigma } => sampled::fixed_size(*rate, *sigma, excess),
        }
    }
}

/// ln(α/(2α − 1)·e^((α − 1)/b) + (α − 1)/(2α − 1)·e^(−α/b)) (Mironov 2017, table II).
fn laplace(scale: f64, order: f64) -> f64 {
    let rise = (order - 1.0) / scale;
    let lower = (order - 1.0) / (2.0 * order - 1.0) * exp(-(order / scale) - rise);
    rise + log(order / (2.0 * order - 1.0) + lower) + 4.0 * f64::EPSILON * (1.0 + rise)
}

/// ln Σ p·e^((α − 1)·loss), from the largest term down.
fn of_atoms(list: &[discrete::Atom], excess: f64) -> f64 {
    let largest = list
        .iter()
        .map(|atom| excess * atom.loss)
        .fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = list
        .iter()
        .map(|atom| atom.p * exp(excess * atom.loss - largest))
        .sum();
    largest + log(sum) + 1e-13 * (1.0 + largest.abs())
}

#[cfg(test)]
mod tests;
