//! Probabilities below and above a loss, for losses with a density: Gaussian and Laplace noise.

use libm::{erfc, exp};

const SQRT_2: f64 = core::f64::consts::SQRT_2;

/// Probabilities at or below a loss and above it, under both neighbours; the smaller of each two is
/// accurate to a few units in the last place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    pub(super) p_below: f64,
    pub(super) p_above: f64,
    pub(super) q_below: f64,
    pub(super) q_above: f64,
}

impl Split {
    /// Everything is above, with `p` and `q` in all.
    pub(super) const fn all_above(p: f64, q: f64) -> Self {
        Self {
            p_below: 0.0,
            p_above: p,
            q_below: 0.0,
            q_above: q,
        }
    }

    /// The first neighbour replaced by a mixture: itself with weight `rate`, else the second.
    pub(super) fn mixed(self, rate: f64) -> Self {
        let mix = |p: f64, q: f64| (1.0 - rate) * q + rate * p;
        Self {
            p_below: mix(self.p_below, self.q_below),
            p_above: mix(self.p_above, self.q_above),
            ..self
        }
    }
}

/// Noise whose loss has a density.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Smooth {
    /// N(1, σ²) against N(0, σ²): the loss (2x − 1)/2σ² grows with x.
    Gaussian { sigma: f64 },
    /// Laplace noise of this scale at 0 against at 1, between them: losses between ±1/scale.
    Laplace { scale: f64 },
}

impl Smooth {
    /// The split at a loss.
    pub(super) fn split(self, loss: f64) -> Split {
        match self {
            Self::Gaussian { sigma } => {
                let x = sigma * sigma * loss + 0.5;
                let (p_below, p_above) = tails((x - 1.0) / sigma);
                let (q_below, q_above) = tails(x / sigma);
                Split {
                    p_below,
                    p_above,
                    q_below,
                    q_above,
                }
            }
            Self::Laplace { scale } => {
                let most = 1.0 / scale;
                let size = exp(-most / 2.0) / 2.0;
                let loss = loss.clamp(-most, most);
                let span = |from: f64, to: f64| size * exp(from / 2.0) * libm::expm1((to - from) / 2.0);
                Split {
                    p_below: span(-most, loss),
                    p_above: span(loss, most),
                    q_below: span(-loss, most),
                    q_above: span(-most, -loss),
                }
            }
        }
    }

    /// All probability under either neighbour.
    pub(super) fn mass(self) -> f64 {
        match self {
            Self::Gaussian { .. } => 1.0,
            Self::Laplace { scale } => -libm::expm1(-1.0 / scale) / 2.0,
        }
    }
}

/// Φ(z) and 1 − Φ(z).
fn tails(z: f64) -> (f64, f64) {
    if z < 0.0 {
        let below = erfc(-z / SQRT_2) / 2.0;
        (below, 1.0 - below)
    } else {
        let above = erfc(z / SQRT_2) / 2.0;
        (1.0 - above, above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_split_add_up_and_keep_the_ratio() {
        for smooth in [Smooth::Gaussian { sigma: 0.8 }, Smooth::Laplace { scale: 0.7 }] {
            for step in -40..40 {
                let (low, high) = (f64::from(step) * 0.03, f64::from(step + 1) * 0.03);
                let (a, b) = (smooth.split(low), smooth.split(high));
                assert!((a.p_below + a.p_above - smooth.mass()).abs() < 1e-14);
                assert!((a.q_below + a.q_above - smooth.mass()).abs() < 1e-14);
                let (p, q) = (b.p_below - a.p_below, b.q_below - a.q_below);
                let ratio = libm::log(p / q);
                assert!(
                    ratio >= low - 1e-9 && ratio <= high + 1e-9,
                    "{smooth:?} {low}: {ratio}"
                );
            }
        }
    }
}
