//! Running models: one request, or local scores on a dataset. Nothing of this leaves the machine. The ids in
//! an answer name the predictions it holds, for `POST feedback`.

use axum::Json;
use axum::extract::State;
use fieldmark_ledger::catalogue;
use fieldmark_package::values;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::task::RELEASES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::Body;
use super::failure::Failure;
use crate::evaluate;
use crate::handle::NodeHandle;

/// One request to a model.
#[derive(Debug, Deserialize)]
pub(super) struct Infer {
    release: String,
    /// Nested arrays by input name, or tensor objects of the Open Inference Protocol.
    inputs: Value,
}

/// `POST infer`
pub(super) async fn infer(
    State(handle): State<NodeHandle>,
    Body(infer): Body<Infer>,
) -> Result<Json<Value>, Failure> {
    let Infer { release, inputs } = infer;
    let (id, view, tensors) = super::read(&handle, move |store| {
        let id = catalogue::resolve(store, &release)?;
        let view = catalogue::release(store, &id)?;
        let view =
            view.ok_or_else(|| Failure::not_found(format!("no release {} is known here", id.short())))?;
        let specs = &view.release.inputs;
        let tensors = match inputs.as_array() {
            Some(list) => list
                .iter()
                .map(|t| values::from_protocol(t, specs))
                .collect::<Result<_, _>>()?,
            None => values::from_json(&inputs, specs)?,
        };
        Ok((id, view, tensors))
    })
    .await?;
    let inferred = handle.infer(id, tensors.clone()).await?;
    let request_ids = super::served::keep(&handle, (id, &view.release), &tensors, &inferred).await?;
    let outputs: Vec<Value> = inferred
        .outputs
        .iter()
        .map(values::to_protocol)
        .collect::<Result<_, _>>()?;
    let name = view.label();
    Ok(Json(
        json!({ "release": id, "name": name, "outputs": outputs, "request_ids": request_ids }),
    ))
}

/// Models to compare.
#[derive(Debug, Deserialize)]
pub(super) struct Evaluate {
    releases: Vec<String>,
    dataset: String,
}

/// `POST evaluate`
pub(super) async fn evaluate(
    State(handle): State<NodeHandle>,
    Body(evaluate): Body<Evaluate>,
) -> Result<Json<Value>, Failure> {
    let Evaluate { releases, dataset } = evaluate;
    if releases.is_empty() || releases.len() > RELEASES_MAX {
        let found = releases.len();
        return Err(Failure::invalid(format!(
            "1 to {RELEASES_MAX} releases are compared, {found} are named"
        )));
    }
    let ids = super::read(&handle, move |store| {
        let id = |reference: &String| catalogue::resolve(store, reference);
        Ok(releases.iter().map(id).collect::<Result<Vec<RecordId>, _>>()?)
    })
    .await?;
    Ok(Json(Box::pin(evaluate::local(&handle, &ids, &dataset)).await?))
}
