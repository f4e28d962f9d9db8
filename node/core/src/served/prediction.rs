//! What is kept of real use: an answer as it was given, whether it counts, and the truth about it.

use fieldmark_protocol::{RecordId, ServedId};
use serde::{Deserialize, Serialize};

use super::draw::Rate;

/// What the owner decided about served predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Most predictions kept with their inputs; 0 keeps nothing. Each costs its input (an 8×8 image takes
    /// about 1 KiB) and 200 bytes.
    pub inputs_max: u64,
    /// Rate of releases for which none is declared.
    pub rate: Rate,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            inputs_max: 10_000,
            rate: Rate::ALL,
        }
    }
}

/// One answer of a model, as the shell hands it over.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was asked, for people to look at.
    pub input: serde_json::Value,
    /// Probability of each label of the release, in its order.
    pub probabilities: Vec<f32>,
    /// The bin of the release's reference that the outlyingness of the input falls into, where there is one.
    pub outlying: Option<u16>,
}

/// The truth about a prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// A label of the release.
    pub label: String,
    /// When it was given, in milliseconds since 1970.
    pub at_ms: u64,
    /// Given in the least-certain-first order, so that it never enters a report.
    pub local: bool,
}

/// A served prediction as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Its id, which the caller got with the answer.
    pub request_id: ServedId,
    /// The release that answered.
    pub release: RecordId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The label it gave.
    pub answer: String,
    /// Probability of each label of the release, in its order.
    pub probabilities: Vec<f32>,
    /// What was asked; absent once pruned or where it was too large.
    pub input: Option<serde_json::Value>,
    /// The bin of the release's reference that the outlyingness of the input fell into, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlying: Option<u16>,
    /// The rate declared when it was served.
    pub rate: Rate,
    /// Whether it counts for the field score.
    pub counted: bool,
    /// The truth, once given.
    pub truth: Option<Truth>,
}

impl Prediction {
    /// The truth, if it may enter a report.
    #[must_use]
    pub fn reported_truth(&self) -> Option<&Truth> {
        self.truth.as_ref().filter(|truth| !truth.local)
    }

    /// Probability of the label it gave.
    #[must_use]
    pub fn certainty(&self) -> f32 {
        self.probabilities.iter().copied().fold(0.0, f32::max)
    }

    /// Whether the answer is the truth; `None` without one.
    #[must_use]
    pub fn correct(&self) -> Option<bool> {
        self.truth.as_ref().map(|truth| truth.label == self.answer)
    }
}
