//! What a record adds to tables: the cell that each of its views falls into, and sums in steps.

use super::super::block::{Block, Part, STEPS, SUM_STEPS};
use super::super::outcome::{Details, ViewOutcome};
use super::super::{LOG_LOSS_MAX, Schema};

impl Schema {
    /// Adds what a record contributes to the tables of one part.
    pub(super) fn add_part(&self, part: Part, block: &Block, details: &Details, values: &mut [u64]) {
        let tables = usize::from(self.slices_of(part));
        for copy in 0..block.copies {
            let (model, table) = (copy / tables, copy % tables);
            let slices = if tables == 1 {
                0..self.slices()
            } else {
                table..table + 1
            };
            let views = slices.filter_map(|slice| details.view(model, slice));
            let start = copy * block.cells;
            let Some(cells) = values.get_mut(start..start + block.cells) else {
                continue;
            };
            if part.is_sum() {
                if let Some(sum) = cells.first_mut() {
                    *sum += quantised_sum(part, details, views);
                }
            } else {
                for view in views {
                    let placed = place(part, details, view, block.cells);
                    if let Some((cell, amount)) = placed.and_then(|(at, n)| Some((cells.get_mut(at)?, n))) {
                        *cell += amount;
                    }
                }
            }
        }
    }
}

/// A sum's contribution: the mean over the record's views in steps, half way where there is none.
fn quantised_sum<'v>(part: Part, details: &Details, views: impl Iterator<Item = &'v ViewOutcome>) -> u64 {
    let target = details.target.unwrap_or(0.5);
    let of_view = |view: &ViewOutcome| match part {
        Part::Brier => view.brier / 2.0,
        Part::LogLoss => view.log_loss / LOG_LOSS_MAX,
        Part::Error => (1.0 + view.error) / 2.0,
        Part::SquaredError => view.error * view.error,
        Part::AbsoluteError => libm::fabs(view.error),
        Part::Target => target,
        _ => target * target,
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for view in views {
        sum += of_view(view);
        count += 1.0;
    }
    if count > 0.0 {
        steps_of(sum / count, SUM_STEPS)
    } else {
        u64::from(SUM_STEPS / 2)
    }
}

/// The cell of a table that a view falls into, and by how much.
fn place(part: Part, details: &Details, view: &ViewOutcome, cells: usize) -> Option<(usize, u64)> {
    let truth = usize::from(details.positive.unwrap_or(false));
    Some(match part {
        Part::Confusion => {
            let classes = cells.isqrt();
            let (truth, answer) = (usize::from(details.class?), usize::from(view.answer?));
            (truth * classes + answer, 1)
        }
        Part::BinViews => (bin_of(view.confidence, cells), 1),
        Part::BinConfidence => (bin_of(view.confidence, cells), steps_of(view.confidence, STEPS)),
        Part::BinCorrect => (bin_of(view.confidence, cells), u64::from(view.correct)),
        Part::Histogram => (truth * (cells / 2) + bin_of(view.positive, cells / 2), 1),
        Part::GroupConfusion => {
            let group = usize::from(details.group?);
            (4 * group + 2 * truth + usize::from(view.flagged), 1)
        }
        Part::Drift => match view.answer {
            Some(answer) => (usize::from(answer), 1),
            None => (bin_of(view.place, cells), 1),
        },
        Part::InputDrift => (usize::from(view.outlying?), 1),
        _ => return None,
    })
}

/// A number in 0..1 (clamped) in steps, rounded half up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the steps; what is not a number saturates to zero"
)]
pub(super) fn steps_of(value: f64, steps: u32) -> u64 {
    libm::floor(value.clamp(0.0, 1.0) * f64::from(steps) + 0.5) as u64
}

/// The bin of a number in 0..1, the last one closed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the bins; what is not a number saturates to zero"
)]
fn bin_of(value: f64, bins: usize) -> usize {
    (libm::floor(value.clamp(0.0, 1.0) * bins as f64) as usize).min(bins.saturating_sub(1))
}
