//! Mechanisms together: the least valid ε, and which method gave it.
//!
//! A composition is fixed in advance; each part may see the results of those before it. What is not
//! fixed in advance is charged to a filter ([`crate::budget`]), whose promise is another.

use core::fmt;

use super::kind::{Base, Kind, Sampling};
use super::mechanism::Mechanism;
use super::params::Delta;
use super::relation::Neighbours;
use super::zcdp::epsilon_of_rho;
use super::{discrete, gaussian, pld, pure, rdp};
use core::marker::PhantomData;

/// Most uses in all of one composition.
pub const USES_MAX: u64 = 1_000_000_000;

/// How a bound was found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The exact curve: a closed form, or the hockey-stick sum itself.
    Exact,
    /// The optimal composition of equal pure mechanisms (Kairouz, Oh and Viswanath 2015).
    OptimalPure,
    /// The sum of all ε.
    Basic,
    /// Zero-concentrated differential privacy.
    Zcdp,
    /// Rényi differential privacy at the best real order.
    Rdp {
        /// α.
        order: f64,
    },
    /// The privacy loss distribution, rounded outward.
    Pld,
}

impl Method {
    /// A stable word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::OptimalPure => "optimal-pure",
            Self::Basic => "basic",
            Self::Zcdp => "zcdp",
            Self::Rdp { .. } => "rdp",
            Self::Pld => "pld",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rdp { order } => write!(f, "rdp at order {order:.3}"),
            other => f.write_str(other.name()),
        }
    }
}

/// An upper bound on ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// ε, rounded up.
    pub epsilon: f64,
    /// A lower bound on what the worst case allowed really costs, where the method gives one.
    pub floor: Option<f64>,
    /// How it was found.
    pub method: Method,
}

/// Mechanisms on the same data, under one neighbour relation.
///
/// ```
/// use fieldmark_fl::privacy::{AddRemove, Composition, Delta, Mechanism};
/// let noisy = Mechanism::<AddRemove>::gaussian(1.1)?.on_poisson_sample(0.01)?;
/// let training = Composition::new().and(noisy, 1000);
/// let bound = training.epsilon(Delta::new(1e-5)?);
/// assert!(bound.epsilon > 1.5 && bound.epsilon < 1.6, "{bound:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Mechanisms analysed under different relations do not compose:
///
/// ```compile_fail
/// use fieldmark_fl::privacy::{AddRemove, Composition, Mechanism, ReplaceOne};
/// let here = Mechanism::<AddRemove>::gaussian(1.0).unwrap();
/// let there = Mechanism::<ReplaceOne>::gaussian(1.0).unwrap();
/// let mixed = Composition::new().and(here, 1).and(there, 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Composition<N: Neighbours> {
    parts: Vec<(Kind, u64)>,
    relation: PhantomData<N>,
}

