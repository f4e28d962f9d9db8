//! Recurring feedback windows: taking part, and what entered each.

use axum::Json;
use axum::extract::State;
use fieldmark_node_core::contributor;
use fieldmark_node_core::feedback::{self, Enrolment};
use fieldmark_node_core::io::{Command, SourceBudget};
use fieldmark_node_core::served;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::machine::{Read, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::challenges;
use super::extract::{Body, Path};
use super::failure::Failure;
use crate::handle::NodeHandle;

/// The budget of what a release serves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enrol {
    epsilon: Option<f64>,
    delta: Option<f64>,
}

/// `POST challenges/{ref}/enrol`
pub(super) async fn enrol(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
    Body(Enrol { epsilon, delta }): Body<Enrol>,
) -> Result<Json<Value>, Failure> {
    handle.refresh_trust().await?;
    let task = super::read(&handle, move |store| {
        Ok(challenges::find(store, &reference)?.task.id)
    })
    .await?;
    let budget = SourceBudget {
        epsilon,
        delta,
        order: None,
    };
    let command = Command::Enrol { task, budget };
    handle.command(command).await?;
    Ok(Json(json!({ "enrolled": task })))
}

/// What entered one window.
#[derive(Debug, Serialize)]
struct Filled {
    series: String,
    task: RecordId,
    window: u64,
    /// Predictions that entered.
    records: usize,
    /// Those with a truth; the others are reported as unlabelled.
    labelled: usize,
    /// How far the report has come.
    state: String,
}

/// Series and windows of this node.
#[derive(Debug, Serialize)]
pub(super) struct Windows {
    series: Vec<Enrolment>,
    windows: Vec<Filled>,
}

/// `GET windows`
pub(super) async fn list(State(handle): State<NodeHandle>) -> Result<Json<Windows>, Failure> {
    super::read(&handle, |store| {
        let series = feedback::enrolments(store)?;
        let mut filled = Vec::new();
        for contribution in contributor::contributions(store)? {
            let of = |enrolment: &&Enrolment| enrolment.dataset == contribution.dataset;
            if let Some(enrolment) = series.iter().find(of) {
                filled.push(window(store, &contribution, enrolment)?);
            }
        }
        Ok(Json(Windows {
            series,
            windows: filled,
        }))
    })
    .await
}

fn window(
    store: &dyn Read,
    contribution: &contributor::Contribution,
    enrolment: &Enrolment,
) -> Result<Filled, StoreError> {
    let members = feedback::members(store, contribution.batch())?;
    let mut labelled = 0;
    for id in &members {
        let kept = served::prediction(store, id)?;
        labelled += usize::from(kept.is_some_and(|kept| kept.reported_truth().is_some()));
    }
    Ok(Filled {
        series: enrolment.name.clone(),
        task: contribution.task,
        window: contribution.window,
        records: members.len(),
        labelled,
        state: contribution.name().to_owned(),
    })
}
