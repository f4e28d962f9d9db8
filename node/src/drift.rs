//! Watches the drift of what is served: takes numbers out of requests and answers, and compares them with the
//! reference that the release came with (`drift.json`).
//!
//! The numbers say something about the owner's data, so they stay here: the owner sees them with
//! `fieldmark ps` and on the server's own page, never on public pages. What leaves is the private statistics
//! `drift`, `input-drift` and `calibration-bins`. Formulas and thresholds are those of `fieldmark_fl::drift`.

mod features;

use std::sync::{Mutex, MutexGuard, PoisonError};

use fieldmark_fl::drift::{Calibration, CalibrationFinding, Finding, Outlyingness, Reference, Watch};
use fieldmark_node_core::served::Prediction;
use fieldmark_serving::{Observer, Tensor};

pub use features::{Features, parts};

/// Most rows of one request that are looked at; the first ones stand for the others.
const ROWS_MAX: usize = 256;

/// How often confident answers of a release were right, as far as their truths are known, against its reference or,
/// without one, against the confidence itself. Truths given in the least-certain-first order are left out: that order
/// would bias them.
#[must_use]
pub fn calibration(served: &[Prediction], reference: Option<&Reference>) -> CalibrationFinding {
    let mut live = Calibration::default();
    for kept in served {
        if let Some(truth) = kept.reported_truth() {
            live.add(kept.certainty().into(), truth.label == kept.answer);
        }
    }
    let known = reference.and_then(|reference| reference.calibration.as_ref());
    fieldmark_fl::drift::calibration::compare(&live, known)
}

/// Finds the bins of a release's reference that the outlyingness of inputs falls into.
#[derive(Debug)]
pub struct InputBins {
    features: Features,
    outlyingness: Outlyingness,
}

impl InputBins {
    /// By a reference and a model's features; nothing where no feature of the reference is one of its inputs.
    #[must_use]
    pub fn new(reference: &Reference, features: &Features) -> Option<Self> {
        let outlyingness = Outlyingness::new(reference, |name| features.is_input(name))?;
        Some(Self {
            features: features.selected(&outlyingness.names()),
            outlyingness,
        })
    }

    /// The bin of each of `rows` rows, from their tensors or, if those are large ([`parts`]), a part of them; nothing for
    /// a row that has none.
    #[must_use]
    pub fn of(&self, inputs: &[Tensor], rows: usize) -> Vec<Option<u16>> {
        let found = self.features.rows(inputs, &[], rows);
        let mut bins: Vec<Option<u16>> = found.iter().map(|row| self.outlyingness.bin(row)).collect();
        bins.resize(rows, None);
        bins
    }
}

/// Watches one version that is served.
#[derive(Debug)]
pub struct DriftWatch {
    features: Features,
    watch: Mutex<Watch>,
}

impl DriftWatch {
    /// Compares what comes from now on with a reference. A feature of the reference that the model's tensors do
    /// not have is never seen.
    #[must_use]
    pub fn new(reference: Reference, features: &Features) -> Self {
        let names: Vec<String> = reference
            .features
            .iter()
            .map(|feature| feature.name.clone())
            .collect();
        Self {
            features: features.selected(&names),
            watch: Mutex::new(Watch::new(reference)),
        }
    }

    /// How each feature stands.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.lock().findings()
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for DriftWatch {
    fn answered(&self, inputs: &[Tensor], outputs: &[Tensor]) {
        let rows = self.features.rows(inputs, outputs, ROWS_MAX);
        let mut watch = self.lock();
        rows.iter().for_each(|row| watch.add(row));
    }

    fn notes(&self) -> serde_json::Value {
        serde_json::json!({ "drift": self.findings() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_node_core::served::Truth;
    use fieldmark_node_core::served::draw::Rate;
    use fieldmark_protocol::{RecordId, ServedId};

    fn served(number: u8, right: bool, local: bool) -> Prediction {
        let label = if right { "cat" } else { "dog" };
        Prediction {
            request_id: ServedId::new([number; 16]),
            release: RecordId::new([1; 32]),
            at_ms: 0,
            answer: "cat".into(),
            probabilities: vec![0.9, 0.1],
            input: None,
            outlying: None,
            rate: Rate::ALL,
            counted: true,
            truth: Some(Truth {
                label: label.into(),
                at_ms: 0,
                local,
            }),
        }
    }

    #[test]
    fn confident_answers_that_are_wrong_half_of_the_time_have_drifted() {
        let wrong: Vec<Prediction> = (0..200).map(|at| served(at, at % 2 == 0, false)).collect();
        let found = calibration(&wrong, None);
        assert!(found.drifted && found.records == 200, "{found:?}");
        let honest: Vec<Prediction> = (0..200).map(|at| served(at, at % 10 != 0, false)).collect();
        assert!(!calibration(&honest, None).drifted);
        let chosen: Vec<Prediction> = (0..200).map(|at| served(at, false, true)).collect();
        assert_eq!(calibration(&chosen, None).records, 0);
    }
}
