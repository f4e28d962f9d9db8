//! Measures a feedback window: the predictions that entered it, each one record. Those without a truth have
//! no view, so that they count as records and in no slice: as unlabelled. No model runs again.

use fieldmark_fl::schema::{Details, Measurement, RecordOutcome, Schema, SchemaParams, ViewOutcome};
use fieldmark_ledger::catalogue;
use fieldmark_node_core::io::CommandError;
use fieldmark_node_core::{feedback, served};
use fieldmark_protocol::ServedId;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::task::Extra;

use super::storage;

/// What entered the window of a batch; empty for a batch that is none.
pub(crate) fn members(store: &dyn Read, batch: BatchId) -> Result<Vec<ServedId>, CommandError> {
    feedback::members(store, batch).map_err(storage)
}

/// The values of the window's statistics.
pub(crate) fn measure(
    store: &dyn Read,
    members: &[ServedId],
    slices: usize,
    (schema, extra): (&SchemaParams, &Extra),
) -> Result<Vec<u64>, CommandError> {
    let invalid = |e: &dyn std::fmt::Display| CommandError::new("invalid", e.to_string());
    let schema = Schema::new(schema).map_err(|e| invalid(&e))?;
    let mut sums = vec![0; schema.len()];
    for (at, id) in members.iter().enumerate() {
        let outcome = outcome(store, id, slices, extra)?;
        schema.add(at, &outcome, &mut sums).map_err(|e| invalid(&e))?;
    }
    let measurement = Measurement::new(&schema, sums).map_err(|e| invalid(&e))?;
    Ok(measurement.values().to_vec())
}

fn outcome(
    store: &dyn Read,
    id: &ServedId,
    slices: usize,
    extra: &Extra,
) -> Result<RecordOutcome, CommandError> {
    let mut details = Details {
        views: vec![vec![None; slices]],
        ..Details::default()
    };
    if let Some(kept) = served::prediction(store, id).map_err(storage)?
        && let Some(truth) = kept.reported_truth()
        && let Some(view) = catalogue::release(store, &kept.release).map_err(storage)?
    {
        let labels = &view.release.labels;
        let classes = if extra.classes.is_empty() {
            labels
        } else {
            &extra.classes
        };
        let index = |class: &String| {
            classes
                .iter()
                .position(|c| c == class)
                .and_then(|at| u16::try_from(at).ok())
        };
        // The softmax of these is the probabilities again, in the order of the task's classes.
        let logit = |class: &String| {
            let at = labels.iter().position(|label| label == class);
            at.and_then(|at| kept.probabilities.get(at))
                .map_or(f32::NEG_INFINITY, |p| p.ln())
        };
        let logits: Vec<f32> = classes.iter().map(logit).collect();
        details.class = index(&truth.label);
        details.positive = extra.positive.map(|positive| details.class == Some(positive));
        let made = ViewOutcome::of_logits(&logits, details.class, extra.positive);
        let made = made.map(|view| ViewOutcome {
            outlying: kept.outlying,
            ..view
        });
        if let Some(first) = details.views.first_mut().and_then(|views| views.first_mut()) {
            *first = made;
        }
    }
    Ok(RecordOutcome::detailed(details))
}
