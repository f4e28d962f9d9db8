//! Watches the drift of what is served: takes numbers out of requests and answers, and compares them with the
//! reference that the release came with (`drift.json`).
//!
//! The numbers say something about the owner's data, so they stay here: the owner sees them with
//! `fieldmark ps` and on the server's own page, never on public pages. What leaves is the private statistics
//! `drift` and `calibration-bins`. Formulas and thresholds are those of `fieldmark_fl::drift`.

mod features;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fieldmark_fl::drift::{Finding, Reference, Watch};
use fieldmark_serving::{Answered, Observer, Parameters, TensorSpec};

pub use features::Features;

/// Most rows of one request that are looked at; the first ones stand for the others.
const ROWS_MAX: usize = 256;

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
