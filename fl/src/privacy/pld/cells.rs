//! The loss of one use, in one direction, between the points of a grid: what is there under both
//! neighbours, before any rounding to the grid.

#![expect(
    clippy::cast_possible_wrap,
    reason = "lengths are at most CELLS_MAX or POINTS_MAX"
)]

use libm::{ceil, exp, floor, round};

use super::Direction;
use super::pair::{LOSS_MAX, Pair};

/// Most cells of one mechanism.
pub(super) const CELLS_MAX: f64 = 2_097_152.0;
/// Atoms this near to a grid point, in steps, are on it; the distance counts as error of the loss.
const SNAP: f64 = 1e-7;

/// Probability under both neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Both {
    pub(super) p: f64,
    pub(super) q: f64,
}

impl Both {
    fn add(&mut self, p: f64, q: f64) {
        self.p += p;
        self.q += q;
    }

    fn swapped(self) -> Self {
        Self { p: self.q, q: self.p }
    }
}

/// Probabilities by loss; losses are multiples of the step.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    /// The grid point at the lower end of the first cell.
    pub(super) first: i64,
    /// Losses above grid point first + k, up to and with the next.
    pub(super) inside: Vec<Both>,
    /// Losses on a grid point, ascending.
    pub(super) points: Vec<(i64, Both)>,
    /// Losses above all cells.
    pub(super) above: Both,
    /// Losses below all cells.
    pub(super) below: Both,
    /// How far a loss may be off by rounding.
    pub(super) slack: f64,
}

impl Cells {
    /// The cells of a mechanism; nothing if they are too many.
    pub(super) fn new(pair: &Pair, direction: Direction, step: f64) -> Option<Self> {
        let removal = Self::of_removal(pair, step)?;
        if pair.is_fixed_size() {
            return Some(removal.replaced(pair, step));
        }
        Some(match direction {
            Direction::Remove => removal,
            Direction::Add => removal.reflected(),
        })
    }

    fn of_removal(pair: &Pair, step: f64) -> Option<Self> {
        let listed = || {
            pair.atoms()
                .iter()
                .map(|atom| atom.loss)
                .filter(|loss| loss.abs() <= LOSS_MAX)
        };
        let low = floor(listed().fold(pair.low, f64::min) / step) - 1.0;
        let high = ceil(listed().fold(pair.high, f64::max) / step) + 1.0;
        if high - low > CELLS_MAX {
            return None;
        }
        let (first, count) = (to_index(low), to_length(high - low));
        let bounds = (0..=count).map(|k| (first + k as i64) as f64 * step);
        let mut inside: Vec<Both> = pair
            .masses(bounds)
            .into_iter()
            .map(|(p, q)| Both { p, q })
            .collect();
        inside.resize(count, Both::default());
        let (bottom, top) = (pair.split(low * step), pair.split(high * step));
        let lost = pair.lost;
        let mut cells = Self {
            first,
            inside,
            points: Vec::new(),
            above: Both {
                p: top.p_above + lost,
                q: top.q_above + lost,
            },
            below: Both {
                p: bottom.p_below + lost,
                q: bottom.q_below + lost,
            },
            slack: pair.slack() + if pair.atoms().is_empty() { 0.0 } else { SNAP * step },
        };
        for atom in pair.atoms().iter().rev() {
            cells.place(atom.loss, atom.p, atom.q, step);
        }
        Some(cells)
    }

    /// Puts an atom on its grid point or into its cell.
    fn place(&mut self, loss: f64, p: f64, q: f64, step: f64) {
        if loss.is_nan() || loss > LOSS_MAX {
            return self.above.add(p, q);
        }
        if loss < -LOSS_MAX {
            return self.below.add(p, q);
        }
        let (place, nearest) = (loss / step, round(loss / step));
        if (place - nearest).abs() <= SNAP {
            let index = to_index(nearest);
            return match self.points.last_mut() {
                Some((last, both)) if *last == index => both.add(p, q),
                _ => self.points.push((index, Both { p, q })),
            };
        }
        let cell = usize::try_from(to_index(floor(place)) - self.first).ok();
        if let Some(both) = cell.and_then(|cell| self.inside.get_mut(cell)) {
            both.add(p, q);
        }
    }

    /// The other direction: neighbours exchanged, losses negated.
    fn reflected(self) -> Self {
        Self {
            first: -(self.first + self.inside.len() as i64),
            inside: self.inside.into_iter().rev().map(Both::swapped).collect(),
            points: self
                .points
                .into_iter()
                .rev()
                .map(|(index, both)| (-index, both.swapped()))
                .collect(),
            above: self.below.swapped(),
            below: self.above.swapped(),
            slack: self.slack,
        }
    }

    /// One record replaced: removal where the loss is positive, its reflection where it is negative,
    /// and all else at no loss.
    fn replaced(self, pair: &Pair, step: f64) -> Self {
        let zero = pair.split(0.0);
        let mut positive = Both {
            p: zero.p_above,
            q: zero.q_above,
        };
        let skipped = usize::try_from(-self.first).unwrap_or(0);
        let inside: Vec<Both> = self.inside.into_iter().skip(skipped).collect();
        let points: Vec<(i64, Both)> = self.points.into_iter().filter(|(index, _)| *index > 0).collect();
        for atom in pair.atoms().iter().filter(|atom| atom.loss > SNAP * step) {
            positive.add(atom.p, atom.q);
        }
        let mut cells = Self {
            first: 0,
            inside,
            points,
            above: self.above,
            below: Both::default(),
            slack: self.slack,
        };
        let mirrored = cells.clone().reflected();
        cells.first = mirrored.first;
        cells.inside = mirrored.inside.into_iter().chain(cells.inside).collect();
        let rest = (1.0 - positive.p - positive.q).max(0.0);
        let middle = (0, Both { p: rest, q: rest });
        cells.points = mirrored
            .points
            .into_iter()
            .chain([middle])
            .chain(cells.points)
            .collect();
        cells.below = mirrored.below;
        cells
    }

    /// e^loss at a grid point.
    pub(super) fn odds(index: i64, step: f64) -> f64 {
        exp(index as f64 * step)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bounded by LOSS_MAX over a step of at least 1e-12"
)]
fn to_index(value: f64) -> i64 {
    value as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and CELLS_MAX"
)]
fn to_length(value: f64) -> usize {
    value as usize
}
