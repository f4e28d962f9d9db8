//! What the entries of one record are made of: its scores in steps by model and slice, their totals, and the
//! views that are there.

use super::super::block::{SQUARE_STEPS, score_steps};
use super::super::outcome::{Details, RecordOutcome, ViewOutcome};
use super::super::{CONFIDENCE_MAX, EntryKind, Schema};
use super::MeasureError;
use super::tables::steps_of;

/// Per model, what the entries of one record are made of.
pub(super) struct Summary {
    /// Steps by model and slice.
    scores: Vec<Vec<u64>>,
    /// Sum of a model's steps over the slices.
    totals: Vec<u64>,
    confidences: Vec<u64>,
    /// Slices in which the record has views.
    present: Vec<bool>,
    /// Most that a total can be, where squares are of quantised means; 0 where they are exact.
    total_max: u64,
}

impl Summary {
    pub(super) fn of(schema: &Schema, record: usize, outcome: &RecordOutcome) -> Result<Self, MeasureError> {
        let params = schema.params();
        let calibration = params.statistics.calibration;
        let steps = score_steps(&params);
        let (scores, present, confidences) = match &outcome.details {
            None if schema.needs_details() => {
                return Err(MeasureError::Missing {
                    record,
                    what: "details",
                });
            }
            None => {
                schema.check_plain(record, outcome)?;
                let row = |row: &Vec<bool>| row.iter().map(|&correct| u64::from(correct)).collect();
                let scores: Vec<Vec<u64>> = outcome.correct.iter().map(row).collect();
                (scores, vec![true; schema.slices()], outcome.confidence.clone())
            }
            Some(details) => {
                let present = present(schema, record, details)?;
                let kind = params.statistics.extra.score;
                let cell = |model, slice| match details.score(kind, model, slice) {
                    Some(score) => steps_of(score, steps),
                    None => u64::from(steps / 2),
                };
                let row = |model| (0..schema.slices()).map(|slice| cell(model, slice)).collect();
                let scores = (0..schema.models()).map(row).collect();
                (scores, present, confidences(details))
            }
        };
        let exact = steps == 1;
        let total = |row: &Vec<u64>| row.iter().sum();
        Ok(Self {
            totals: scores.iter().map(total).collect(),
            scores,
            confidences: if calibration {
                confidences.iter().map(|row| quantised_mean(row)).collect()
            } else {
                Vec::new()
            },
            present,
            total_max: if exact {
                0
            } else {
                u64::from(steps) * schema.slices() as u64
            },
        })
    }

    pub(super) fn contribution(&self, outcome: &RecordOutcome, kind: EntryKind) -> u64 {
        match kind {
            EntryKind::Records => 1,
            EntryKind::Correct { model, slice } => {
                let row = self.scores.get(usize::from(model));
                row.and_then(|row| row.get(usize::from(slice)))
                    .copied()
                    .unwrap_or(0)
            }
            EntryKind::Square { model } => self.squared(self.total(model)),
            EntryKind::Difference { first, second } => {
                self.squared(self.total(first).abs_diff(self.total(second)))
            }
            EntryKind::Confidence { model } => self.confidences.get(usize::from(model)).copied().unwrap_or(0),
            EntryKind::Views { slice } => u64::from(self.present.get(usize::from(slice)) == Some(&true)),
            EntryKind::Wins { winner, loser } => {
                let details = outcome.details.as_ref();
                details.and_then(|d| d.wins(winner, loser)).unwrap_or(0)
            }
            EntryKind::Cell { .. } => 0,
        }
    }

    fn total(&self, model: u16) -> u64 {
        self.totals.get(usize::from(model)).copied().unwrap_or(0)
    }

    /// The square of a total, or of its part of the most in [`SQUARE_STEPS`], rounded half up.
    fn squared(&self, total: u64) -> u64 {
        let rounded = (2 * total * u64::from(SQUARE_STEPS) + self.total_max).checked_div(2 * self.total_max);
        rounded.unwrap_or(total).pow(2)
    }
}

/// Slices in which the record has views: all, unless the task lets views be missing. A view that
/// only some models have is refused, because its count would be wrong for the others.
fn present(schema: &Schema, record: usize, details: &Details) -> Result<Vec<bool>, MeasureError> {
    let slices = schema.slices();
    if details.views.is_empty() && details.preferred.is_some() {
        return Ok(vec![true; slices]);
    }
    schema.check_shape(record, "views", &details.views)?;
    let mut present = vec![false; slices];
    for (slice, present) in present.iter_mut().enumerate() {
        let mut lacking = (0..schema.models()).filter(|model| details.view(*model, slice).is_none());
        match lacking.next() {
            None => *present = true,
            Some(model) => {
                let none = lacking.count() + 1 == schema.models();
                if !(schema.has_missing_views() && none) {
                    return Err(MeasureError::NoView { record, model, slice });
                }
            }
        }
    }
    Ok(present)
}

/// Confidences by model and view.
fn confidences(details: &Details) -> Vec<Vec<f32>> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a confidence has single precision"
    )]
    let narrow = |view: &ViewOutcome| view.confidence as f32;
    let row = |row: &Vec<Option<ViewOutcome>>| row.iter().flatten().map(narrow).collect();
    details.views.iter().map(row).collect()
}

/// Mean of the confidences, clamped to 0..1 and rounded half up to steps of 1/[`CONFIDENCE_MAX`].
fn quantised_mean(confidences: &[f32]) -> u64 {
    let sum: f64 = confidences
        .iter()
        .map(|&confidence| f64::from(confidence.clamp(0.0, 1.0)))
        .sum();
    let steps = sum * f64::from(CONFIDENCE_MAX);
    let views = confidences.len() as f64;
    // Counting the half-way marks that were passed rounds without a float-to-integer cast.
    (0..CONFIDENCE_MAX)
        .map(|step| u64::from(steps >= (f64::from(step) + 0.5) * views))
        .sum()
}
