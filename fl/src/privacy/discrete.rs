//! Integer noise on one integer query, by its own exact hockey-stick sum; variances; and the distance
//! of a sum of discrete Gaussians from one.
//!
//! The query's value changes by at most `sensitivity`, an integer. The loss at x is
//! Δ(Δ − 2x)/2σ² for a discrete Gaussian (Canonne, Kamath and Steinke 2020) and (|x − Δ| − |x|)/t for
//! a discrete Laplace. Both fall as x grows, so that δ(ε) is a sum over the x below a threshold.
//! The sum of the worst change suffices: a smaller change shifts less mass (both densities are
//! log-concave, so the hockey-stick divergence grows with the shift).

use libm::{ceil, exp, expm1, log, sqrt};

use super::PrivacyError;
use super::hockey::least_epsilon;
use super::params::{Delta, Epsilon};
use super::search::least_true;
use super::zcdp::{NoiseScale, calibrate};

const PI: f64 = core::f64::consts::PI;
/// Widest discrete Gaussian whose sum is taken term by term.
pub(crate) const SIGMA_SUMMED_MAX: f64 = 100_000.0;
/// Most different losses of a discrete Laplace that are listed.
pub(crate) const SENSITIVITY_LISTED_MAX: u64 = 1_000_000;

/// One value of a privacy loss, with its probability under both neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Atom {
    /// ln(p/q).
    pub(crate) loss: f64,
    /// Probability under the first neighbour.
    pub(crate) p: f64,
    /// Probability under the second.
    pub(crate) q: f64,
}

/// Atoms in descending order of loss, and a bound on the probability left out at each end.
#[derive(Clone, Debug)]
pub(crate) struct Atoms {
    /// The atoms.
    pub(crate) list: Vec<Atom>,
    /// Not in the list, at each end, under either neighbour.
    pub(crate) lost: f64,
}

/// The loss of a discrete Gaussian, all but `lost` at each end; nothing if it is too wide to list.
pub(crate) fn gaussian_atoms(sigma: f64, sensitivity: u64, lost: f64) -> Option<Atoms> {
    if sigma > SIGMA_SUMMED_MAX || sensitivity > SENSITIVITY_LISTED_MAX {
        return None;
    }
    let change = sensitivity as f64;
    // A discrete Gaussian exceeds m with probability at most e^(−m²/2σ²): it is sub-Gaussian.
    let reach = ceil(sigma * sqrt(-2.0 * log(lost))) + 1.0;
    let normaliser = gaussian_normaliser(sigma);
    let density = |x: f64| exp(-(x / sigma) * (x / sigma) / 2.0) / normaliser;
    let mut list = Vec::new();
    let mut x = -reach;
    while x <= change + reach {
        let loss = change * (change - 2.0 * x) / (2.0 * sigma * sigma);
        list.push(Atom {
            loss,
            p: density(x),
            q: density(x - change),
        });
        x += 1.0;
    }
    Some(Atoms { list, lost })
}

/// Σ e^(−x²/2σ²) over the integers.
fn gaussian_normaliser(sigma: f64) -> f64 {
    if sigma > 4.0 {
        // Poisson summation: all further terms are below e^(−2π²·16).
        return sigma * sqrt(2.0 * PI) * (1.0 + 2.0 * exp(-2.0 * PI * PI * sigma * sigma));
    }
    let terms = (1..=200).map(|x| f64::from(x) / sigma);
    1.0 + 2.0 * terms.map(|z| exp(-z * z / 2.0)).sum::<f64>()
}

/// The loss of a discrete Laplace of parameter a = 1/scale: Δ + 1 values, exactly.
pub(crate) fn laplace_atoms(rate: f64, sensitivity: u64) -> Option<Atoms> {
    if sensitivity > SENSITIVITY_LISTED_MAX {
        return None;
    }
    let change = sensitivity as f64;
    let ratio = exp(-rate);
    // P(x) = (1 − r)/(1 + r)·r^|x|; everything at or below 0, and at or above Δ, has one loss.
    let peak = -expm1(-rate) / (1.0 + ratio);
    let side = 1.0 / (1.0 + ratio);
    let far = exp(-rate * change);
    let mut list = vec![Atom {
        loss: rate * change,
        p: side,
        q: side * far,
    }];
    for x in 1..sensitivity {
        let x = x as f64;
        list.push(Atom {
            loss: rate * (change - 2.0 * x),
            p: peak * exp(-rate * x),
            q: peak * exp(-rate * (change - x)),
        });
    }
    list.push(Atom {
        loss: -rate * change,
        p: side * far,
        q: side,
    });
    Some(Atoms { list, lost: 0.0 })
}

