//! Metrics beyond scores on a board: names for the numbers that `fieldmark_fl::metrics` gives.

use fieldmark_fl::interval::{Micro, Release};
use fieldmark_fl::metrics::{self, Context, Measured, MetricValue};
use fieldmark_fl::schema::Schema;
use fieldmark_ledger::board::BoardInputs;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::release::Release as ReleaseManifest;
use fieldmark_protocol::task::Task;
use serde::Serialize;

use super::Fixed;

/// A metric of a model, with its 95% intervals; absent numbers mean that it cannot be estimated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricCell {
    /// The metric's name, as in the guide.
    pub metric: &'static str,
    /// Its name on a page.
    pub label: &'static str,
    /// The slice it is of; absent for all together.
    pub slice: Option<String>,
    /// The class it is of; absent for all together.
    pub class: Option<String>,
    /// The value.
    pub value: Option<Fixed>,
    /// Lower end, sampling error and noise.
    pub lo: Option<Fixed>,
    /// Upper end, sampling error and noise.
    pub hi: Option<Fixed>,
    /// Lower end of the interval with the committee's noise alone.
    pub noise_lo: Option<Fixed>,
    /// Its upper end.
    pub noise_hi: Option<Fixed>,
    /// Whether a worst case stands in for something not measured.
    pub conservative: bool,
    /// Why there is no value.
    pub reason: Option<&'static str>,
}

impl MetricCell {
    /// Its name as a column: `metric:NAME`, then the slice and the class it is of.
    #[must_use]
    pub fn column(&self) -> String {
        let parts = [Some(self.metric), self.slice.as_deref(), self.class.as_deref()];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        format!("metric:{}", parts.join(":"))
    }
}

/// The metrics of every model, in the order of the task's releases; none if the sum cannot be read,
/// which the table of scores then says.
pub(super) fn of_models(inputs: &BoardInputs, schema: &Schema, sum: &[i128]) -> Vec<Vec<MetricCell>> {
    let task = &inputs.task.task;
    let noises = crate::params::noises(task);
    let Ok(release) = Release::new(schema, sum, task.privacy.sigma_squared, noises) else {
        return Vec::new();
    };
    let context = context(inputs);
    let cells = |model| {
        let found = metrics::metrics(&release, model, &context);
        found.iter().map(|measured| cell(measured, task)).collect()
    };
    (0..schema.params().models).map(cells).collect()
}

/// What the metrics of a board need to know besides its sum.
pub(crate) fn context(inputs: &BoardInputs) -> Context {
    let task = &inputs.task.task;
    let clean = &inputs.challenge.challenge.clean_slice;
    let clean = task.statistics.slices.iter().position(|slice| slice == clean);
    let statistics = &task.statistics;
    let each = |of: &dyn Fn(&ReleaseManifest) -> Vec<f64>| {
        let release = |id: &RecordId| inputs.releases.iter().find(|view| view.id == *id);
        let one = |id: &RecordId| release(id).map(|view| of(&view.release)).unwrap_or_default();
        statistics.releases.iter().map(one).collect()
    };
    Context {
        clean_slice: clean.and_then(|at| u16::try_from(at).ok()),
        target_range: statistics.extra.target_range.map(|range| range.ends()),
        references: each(&|release| reference(release, &statistics.extra.classes)),
        input_references: each(&|release| weights(&release.input_reference)),
    }
}

fn weights(of: &[u32]) -> Vec<f64> {
    of.iter().map(|weight| f64::from(*weight)).collect()
}

/// A release's reference distribution in the order of the task's classes, or bin by bin.
fn reference(release: &ReleaseManifest, classes: &[String]) -> Vec<f64> {
    if classes.is_empty() {
        return weights(&release.reference);
    }
    let weight = |class: &String| {
        let at = release.labels.iter().position(|label| label == class)?;
        release.reference.get(at).map(|weight| f64::from(*weight))
    };
    // A class without a weight leaves no reference rather than a wrong one.
    classes
        .iter()
        .map(weight)
        .collect::<Option<_>>()
        .unwrap_or_default()
}

fn cell(measured: &Measured, task: &Task) -> MetricCell {
    let statistics = &task.statistics;
    let words = measured.metric.describe();
    let named = |names: &[String], at: Option<u16>| names.get(usize::from(at?)).cloned();
    let fixed = |micro: Option<Micro>| micro.map(Fixed);
    let (full, noise) = (measured.value.full(), measured.value.noise());
    let (conservative, reason) = match measured.value {
        MetricValue::Estimated { conservative, .. } => (conservative, None),
        MetricValue::NotEstimable { reason } => (false, Some(reason.words())),
        _ => (false, None),
    };
    MetricCell {
        metric: words.name,
        label: words.label,
        slice: named(&statistics.slices, measured.slice),
        class: named(&statistics.extra.classes, measured.class),
        value: fixed(measured.value.value()),
        lo: fixed(full.map(|i| i.low)),
        hi: fixed(full.map(|i| i.high)),
        noise_lo: fixed(noise.map(|i| i.low)),
        noise_hi: fixed(noise.map(|i| i.high)),
        conservative,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(labels: &[&str], reference: &[u32]) -> ReleaseManifest {
        ReleaseManifest {
            name: "m".into(),
            version: "1.0.0".into(),
            runtime: "torchscript".into(),
            artifacts: Vec::new(),
            entry: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            license: String::new(),
            tags: Vec::new(),
            task: String::new(),
            summary: String::new(),
            parent: None,
            reference: reference.to_vec(),
            input_reference: Vec::new(),
        }
    }

    #[test]
    fn a_reference_is_read_in_the_task_s_order_of_classes() {
        let classes = ["no".to_owned(), "yes".to_owned()];
        assert_eq!(reference(&release(&["yes", "no"], &[3, 7]), &classes), [7.0, 3.0]);
        assert!(reference(&release(&["yes", "no"], &[]), &classes).is_empty());
        assert!(reference(&release(&["yes"], &[3]), &classes).is_empty());
        assert_eq!(reference(&release(&[], &[1, 2]), &[]), [1.0, 2.0]);
    }
}