impl<N: Neighbours> Default for Composition<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Neighbours> Composition<N> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            parts: Vec::new(),
            relation: PhantomData,
        }
    }

    /// With `times` uses of a mechanism more.
    #[must_use]
    pub fn and(mut self, mechanism: Mechanism<N>, times: u64) -> Self {
        let known = self.parts.iter_mut().find(|(kind, _)| *kind == mechanism.kind);
        match known {
            Some((_, count)) => *count = count.saturating_add(times),
            None if times > 0 => self.parts.push((mechanism.kind, times)),
            None => {}
        }
        self
    }

    /// How many uses there are in all.
    pub fn uses(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The least valid upper bound on ε at δ, and its method. Infinite beyond [`USES_MAX`] uses and
    /// where no method applies.
    pub fn epsilon(&self, delta: Delta) -> Bound {
        if let Some(exact) = self.exact(delta.value()) {
            return exact;
        }
        let all = self.bounds(delta);
        let floor = all
            .iter()
            .filter_map(|bound| bound.floor)
            .fold(None, |best: Option<f64>, floor| {
                Some(best.map_or(floor, |known| known.max(floor)))
            });
        let least = all.into_iter().min_by(|a, b| a.epsilon.total_cmp(&b.epsilon));
        let least = least.unwrap_or(Bound {
            epsilon: f64::INFINITY,
            floor: None,
            method: Method::Basic,
        });
        Bound { floor, ..least }
    }

    /// The bound of every method that applies. Exact ones first.
    pub fn bounds(&self, delta: Delta) -> Vec<Bound> {
        if self.uses() > USES_MAX {
            return Vec::new();
        }
        let delta = delta.value();
        let upper = |epsilon, method| Bound {
            epsilon,
            floor: None,
            method,
        };
        let exact = self.exact(delta);
        let optimal = self.equal_pure().map(|(epsilon0, count)| {
            upper(pure::optimal_epsilon(epsilon0, count, delta), Method::OptimalPure)
        });
        let rho = self.total(Kind::rho);
        let zcdp = rho.map(|rho| upper(epsilon_of_rho(rho, delta), Method::Zcdp));
        let rdp = rdp::epsilon(&self.parts, delta);
        let rdp = rdp.map(|bound| upper(bound.epsilon, Method::Rdp { order: bound.order }));
        let found = [exact, optimal, self.basic(), zcdp, rdp, self.pld(delta)];
        found
            .into_iter()
            .flatten()
            .filter(|bound| bound.epsilon.is_finite())
            .collect()
    }

    /// The bounds of the privacy loss distribution alone, if all parts have one.
    pub fn pld_bound(&self, delta: Delta) -> Option<Bound> {
        self.pld(delta.value())
    }

    fn pld(&self, delta: f64) -> Option<Bound> {
        if self.uses() > USES_MAX {
            return None;
        }
        let bounds = pld::bounds(&self.parts, delta)?;
        Some(Bound {
            epsilon: bounds.upper,
            floor: Some(bounds.lower),
            method: Method::Pld,
        })
    }

    fn basic(&self) -> Option<Bound> {
        let parts: Option<Vec<(f64, u64)>> = self
            .parts
            .iter()
            .map(|(kind, count)| Some((kind.pure_epsilon()?, *count)))
            .collect();
        Some(Bound {
            epsilon: pure::basic_epsilon(parts?),
            floor: None,
            method: Method::Basic,
        })
    }

    /// Σ count·value, if every part has the value.
    fn total(&self, value: fn(&Kind) -> Option<f64>) -> Option<f64> {
        let parts = self.parts.iter();
        parts
            .map(|(kind, count)| value(kind).map(|value| value * *count as f64))
            .sum()
    }

    /// The common pure ε of all parts, and their number.
    fn equal_pure(&self) -> Option<(f64, u64)> {
        let mut common = None;
        for (kind, _) in &self.parts {
            let epsilon = kind.pure_epsilon()?;
            if *common.get_or_insert(epsilon) != epsilon {
                return None;
            }
        }
        common.map(|epsilon| (epsilon, self.uses()))
    }

    /// The exact ε, where a closed form or a sum gives it.
    fn exact(&self, delta: f64) -> Option<Bound> {
        let of = |epsilon, method| {
            Some(Bound {
                epsilon,
                floor: Some(epsilon * (1.0 - 1e-9)),
                method,
            })
        };
        if self.parts.is_empty() {
            return of(0.0, Method::Exact);
        }
        if self.uses() > USES_MAX {
            return None;
        }
        if let Some(sigma) = self.as_gaussian() {
            return of(gaussian::gaussian_epsilon(sigma, delta), Method::Exact);
        }
        if self.parts.iter().all(|(kind, _)| kind.is_two_valued())
            && let Some((epsilon0, count)) = self.equal_pure()
        {
            return of(pure::optimal_epsilon(epsilon0, count, delta), Method::OptimalPure);
        }
        let [(kind, 1)] = self.parts.as_slice() else {
            return None;
        };
        of(single(kind, delta)?, Method::Exact)
    }

    /// The multiplier of the one Gaussian that all parts together are.
    fn as_gaussian(&self) -> Option<f64> {
        let precision = |kind: &Kind| match kind {
            Kind::Noise {
                base: Base::Gaussian { sigma },
                sampling: Sampling::Whole,
            } => Some(1.0 / (sigma * sigma)),
            _ => None,
        };
        self.total(precision)
            .map(|precision| (1.0 - 1e-14) / libm::sqrt(precision))
    }
}

/// The exact ε of one use of a mechanism on all records, where its losses can be listed.
fn single(kind: &Kind, delta: f64) -> Option<f64> {
    match *kind {
        Kind::Response { noise, buckets } => Some(discrete::response_atoms(noise, buckets).epsilon(delta)),
        Kind::Noise {
            base,
            sampling: Sampling::Whole,
        } => match base {
            // δ(ε) = 1 − e^((ε − 1/b)/2).
            Base::Laplace { scale } => {
                let epsilon = 1.0 / scale + 2.0 * libm::log1p(-delta);
                Some((epsilon + 4.0 * f64::EPSILON * (1.0 + 1.0 / scale)).max(0.0))
            }
            Base::DiscreteGaussian { sigma, sensitivity } => {
                discrete::gaussian_atoms(sigma, sensitivity, delta * 1e-13).map(|atoms| atoms.epsilon(delta))
            }
            Base::DiscreteLaplace { rate, sensitivity } => {
                discrete::laplace_atoms(rate, sensitivity).map(|atoms| atoms.epsilon(delta))
            }
            Base::Gaussian { .. } => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
