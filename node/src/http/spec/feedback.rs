//! A feedback window in a challenge's specification: one model, in real use, again and again.

use fieldmark_protocol::task::Recurrence;
use serde::{Deserialize, Serialize};

use super::{ChallengeSpec, SpecError};
use fieldmark_node_core::feedback::FIELD_SLICE;

/// How the window comes again (`[feedback]`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackSpec {
    /// From one opening to the next, in seconds; at least the window's length.
    pub period_seconds: u64,
    /// How many windows there are in all.
    pub windows: u32,
    /// Which share of the served predictions is drawn for the field score, above 0, at most 1.
    pub rate: f64,
}

impl FeedbackSpec {
    /// The same in a task, which checks the bounds.
    pub(super) fn recurrence(&self) -> Recurrence {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to 2000000; what is no number becomes 0, which the task refuses"
        )]
        let rate_ppm = (self.rate.clamp(0.0, 2.0) * 1e6).round() as u32;
        Recurrence {
            period_ms: self.period_seconds.saturating_mul(1_000),
            windows: self.windows,
            rate_ppm,
        }
    }
}

/// Whether a specification with `[feedback]` is about one model in its one field slice.
pub(super) fn check(spec: &ChallengeSpec) -> Result<(), SpecError> {
    let field = matches!(spec.slices.as_slice(), [slice] if slice.name == FIELD_SLICE);
    if spec.feedback.is_some() && (spec.models.len() != 1 || !field) {
        return Err(SpecError::Feedback);
    }
    Ok(())
}
