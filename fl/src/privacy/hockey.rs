//! The hockey-stick sum of a discrete privacy loss: δ(ε) = Σ p·(1 − e^(ε − l))₊, and the ε where it
//! falls to a given δ. Exact up to rounding, which goes up.

use libm::{exp, log};

/// Relative error allowed for in probabilities.
const ROUNDING: f64 = 1e-12;

/// The least ε ≥ 0 with δ(ε) ≤ `delta`, of atoms (loss, probability) in descending order of loss.
/// `lost` is probability that is not in the atoms and counts as an infinite loss.
pub(crate) fn least_epsilon(atoms: impl IntoIterator<Item = (f64, f64)>, lost: f64, delta: f64) -> f64 {
    let target = delta - lost;
    if target <= 0.0 {
        return f64::INFINITY;
    }
    // At the level l: δ(l) = total − weighted, with weighted = Σ p·e^(l − loss) of the atoms above.
    let (mut total, mut weighted, mut level) = (0.0, 0.0, f64::INFINITY);
    for (loss, p) in atoms {
        if level.is_finite() {
            weighted *= exp(loss - level);
            if total - weighted > target {
                return crossing(total, weighted, loss, target);
            }
        }
        level = loss;
        let p = p * (1.0 + ROUNDING);
        total += p;
        weighted += p;
    }
    if total <= target {
        return 0.0;
    }
    crossing(total, weighted, level, target)
}

/// The ε above `level` where total − weighted·e^(ε − level) is `target`, not below 0.
fn crossing(total: f64, weighted: f64, level: f64, target: f64) -> f64 {
    let epsilon = level + log((total - target) / weighted);
    (epsilon + ROUNDING * (1.0 + epsilon.abs())).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// δ(ε) by its definition.
    fn delta_at(atoms: &[(f64, f64)], epsilon: f64) -> f64 {
        atoms
            .iter()
            .map(|(l, p)| p * (1.0 - exp(epsilon - l)).max(0.0))
            .sum()
    }

    #[test]
    fn the_sum_at_the_result_is_the_delta_asked() {
        let atoms = [(2.0, 0.1), (1.0, 0.3), (0.25, 0.2), (-1.0, 0.4)];
        for delta in [1e-5, 1e-3, 0.05, 0.2, 0.3] {
            let epsilon = least_epsilon(atoms, 0.0, delta);
            assert!(
                (delta_at(&atoms, epsilon) / delta - 1.0).abs() < 1e-6 || epsilon == 0.0,
                "{delta}"
            );
            let with_loss = least_epsilon(atoms, delta / 2.0, delta);
            assert!(with_loss >= epsilon);
        }
        assert_eq!(least_epsilon(atoms, 0.0, 0.9), 0.0);
        assert!(least_epsilon(atoms, 0.2, 0.1).is_infinite());
    }
}
