//! From cells to probabilities on grid points alone, from above and from below.
//!
//! From above: what lies between two grid points is split between them so that its probability under
//! both neighbours stays what it was ("connect the dots": Doroshenko, Ghazi, Kamath, Kumar and
//! Manurangsi 2022). As a function of e^ε this replaces the convex δ(ε) by its chords. From below:
//! outcomes are merged, which can only hide something: each cell goes to its two ends in proportion
//! to its nearness, and at a grid point as much from the right meets what comes from the left as gives
//! the merged outcome exactly that loss; what does not fit is rounded down. Both errors fall with the
//! square of the step.
//!
//! Probabilities are computed to [`ROUNDING`]; from above, those of the first neighbour are raised
//! and those of the second lowered by it, which can only raise δ, and the other way round from below.

#![expect(
    clippy::cast_possible_wrap,
    reason = "lengths are at most CELLS_MAX or POINTS_MAX"
)]

use libm::{exp, expm1, floor, log};

use super::cells::{Both, CELLS_MAX, Cells};
use super::pair::Pair;
use super::window::Window;

/// Relative error allowed for in probabilities at either side of a grid point. The tails come from
/// `erfc`, good to one unit in the last place, at arguments whose error of four units moves a tail at
/// z standard deviations by 8z² units: below this for all z that doubles can show.
const ROUNDING: f64 = 1e-12;

/// Probabilities of losses that are multiples of the step.
#[derive(Clone, Debug)]
pub(super) struct Pmf {
    /// The loss of the first probability, in steps.
    pub(super) first: i64,
    /// Probabilities.
    pub(super) mass: Vec<f64>,
    /// Probability of an infinite loss.
    pub(super) infinite: f64,
}

/// The step that puts `points` over the window, a fraction of the lattice of the atoms if there is one,
/// and not so small that one mechanism would need many more cells than points.
pub(super) fn step(window: &Window, points: usize, pairs: &[(Pair, u64)]) -> f64 {
    let spread = pairs.iter().map(|(pair, _)| pair.span()).fold(0.0, f64::max);
    let step = (window.high - window.low) / (points.saturating_sub(4).max(1)) as f64;
    let step = step.max(spread / (8.0 * points as f64).min(CELLS_MAX - 8.0));
    let lattice = pairs.iter().find_map(|(pair, _)| pair.lattice);
    match lattice {
        Some(lattice) if lattice >= step => lattice / floor(lattice / step),
        _ => step,
    }
}

/// A distribution that dominates the cells.
pub(super) fn from_above(cells: &Cells, step: f64) -> Pmf {
    let mut mass = vec![0.0; cells.inside.len() + 1];
    let width = -expm1(-step);
    for (k, cell) in cells.inside.iter().enumerate() {
        if cell.p == 0.0 && cell.q == 0.0 {
            continue;
        }
        let p = cell.p * (1.0 + ROUNDING);
        let q = cell.q * (1.0 - ROUNDING);
        let odds = Cells::odds(cells.first + k as i64, step);
        let upper = ((p - odds * q) / width).max(0.0);
        if let Some([low, high]) = mass.get_mut(k..k + 2) {
            *low += (p - upper).max(0.0);
            *high += upper;
        }
    }
    for (index, both) in &cells.points {
        if let Some(slot) = slot(&mut mass, cells.first, *index) {
            *slot += both.p * (1.0 + ROUNDING);
        }
    }
    if let Some(bottom) = mass.first_mut() {
        *bottom += cells.below.p;
    }
    Pmf {
        first: cells.first,
        mass,
        infinite: cells.above.p * (1.0 + ROUNDING),
    }
}

/// A distribution that the cells dominate; what lies outside of them is left out.
pub(super) fn from_below(cells: &Cells, step: f64) -> Pmf {
    let mut mass = vec![0.0; cells.inside.len() + 1];
    let ratio = exp(step);
    let mut left = Half::default();
    for (k, cell) in cells.inside.iter().enumerate() {
        let odds = Cells::odds(cells.first + k as i64, step);
        let (to_low, to_high) = halves(cell, odds, ratio);
        // At this point: what the cell below sent up, and what this one sends down.
        let met = if left.lack <= to_low.lack {
            1.0
        } else {
            to_low.lack / left.lack
        };
        if let Some(slot) = mass.get_mut(k) {
            *slot += to_low.p + left.p * met;
        }
        if let Some(slot) = k.checked_sub(1).and_then(|below| mass.get_mut(below)) {
            *slot += left.p * (1.0 - met);
        }
        left = to_high;
    }
    if let Some(slot) = cells
        .inside
        .len()
        .checked_sub(1)
        .and_then(|last| mass.get_mut(last))
    {
        *slot += left.p;
    }
    for (index, both) in &cells.points {
        if let Some(slot) = slot(&mut mass, cells.first, *index) {
            *slot += both.p * (1.0 - ROUNDING);
        }
    }
    Pmf {
        first: cells.first,
        mass,
        infinite: 0.0,
    }
}

