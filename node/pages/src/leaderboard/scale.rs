//! A linear scale of scores, in percent of a drawing's width: drawings have no width of their own, so
//! they fit a phone and a wide screen without distorting their marks.

use fieldmark_fl::interval::Micro;
use fieldmark_node_core::board::{Cell, Fixed};

/// Distances between grid lines, in millionths, and the range up to which each is used.
const STEPS: [(i64, i64); 4] = [
    (60_000, 10_000),
    (150_000, 20_000),
    (400_000, 50_000),
    (700_000, 100_000),
];

/// The widest distance.
const WIDEST_STEP: i64 = 200_000;

/// Where scores lie in a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    lo: i64,
    hi: i64,
    step: i64,
}

impl Scale {
    /// A scale that holds every value, ends on grid lines and stays within 0 and 1; the whole of 0 to 1
    /// where there is none.
    pub(super) fn over(values: impl Iterator<Item = Fixed>) -> Self {
        let bounds =
            values
                .map(|Fixed(Micro(value))| value.clamp(0, 1_000_000))
                .fold(None, |bounds, value| {
                    let (lo, hi) = bounds.unwrap_or((value, value));
                    Some((value.min(lo), value.max(hi)))
                });
        let (lo, hi) = bounds.unwrap_or((0, 1_000_000));
        let step = STEPS
            .iter()
            .find(|(range, _)| hi - lo <= *range)
            .map_or(WIDEST_STEP, |(_, step)| *step);
        let lo = lo.div_euclid(step) * step;
        let hi = -(-hi).div_euclid(step) * step;
        if lo < hi {
            Self { lo, hi, step }
        } else {
            Self {
                lo: lo - step,
                hi: hi + step,
                step,
            }
            .within()
        }
    }

    fn within(self) -> Self {
        Self {
            lo: self.lo.max(0),
            hi: self.hi.min(1_000_000),
            step: self.step,
        }
    }

    /// Place of a score, as `12.50%`.
    pub(super) fn at(&self, score: Fixed) -> String {
        percent(self.place(score))
    }

    /// Distance between two scores, as a width.
    pub(super) fn width(&self, from: Fixed, to: Fixed) -> String {
        percent((self.place(to) - self.place(from)).max(0.0))
    }

    /// Place of a score between 0 and 1.
    pub(super) fn place(&self, Fixed(score): Fixed) -> f64 {
        let span = Micro(self.hi - self.lo).to_f64();
        (Micro(score.0.clamp(self.lo, self.hi) - self.lo).to_f64() / span).clamp(0.0, 1.0)
    }

    /// The grid lines.
    pub(super) fn ticks(&self) -> Vec<Fixed> {
        let (lo, step) = (self.lo, self.step);
        let end = self.hi;
        (0..)
            .map(|at| lo + at * step)
            .take_while(|at| *at <= end)
            .map(|at| Fixed(Micro(at)))
            .collect()
    }

    /// A grid line's label.
    pub(super) fn label(&self, tick: Fixed) -> String {
        let digits = if self.step % 100_000 == 0 { 1 } else { 2 };
        format!("{:.*}", digits, tick.0.to_f64())
    }
}

/// Every end and estimate of a cell.
pub(super) fn values(cell: &Cell) -> impl Iterator<Item = Fixed> {
    [cell.score, cell.lo, cell.hi, cell.noise_lo, cell.noise_hi]
        .into_iter()
        .flatten()
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(values: &[i64]) -> Scale {
        Scale::over(values.iter().map(|v| Fixed(Micro(*v))))
    }

    #[test]
    fn a_scale_ends_on_grid_lines_around_its_values() {
        let scale = over(&[612_345, 973_000]);
        assert_eq!((scale.lo, scale.hi), (600_000, 1_000_000));
        assert_eq!(scale.at(Fixed(Micro(700_000))), "25.00%");
        assert_eq!(scale.ticks().len(), 9);
    }

    #[test]
    fn odd_values_give_a_scale_that_can_be_drawn() {
        for values in [&[][..], &[500_000], &[0], &[1_000_000], &[-5, 2_000_000]] {
            let scale = over(values);
            assert!(
                scale.lo < scale.hi && scale.lo >= 0 && scale.hi <= 1_000_000,
                "{scale:?}"
            );
            assert!(scale.ticks().len() >= 2);
        }
    }
}
