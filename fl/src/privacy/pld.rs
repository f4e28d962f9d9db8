//! Privacy loss distributions: bounds from above and below on ε of a composition.
//!
//! The loss of one use, ln(p/q) under p, is put on a grid of equal steps so that the result provably
//! dominates it (or is dominated by it): [`cells`] has the probabilities between grid points, [`grid`]
//! the rounding. Uses add their losses, so their distributions are multiplied in the frequency
//! domain ([`compose`]), after an exponential tilt that moves the weight to where ε will be: then all
//! rounding of the transform is relative to δ, however small δ is. Everything that is rounded,
//! wrapped around or cut off is bounded and counted outward; decision 0010 has the argument.
//!
//! The grid adapts: it is refined until both bounds agree to [`AGREEMENT`], or the bound from above
//! moves so little from grid to grid that its error, which falls with the square of the step, is within
//! it. Stopping early makes the bounds wider, never wrong.

use super::kind::Kind;

mod cells;
mod compose;
mod grid;

mod pair;
mod smooth;
mod window;

use cells::Cells;
use pair::Pair;
use window::Window;

/// The relative difference of both bounds that is good enough.
const AGREEMENT: f64 = 2e-4;
/// Below this ε the difference may be larger, relatively.
const LEAST_OF_INTEREST: f64 = 1e-3;
/// Points of the first grid and of the last, powers of two.
const POINTS_MIN: usize = 1 << 14;
const POINTS_MAX: usize = 1 << 21;
/// Most mechanisms that differ, in one composition.
const PARTS_MAX: usize = 64;
/// Share of δ that may be lost at the ends of losses, over all uses.
const LOST_SHARE: f64 = 3e-5;

/// Bounds on the ε at δ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// The composition has at most this ε; infinite if no bound was found.
    pub(crate) upper: f64,
    /// The worst pair of distributions that the mechanisms allow has at least this ε.
    pub(crate) lower: f64,
}

/// Which neighbour comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// The record is there and then not.
    Remove,
    /// The record comes.
    Add,
}

/// Bounds on ε at δ of mechanisms, each used so many times; nothing where a part has no list of losses.
pub(crate) fn bounds(parts: &[(Kind, u64)], delta: f64) -> Option<Bounds> {
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return None;
    }
    let uses: u64 = parts.iter().map(|(_, count)| count).sum();
    let lost = delta * LOST_SHARE / uses as f64;
    let pairs: Option<Vec<(Pair, u64)>> = parts
        .iter()
        .map(|(kind, count)| Pair::of(kind, lost).map(|pair| (pair, *count)))
        .collect();
    let pairs = pairs?;
    let directions: &[Direction] = if pairs.iter().all(|(pair, _)| pair.is_symmetric()) {
        &[Direction::Remove]
    } else {
        &[Direction::Remove, Direction::Add]
    };
    let mut sides: Vec<Side> = directions
        .iter()
        .map(|direction| Side::new(&pairs, *direction, delta))
        .collect();
    let mut worst = Bounds {
        upper: f64::INFINITY,
        lower: 0.0,
    };
    loop {
        // The direction with the larger ε counts; the other is refined only while it could be that.
        let lower = sides.iter().map(Side::likely).fold(0.0, f64::max);
        let mut refined = false;
        for side in &mut sides {
            if side.found.upper > lower && side.refine(&pairs, delta) {
                refined = true;
            }
        }
        worst.upper = sides.iter().map(|side| side.found.upper).fold(0.0, f64::max);
        worst.lower = sides.iter().map(|side| side.found.lower).fold(0.0, f64::max);
        if !refined {
            return Some(worst);
        }
    }
}

/// One direction and how far it has got.
struct Side {
    direction: Direction,
    window: Option<Window>,
    points: usize,
    step: f64,
    /// About how much too large the upper bound is.
    excess: f64,
    found: Bounds,
}

impl Side {
    fn new(pairs: &[(Pair, u64)], direction: Direction, delta: f64) -> Self {
        Self {
            direction,
            window: Window::find(pairs, direction, delta, 1.0),
            points: 0,
            step: f64::INFINITY,
            excess: f64::INFINITY,
            found: Bounds {
                upper: f64::INFINITY,
                lower: 0.0,
            },
        }
    }

    /// Computes the bounds on the next finer grid; false when there is none or no need.
    fn refine(&mut self, pairs: &[(Pair, u64)], delta: f64) -> bool {
        let Some(window) = &self.window else { return false };
        let Some(points) = self.next_points() else {
            return false;
        };
        self.points = points;
        let step = grid::step(window, points, pairs);
        if step >= self.step {
            self.points = POINTS_MAX;
            return false;
        }
        let coarser = (self.step, self.found.upper);
        self.step = step;
        let parts: Option<Vec<(Cells, u64)>> = pairs
            .iter()
            .map(|(pair, count)| Some((Cells::new(pair, self.direction, step)?, *count)))
            .collect();
        let Some(parts) = parts else {
            self.points = POINTS_MAX;
            return false;
        };
        let found = compose::bounds(&parts, window, step, points, delta);
        if found.below_window {
            // The tilt was too strong for this composition: all of ε lies below the window.
            self.window = Window::find(pairs, self.direction, delta, window.relaxation / 4.0);
            self.points = points / 2;
            self.step = f64::INFINITY;
        }
        if found.narrow {
            self.window = self.window.as_ref().and_then(Window::widened);
            self.points = points / 2;
            self.step = f64::INFINITY;
        }
        // Two grids tell the error of the finer one; it is doubled, for it is a guess.
        let ratio = coarser.0 / step;
        let fell = (coarser.1 - found.upper).max(0.0);
        self.excess = if ratio.is_finite() && fell.is_finite() && found.upper.is_finite() {
            2.0 * fell / (ratio * ratio - 1.0)
        } else {
            f64::INFINITY
        };
        self.found.upper = self.found.upper.min(found.upper);
        self.found.lower = self.found.lower.max(found.lower);
        true
    }

    /// A value that ε probably has at least.
    fn likely(&self) -> f64 {
        let near = self.found.upper - self.excess;
        if near.is_nan() {
            self.found.lower
        } else {
            near.max(self.found.lower)
        }
    }

    /// The next number of points: the error falls with the square of the step.
    fn next_points(&self) -> Option<usize> {
        if self.points == 0 {
            return Some(POINTS_MIN);
        }
        let scale = self.found.upper.max(LEAST_OF_INTEREST);
        let gap = (self.found.upper - self.likely()) / scale;
        let most = if self.excess.is_finite() { 16 } else { 4 };
        if gap <= AGREEMENT || self.points >= POINTS_MAX {
            return None;
        }
        let mut points = self.points * 2;
        let mut expected = gap / 4.0;
        while expected > AGREEMENT / 2.0 && points < self.points * most {
            points *= 2;
            expected /= 4.0;
        }
        Some(points.min(POINTS_MAX))
    }
}

#[cfg(test)]
mod tests;