/// The loss of k-ary randomised response that answers at random with probability `noise`.
pub(crate) fn response_atoms(noise: f64, buckets: u32) -> Atoms {
    let other = noise / f64::from(buckets);
    let own = 1.0 - noise + other;
    let loss = log(own / other);
    let rest = (1.0 - own - other).max(0.0);
    let mut list = vec![Atom {
        loss,
        p: own,
        q: other,
    }];
    if buckets > 2 {
        list.push(Atom {
            loss: 0.0,
            p: rest,
            q: rest,
        });
    }
    list.push(Atom {
        loss: -loss,
        p: other,
        q: own,
    });
    Atoms { list, lost: 0.0 }
}

impl Atoms {
    /// The least ε at δ of one use, rounded up.
    pub(crate) fn epsilon(&self, delta: f64) -> f64 {
        let atoms = self.list.iter().map(|atom| (atom.loss, atom.p));
        least_epsilon(atoms, self.lost, delta)
    }
}

/// The least ε at δ of a discrete Gaussian of parameter `sigma` on an integer query, exactly and
/// rounded up; nothing beyond σ = 100,000, where the continuous bound of [`super::epsilon_of`] serves.
pub fn discrete_gaussian_epsilon(sigma: f64, sensitivity: u64, delta: Delta) -> Option<f64> {
    gaussian_atoms(sigma, sensitivity, delta.value() * 1e-13).map(|atoms| atoms.epsilon(delta.value()))
}

/// The least ε at δ of a discrete Laplace of this scale on an integer query, exactly and rounded up;
/// nothing for sensitivities beyond a million.
pub fn discrete_laplace_epsilon(scale: f64, sensitivity: u64, delta: Delta) -> Option<f64> {
    laplace_atoms(1.0 / scale, sensitivity).map(|atoms| atoms.epsilon(delta.value()))
}

