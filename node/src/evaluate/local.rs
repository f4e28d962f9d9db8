//! Local scores of releases on a private dataset: nothing leaves, no budget is spent.

use std::collections::BTreeMap;

use fieldmark_fl::interval::{Agreement, view_correlation};
use fieldmark_node_core::io::{CommandError, Dataset};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::task::Extra;
use serde_json::{Value, json};

use super::judge::Question;
use super::{find, run};
use crate::handle::NodeHandle;

/// Local scores by model and slice, and how much the views of a record agree where every record has all of them.
pub(crate) async fn local(
    node: &NodeHandle,
    releases: &[RecordId],
    dataset: &str,
) -> Result<Value, CommandError> {
    let data = find(node, dataset)?;
    let extra = Extra::default();
    let question = Question {
        slices: &data.slices,
        extra: &extra,
    };
    let mut scores = vec![Agreement::default(); releases.len()];
    run(node, releases, &data, &question, |outcomes| {
        for outcome in outcomes {
            for (model, views) in scores.iter_mut().zip(&outcome.correct) {
                model.add(views);
            }
        }
        Ok(())
    })
    .await?;
    let records = scores.first().map_or(0, Agreement::records);
    let mut models = Vec::with_capacity(releases.len());
    for (id, model) in releases.iter().zip(&scores) {
        let release = node.runners.release(*id)?;
        let slices = rates(&data, model);
        let mean = slices.values().sum::<f64>() / slices.len().max(1) as f64;
        let name = format!("{}@{}", release.name, release.version);
        models.push(json!({"release": id, "name": name, "score": mean, "slices": slices}));
    }
    let complete = data.slice_records.iter().all(|present| *present == records);
    let agreement = view_correlation(&scores).filter(|_| complete);
    Ok(json!({
        "dataset": data.name,
        "records": records,
        "models": models,
        "view_correlation": agreement,
    }))
}

/// The part that was right, by slice. Records that are absent from a slice do not count in it; notes of old have
/// every record everywhere.
fn rates<'d>(data: &'d Dataset, model: &Agreement) -> BTreeMap<&'d String, f64> {
    let rate = |at: usize| {
        let present = data.slice_records.get(at).copied().unwrap_or(model.records());
        let right = model.right().get(at).copied().unwrap_or(0);
        right as f64 / present.max(1) as f64
    };
    data.slices.iter().zip((0..data.slices.len()).map(rate)).collect()
}
