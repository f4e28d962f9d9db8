//! Where the weight of a composition will be, from a rough picture of its parts.
//!
//! The tilt θ minimises (ΣK(θ) − ln δ)/θ, K the cumulant of the loss: there the tilted sum lies around
//! the ε asked. The window reaches as far down and up as Chernoff's bound needs to leave out a share of
//! [`OUTSIDE`] on either side. Only tightness depends on these numbers: what really is outside is
//! bounded again from the exact probabilities.

use libm::{exp, log};

use super::super::search::rough_minimum;
use super::Direction;
use super::pair::Pair;

/// ln of the share of the tilted weight outside of the window, on either side.
const OUTSIDE: f64 = -20.0;
/// Largest exponent of Chernoff's bounds times the width of the window.
const EXPONENT_MOST: f64 = 200.0;
/// ln of the least and the largest tilt looked at.
const LN_TILT: core::ops::RangeInclusive<i32> = -12..=20;

/// A tilt and the losses to compute.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// θ, at least 0.
    pub(super) tilt: f64,
    /// How much less and more the tilt is at which Chernoff's bound is taken below and above.
    pub(super) tilt_below: f64,
    pub(super) tilt_above: f64,
    /// Losses from and to.
    pub(super) low: f64,
    pub(super) high: f64,
    /// What θ was multiplied by.
    pub(super) relaxation: f64,
    widenings: u32,
    sketches: Vec<Vec<(f64, f64)>>,
}

impl Window {
    /// The window of a composition in one direction; nothing if there is no loss to speak of.
    pub(super) fn find(
        pairs: &[(Pair, u64)],
        direction: Direction,
        delta: f64,
        relaxation: f64,
    ) -> Option<Self> {
        let sketches: Vec<Vec<(f64, f64)>> = pairs.iter().map(|(pair, _)| pair.sketch(direction)).collect();
        let counts: Vec<f64> = pairs.iter().map(|(_, count)| *count as f64).collect();
        let total = |t: f64| -> f64 {
            let parts = sketches.iter().zip(&counts);
            parts.map(|(sketch, count)| count * cumulant(sketch, t)).sum()
        };
        let places: Vec<f64> = LN_TILT.map(|step| f64::from(step) / 2.0).collect();
        let ln_delta = log(delta);
        let (ln_tilt, _) = rough_minimum(&places, |u| (total(exp(u)) - ln_delta) / exp(u));
        if relaxation < 1e-6 {
            return None;
        }
        let tilt = exp(ln_tilt) * relaxation;
        let at_tilt = total(tilt);
        let below = |u: f64| (total(tilt - exp(u)) - at_tilt - OUTSIDE) / exp(u);
        let above = |u: f64| (total(tilt + exp(u)) - at_tilt - OUTSIDE) / exp(u);
        let (u_below, minus_low) = rough_minimum(&places, below);
        let (u_above, high) = rough_minimum(&places, above);
        // Where the loss is bounded, ever larger exponents gain nothing.
        let u_most = log(EXPONENT_MOST / (high + minus_low).max(1e-9));
        let (u_below, u_above) = (u_below.min(u_most), u_above.min(u_most));
        let (minus_low, high) = (below(u_below), above(u_above));
        let bounds = |pick: fn(&(f64, f64)) -> f64, fold: fn(f64, f64) -> f64, start: f64| -> f64 {
            let parts = sketches.iter().zip(&counts);
            parts
                .map(|(sketch, count)| count * sketch.iter().map(pick).fold(start, fold))
                .sum()
        };
        let least = bounds(|atom| atom.1, f64::min, f64::INFINITY);
        let most = bounds(|atom| atom.1, f64::max, f64::NEG_INFINITY);
        let (low, high) = ((-minus_low).max(least), high.min(most));
        if !(low.is_finite() && high.is_finite() && tilt.is_finite()) {
            return None;
        }
        let room = (0.02 * (high - low)).max(1e-9 * (1.0 + high.abs()));
        Some(Self {
            tilt,
            tilt_below: exp(u_below),
            tilt_above: exp(u_above),
            low: low - room,
            high: high + room,
            relaxation,
            widenings: 0,
            sketches,
        })
    }

    /// The same with half its width more at both ends; nothing after some times.
    pub(super) fn widened(&self) -> Option<Self> {
        let room = (self.high - self.low) / 2.0;
        (self.widenings < 4).then(|| Self {
            low: self.low - room,
            high: self.high + room,
            widenings: self.widenings + 1,
            ..self.clone()
        })
    }

    /// About ln Σ p·e^(tl) of the part at `index`.
    pub(super) fn cumulant(&self, index: usize, t: f64) -> f64 {
        self.sketches.get(index).map_or(0.0, |sketch| cumulant(sketch, t))
    }
}

/// ln Σ e^(ln p + tl).
fn cumulant(sketch: &[(f64, f64)], t: f64) -> f64 {
    let terms = || sketch.iter().map(|(ln_p, loss)| ln_p + t * loss);
    let largest = terms().fold(f64::NEG_INFINITY, f64::max);
    largest + log(terms().map(|term| exp(term - largest)).sum::<f64>())
}