/// The least integer σ² of a discrete Gaussian for (ε, δ) on one integer query, by the exact sum.
/// Noise wider than σ = 100,000 is calibrated by [`calibrate`], at most a tenth wider.
///
/// # Errors
/// A sensitivity of zero, or noise beyond the sampler's range.
pub fn calibrate_discrete_gaussian(
    sensitivity: u64,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<NoiseScale, PrivacyError> {
    if sensitivity == 0 {
        return Err(PrivacyError::Sensitivity { found: 0.0 });
    }
    let squared = u128::from(sensitivity) * u128::from(sensitivity);
    let too_much = PrivacyError::TooMuchNoise { needed: squared };
    let enough = calibrate(u64::try_from(squared).map_err(|_| too_much)?, epsilon, delta)?;
    let keeps = |sigma_squared: u64| {
        discrete_gaussian_epsilon(sqrt(sigma_squared as f64), sensitivity, delta)
            .is_some_and(|found| found <= epsilon.value())
    };
    if !keeps(enough.sigma_squared) {
        return Ok(enough);
    }
    let (mut low, mut high) = (0, enough.sigma_squared);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if keeps(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    Ok(NoiseScale { sigma_squared: high })
}

/// The least scale of a discrete Laplace for (ε, δ) on one integer query, by the exact sum, rounded up.
///
/// # Errors
/// A sensitivity of zero or beyond a million.
pub fn calibrate_discrete_laplace(
    sensitivity: u64,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<f64, PrivacyError> {
    if sensitivity == 0 || sensitivity > SENSITIVITY_LISTED_MAX {
        return Err(PrivacyError::Sensitivity {
            found: sensitivity as f64,
        });
    }
    let keeps = |scale: f64| {
        discrete_laplace_epsilon(scale, sensitivity, delta).is_some_and(|found| found <= epsilon.value())
    };
    // Without δ, scale Δ/ε keeps ε.
    let enough = sensitivity as f64 / epsilon.value() * (1.0 + 1e-9);
    Ok(least_true(0.0, enough, |scale| scale > 0.0 && keeps(scale)))
}

/// Variance of the discrete Gaussian of parameter σ²: at most σ², and less for narrow noise.
pub fn discrete_gaussian_variance(sigma_squared: f64) -> f64 {
    if sigma_squared > 1.0 {
        // Poisson summation: σ²·(1 − 4π²σ²·Σ k²·e^(−2π²σ²k²)·2/(1 + 2 Σ e^(−2π²σ²k²))).
        let terms = || {
            (1..=8)
                .map(f64::from)
                .map(|k| (k, exp(-2.0 * PI * PI * sigma_squared * k * k)))
        };
        let squares: f64 = terms().map(|(k, weight)| 2.0 * k * k * weight).sum();
        let sum = 1.0 + 2.0 * terms().map(|(_, weight)| weight).sum::<f64>();
        return sigma_squared * (1.0 - 4.0 * PI * PI * sigma_squared * squares / sum);
    }
    let terms = || {
        (1..=60)
            .map(f64::from)
            .map(|x| (x, exp(-x * x / (2.0 * sigma_squared))))
    };
    let squares: f64 = terms().map(|(x, weight)| 2.0 * x * x * weight).sum();
    squares / (1.0 + 2.0 * terms().map(|(_, weight)| weight).sum::<f64>())
}

/// Variance of the discrete Laplace of this scale: 2e^(−a)/(1 − e^(−a))² with a = 1/scale.
pub fn discrete_laplace_variance(scale: f64) -> f64 {
    let rate = 1.0 / scale;
    let rest = -expm1(-rate);
    2.0 * exp(-rate) / (rest * rest)
}

/// τ of Kairouz, Liu and Steinke (2021, theorem 9): how far the sum of discrete Gaussians of
/// `parties`, σ² each, is from one discrete Gaussian, τ = 10 Σ_{k=1}^{n−1} e^(−2π²σ²·k/(k+1)). The sum's
/// loss exceeds that of one discrete Gaussian of variance nσ² by at most τ at either end.
pub fn distributed_discrete_gaussian_tau(parties: u32, sigma_squared_each: f64) -> f64 {
    let terms = (1..parties).map(f64::from);
    let rate = -2.0 * PI * PI * sigma_squared_each;
    10.0 * terms.map(|k| exp(rate * k / (k + 1.0))).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(value: f64) -> Delta {
        Delta::new(value).unwrap()
    }

    #[test]
    fn a_discrete_gaussian_matches_the_reference_values() {
        // (σ, δ, exact ε): hockey-stick sums at 40 digits.
        for (sigma, del, exact) in [
            (1.0, 1e-5, 4.430_238_055_279_412),
            (5.0, 1e-6, 0.834_975_740_665_52),
        ] {
            let found = discrete_gaussian_epsilon(sigma, 1, delta(del)).unwrap();
            assert!(
                found >= exact * (1.0 - 1e-12) && found < exact * (1.0 + 1e-9),
                "{found} {exact}"
            );
        }
    }

    #[test]
    fn atoms_are_two_distributions_with_their_ratio() {
        let lists = [
            gaussian_atoms(3.0, 2, 1e-20).unwrap(),
            laplace_atoms(0.3, 5).unwrap(),
            response_atoms(0.2, 5),
        ];
        for atoms in lists {
            let p: f64 = atoms.list.iter().map(|a| a.p).sum();
            let q: f64 = atoms.list.iter().map(|a| a.q).sum();
            assert!((p - 1.0).abs() < 1e-12 && (q - 1.0).abs() < 1e-12, "{p} {q}");
            for pair in atoms.list.windows(2) {
                assert!(pair[0].loss > pair[1].loss);
            }
            for atom in atoms.list.iter().filter(|a| a.p > 1e-200 && a.q > 1e-200) {
                assert!((log(atom.p / atom.q) - atom.loss).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn calibrated_integer_noise_is_the_least() {
        let epsilon = Epsilon::new(1.0).unwrap();
        for sensitivity in [1, 7, 100] {
            let NoiseScale { sigma_squared } =
                calibrate_discrete_gaussian(sensitivity, epsilon, delta(1e-6)).unwrap();
            let at = |s: u64| discrete_gaussian_epsilon(sqrt(s as f64), sensitivity, delta(1e-6)).unwrap();
            assert!(at(sigma_squared) <= 1.0 && at(sigma_squared - 1) > 1.0);
            let scale = calibrate_discrete_laplace(sensitivity, epsilon, delta(1e-6)).unwrap();
            let at = |scale: f64| discrete_laplace_epsilon(scale, sensitivity, delta(1e-6)).unwrap();
            assert!(at(scale) <= 1.0 && at(scale * (1.0 - 1e-9)) > 1.0);
        }
        assert!(calibrate_discrete_gaussian(0, epsilon, delta(1e-6)).is_err());
        assert!(calibrate_discrete_laplace(0, epsilon, delta(1e-6)).is_err());
    }

    #[test]
    fn both_ways_to_the_variance_meet() {
        let left = discrete_gaussian_variance(1.0);
        let right = discrete_gaussian_variance(1.0 + 1e-12);
        assert!((left / right - 1.0).abs() < 1e-9, "{left} {right}");
        assert!(discrete_gaussian_variance(0.3) < 0.3);
    }
}