/// A part of a cell on its way to a grid point: its probability, and how much of the second
/// neighbour's probability there it has too much (from the left) or too little (from the right).
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    p: f64,
    lack: f64,
}

/// The parts of a cell that go to its lower and to its upper end.
fn halves(cell: &Both, odds: f64, ratio: f64) -> (Half, Half) {
    let p = cell.p * (1.0 - ROUNDING);
    let q = cell.q * (1.0 + ROUNDING);
    let above_low = (p / odds - q).max(0.0);
    let below_high = (q - p / (odds * ratio)).max(0.0);
    let sum = above_low + below_high;
    if sum <= 0.0 {
        return (Half { p, lack: 0.0 }, Half::default());
    }
    let share = below_high / sum;
    // A little of the meeting is given up, so that rounding cannot make the merged loss too large.
    let lack = above_low * share;
    let low = Half {
        p: p * share,
        lack: lack * (1.0 - 1e-9),
    };
    let high = Half {
        p: p * (1.0 - share),
        lack: lack * (1.0 + 1e-9),
    };
    (low, high)
}

fn slot(mass: &mut [f64], first: i64, index: i64) -> Option<&mut f64> {
    usize::try_from(index - first).ok().and_then(|k| mass.get_mut(k))
}

impl Pmf {
    /// ln Σ p·e^(tl) of the finite losses; `guess` is near it.
    pub(super) fn cumulant(&self, t: f64, guess: f64, step: f64) -> f64 {
        let terms = self.terms();
        let sum: f64 = terms
            .map(|(index, p)| p * exp(t * index as f64 * step - guess))
            .sum();
        guess + log(sum)
    }

    /// Losses in steps with their probabilities, without those that are 0.
    pub(super) fn terms(&self) -> impl Iterator<Item = (i64, f64)> {
        let numbered = self.mass.iter().enumerate();
        numbered
            .filter(|(_, p)| **p > 0.0)
            .map(|(k, p)| (self.first + k as i64, *p))
    }

    /// The largest loss that occurs, in steps.
    pub(super) fn last(&self) -> i64 {
        let used = self.mass.iter().rposition(|p| *p > 0.0);
        self.first + used.unwrap_or(0) as i64
    }

    /// The least loss that occurs, in steps.
    pub(super) fn first_used(&self) -> i64 {
        let used = self.mass.iter().position(|p| *p > 0.0);
        self.first + used.unwrap_or(0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::*;
    use crate::privacy::kind::{Base, Kind, Sampling};

    fn delta_at(pmf: &Pmf, step: f64, epsilon: f64) -> f64 {
        let finite = pmf
            .terms()
            .map(|(index, p)| p * (1.0 - exp(epsilon - index as f64 * step)).max(0.0));
        finite.sum::<f64>() + pmf.infinite
    }

    #[test]
    fn one_use_lies_between_both_roundings() {
        let exact = |epsilon: f64| crate::privacy::gaussian::gaussian_delta(epsilon, 1.0);
        let kind = Kind::Noise {
            base: Base::Gaussian { sigma: 1.0 },
            sampling: Sampling::Whole,
        };
        let pair = Pair::of(&kind, 1e-20).unwrap();
        for step in [0.3, 0.02] {
            let cells = Cells::new(&pair, Direction::Remove, step).unwrap();
            let (above, below) = (from_above(&cells, step), from_below(&cells, step));
            for epsilon in [0.0, 0.11, 0.5, 1.234, 4.0] {
                let (low, high) = (delta_at(&below, step, epsilon), delta_at(&above, step, epsilon));
                let truth = exact(epsilon);
                assert!(
                    low <= truth * (1.0 + 1e-9) && truth <= high * (1.0 + 1e-9),
                    "{step} {epsilon}"
                );
                assert!(
                    high - low < truth * 3.0 * step,
                    "{step} {epsilon}: {low} {truth} {high}"
                );
            }
        }
    }
}
