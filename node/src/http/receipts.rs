//! What a contributor can show for its report: the leader's receipt and the proof that it was counted.

use axum::Json;
use axum::extract::State;
use fieldmark_node_core::contributor::{self, Proof};
use serde::Serialize;

use super::challenges::find;
use super::extract::Path;
use super::failure::Failure;
use crate::handle::NodeHandle;

/// `GET challenges/{ref}/receipt`
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// How far this node's contribution is.
    state: String,
    /// More for people.
    detail: String,
    #[serde(flatten)]
    proof: Proof,
}

pub(super) async fn receipt(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
) -> Result<Json<Shown>, Failure> {
    super::read(&handle, move |store| {
        let found = find(store, &reference)?;
        let none = || Failure::not_found(format!("this node has made no report for '{reference}'"));
        let proof = contributor::proof(store, &found.task.task, &found.batch)?.ok_or_else(none)?;
        let contribution = contributor::contributions(store)?
            .into_iter()
            .find(|contribution| contribution.task == found.task.id)
            .ok_or_else(none)?;
        Ok(Json(Shown {
            state: contribution.name().to_owned(),
            detail: contribution.detail,
            proof,
        }))
    })
    .await
}
