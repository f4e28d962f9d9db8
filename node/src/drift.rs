//! Watches the drift of what is served: takes numbers out of requests and answers, and compares them with the
//! reference that the release came with (`drift.json`).
//!
//! The numbers say something about the owner's data, so they stay here: the owner sees them with
//! `fieldmark ps` and on the server's own page, never on public pages. What leaves is the private statistics
//! `drift` and `calibration-bins`. Formulas and thresholds are those of `fieldmark_fl::drift`.

mod features;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fieldmark_fl::drift::{Calibration, CalibrationFinding, Finding, Reference, Watch};
use fieldmark_node_core::served::Prediction;
use fieldmark_protocol::manifest::{MANIFEST_FILE, Manifest};
use fieldmark_protocol::release::Release;
use fieldmark_serving::{Answered, Observer, Parameters, TensorSpec};

use crate::runners::Runners;
pub use features::Features;

/// Most rows of one request that are looked at; the first ones stand for the others.
const ROWS_MAX: usize = 256;
/// Largest manifest or reference that is read.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The reference that a release came with; nothing where it has none that can be read here.
#[must_use]
pub fn reference_of(runners: &Runners, release: &Release) -> Option<Reference> {
    let text = |path: &str| {
        let file = runners.file_of(release, path)?;
        let small = std::fs::metadata(&file).is_ok_and(|found| found.len() <= TEXT_BYTES_MAX);
        small.then(|| std::fs::read_to_string(file).ok())?
    };
    let manifest = Manifest::parse(&text(MANIFEST_FILE)?).ok()?;
    Reference::parse(&text(&manifest.drift?.file)?).ok()
}

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

/// Watches every model that came with a reference.
#[derive(Debug, Default)]
pub struct DriftWatch {
    /// By model and version.
    watched: Mutex<BTreeMap<(String, String), Watched>>,
}

#[derive(Debug)]
struct Watched {
    features: Features,
    watch: Watch,
}

impl DriftWatch {
    /// Watches a version from now on, in place of what was counted of it before. A feature of the reference
    /// that the model's tensors do not have is never seen.
    pub fn watch(
        &self,
        model: &str,
        version: &str,
        reference: Reference,
        of: (&[TensorSpec], &[TensorSpec], usize),
    ) {
        let (inputs, outputs, labels) = of;
        let names = reference.features.iter().map(|feature| feature.name.clone());
        let watched = Watched {
            features: Features::new(inputs, outputs, labels).selected(&names.collect::<Vec<_>>()),
            watch: Watch::new(reference),
        };
        self.lock()
            .insert((model.to_owned(), version.to_owned()), watched);
    }

    /// How each feature of a version stands; nothing for one that came without a reference.
    #[must_use]
    pub fn findings(&self, model: &str, version: &str) -> Vec<Finding> {
        let watched = self.lock();
        let found = watched.get(&(model.to_owned(), version.to_owned()));
        found.map(|watched| watched.watch.findings()).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for DriftWatch {
    fn answered(&self, answered: &Answered<'_>) -> Parameters {
        let key = (answered.model.to_owned(), answered.version.to_owned());
        if let Some(watched) = self.lock().get_mut(&key) {
            for row in watched.features.rows(answered.inputs, answered.outputs, ROWS_MAX) {
                watched.watch.add(&row);
            }
        }
        Parameters::new()
    }

    fn notes(&self, model: &str, version: &str) -> serde_json::Value {
        match self.findings(model, version) {
            none if none.is_empty() => serde_json::Value::Null,
            drift => serde_json::json!({ "drift": drift }),
        }
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
