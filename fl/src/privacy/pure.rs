//! Pure differential privacy: basic composition, and the optimal one of equal parts.
//!
//! The worst ε₀-private mechanism answers a secret bit rightly with probability e^ε₀/(1 + e^ε₀)
//! (Kairouz, Oh and Viswanath 2015, theorem 3.3 and appendix), so k of them have a binomial loss and
//! δ(ε) is a binomial sum. It is exact for binary randomised response and for discrete Laplace noise
//! on a query of sensitivity 1, whose losses take only the values ±ε₀.

use libm::{exp, log, tanh};

use super::hockey::least_epsilon;

/// Binomial weights below this share of the largest are left out and counted as lost.
const NEGLIGIBLE: f64 = 1e-90;
/// More than all weights that are left out.
const LOST: f64 = 1e-70;

/// The least ε at δ of `count` mechanisms that are `epsilon0`-private each, rounded up.
pub(crate) fn optimal_epsilon(epsilon0: f64, count: u64, delta: f64) -> f64 {
    if epsilon0 == 0.0 || count == 0 {
        return 0.0;
    }
    let (first, weights) = binomial(epsilon0, count);
    let sum: f64 = weights.iter().sum();
    let losses = weights.iter().enumerate().rev().map(|(index, weight)| {
        let right = first + index as u64;
        let excess = right as f64 - (count - right) as f64;
        (excess * epsilon0, weight / sum)
    });
    let basic = epsilon0 * count as f64;
    least_epsilon(losses, LOST, delta).min(basic)
}

/// The least ε at δ of mechanisms of `epsilon0` used `count` times each: their plain sum, whatever δ.
pub(crate) fn basic_epsilon(parts: impl IntoIterator<Item = (f64, u64)>) -> f64 {
    let sum: f64 = parts
        .into_iter()
        .map(|(epsilon0, count)| epsilon0 * count as f64)
        .sum();
    sum * (1.0 + 1e-12)
}

/// Weights of a binomial distribution of `count` trials with odds e^ε₀, relative to the largest, and
/// the number of successes of the first.
fn binomial(epsilon0: f64, count: u64) -> (u64, Vec<f64>) {
    let chance = (1.0 + tanh(epsilon0 / 2.0)) / 2.0;
    let mode = floor_to(count as f64 * chance, count);
    let odds = exp(epsilon0);
    let mut below = Vec::new();
    let (mut at, mut weight) = (mode, 1.0);
    while at > 0 && weight > NEGLIGIBLE {
        weight *= at as f64 / ((count - at + 1) as f64 * odds);
        at -= 1;
        below.push(weight);
    }
    let first = at;
    below.reverse();
    below.push(1.0);
    let (mut at, mut weight) = (mode, 1.0);
    while at < count && weight > NEGLIGIBLE {
        weight *= (count - at) as f64 * odds / (at + 1) as f64;
        at += 1;
        below.push(weight);
    }
    (first, below)
}

/// The integer below, between 0 and `most`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the type"
)]
fn floor_to(value: f64, most: u64) -> u64 {
    (value.max(0.0) as u64).min(most)
}

/// ε after each record is in a Poisson sample, or a sample of fixed size, with probability `rate`:
/// ln(1 + rate·(e^ε − 1)) (Balle, Barthe and Gaboardi 2018, theorems 8 and 9).
pub(crate) fn amplified(epsilon0: f64, rate: f64) -> f64 {
    if epsilon0 > 700.0 {
        return epsilon0 + log(rate).min(0.0) + 1e-9;
    }
    libm::log1p(rate * libm::expm1(epsilon0)) * (1.0 + 1e-14)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn optimal_composition_matches_the_reference_values() {
        // (ε₀, k, δ, exact ε): binomial sums at 40 digits.
        let rows = [
            (1.0, 1, 1e-6, 0.999_998_632_119_623_3),
            (0.1, 100, 1e-6, 4.774_567_588_107_986),
            (0.02, 1000, 1e-6, 2.915_665_140_562_023_7),
            (log(9.0), 10, 1e-6, 21.972_242_905_386_09),
        ];
        for (epsilon0, count, delta, exact) in rows {
            let found = optimal_epsilon(epsilon0, count, delta);
            assert!(
                found >= exact * (1.0 - 1e-13) && found < exact * (1.0 + 1e-9),
                "{found} {exact}"
            );
        }
    }

    #[test]
    fn amplification_is_linear_for_small_losses_and_never_hurts() {
        assert!((amplified(1e-6, 0.01) / 1e-8 - 1.0).abs() < 1e-5);
        assert!((amplified(800.0, 0.5) - (800.0 - core::f64::consts::LN_2)).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn never_worse_than_the_sum_and_growing(eps in 0.001f64..3.0, count in 1u64..2000, exponent in 1i32..25) {
            let delta = libm::pow(10.0, -f64::from(exponent));
            let found = optimal_epsilon(eps, count, delta);
            prop_assert!(found <= eps * count as f64 * (1.0 + 1e-12));
            prop_assert!(found <= optimal_epsilon(eps, count + 1, delta) * (1.0 + 1e-10) + 1e-12);
            prop_assert!(found <= optimal_epsilon(eps, count, delta / 2.0) * (1.0 + 1e-10) + 1e-12);
        }
    }
}
