//! Feedback from real use: keeps what models answered, takes the truth, and serves the labelling page.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::{Html, IntoResponse, Response};
use fieldmark_fl::drift::CalibrationFinding;
use fieldmark_ledger::catalogue;
use fieldmark_node_core::io::{Command, Reply};
use fieldmark_node_core::served::view::{self, Order, Tally};
use fieldmark_node_core::served::{Answer, Prediction};
use fieldmark_pages as pages;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::release::Release;
use fieldmark_protocol::{RecordId, ServedId};
use fieldmark_supervisor::{Tensor, tensor_values_f32};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::extract::{Body, Query};
use super::failure::Failure;
use crate::drift;
use crate::handle::NodeHandle;
use crate::runners::Inferred;

/// Predictions of one answer, when none is asked for.
const LIMIT: usize = 50;
/// Most predictions of one answer.
const LIMIT_MAX: usize = 1_000;

/// Keeps the answers of a classifier and returns their ids, one for each row; none for other models.
pub(super) async fn keep(
    handle: &NodeHandle,
    (id, release): (RecordId, &Release),
    inputs: &[Tensor],
    inferred: &Inferred,
) -> Result<Vec<ServedId>, Failure> {
    let answers = answers(release, inputs, inferred).unwrap_or_default();
    if answers.is_empty() {
        return Ok(Vec::new());
    }
    let command = Command::Serve { release: id, answers };
    match handle.command(command).await? {
        Reply::Served(ids) => Ok(ids),
        _ => Err(super::models::unexpected()),
    }
}

/// One answer for each row; `None` when the model gave no probability for each of its labels.
fn answers(release: &Release, inputs: &[Tensor], inferred: &Inferred) -> Option<Vec<Answer>> {
    let classes = release.labels.len();
    let scores = tensor_values_f32(inferred.outputs.first()?).ok()?;
    if classes == 0 || scores.is_empty() || scores.len() % classes != 0 {
        return None;
    }
    let rows = scores.len() / classes;
    let probabilities: Vec<Vec<f32>> = scores.chunks_exact(classes).map(softmax).collect::<Option<_>>()?;
    let answer = |(row, probabilities)| Answer {
        input: input_of(inputs, row, rows),
        probabilities,
        outlying: inferred.bins.get(row).copied().flatten(),
    };
    Some(probabilities.into_iter().enumerate().map(answer).collect())
}

/// Probabilities from scores; `None` when one is no number.
fn softmax(scores: &[f32]) -> Option<Vec<f32>> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let total: f32 = weights.iter().sum();
    (total.is_finite() && total > 0.0).then(|| weights.iter().map(|weight| weight / total).collect())
}

/// The numbers or texts of one row, by input name.
fn input_of(inputs: &[Tensor], row: usize, rows: usize) -> Value {
    let of = |tensor: &Tensor| {
        if let Some(text) = tensor.texts.get(row).filter(|_| tensor.texts.len() == rows) {
            let text = String::from_utf8_lossy(text).into_owned();
            return Some((tensor.name.clone(), json!(text)));
        }
        let values = tensor_values_f32(tensor).ok()?;
        let width = values.len().checked_div(rows)?;
        let part = values.chunks_exact(width.max(1)).nth(row)?;
        Some((tensor.name.clone(), json!(part)))
    };
    Value::Object(inputs.iter().filter_map(of).collect())
}

/// The truth about a prediction.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feedback {
    request_id: ServedId,
    truth: String,
    /// Given in the least-certain-first order: kept for the owner, never reported.
    #[serde(default)]
    local: bool,
}

/// `POST feedback`
pub(super) async fn feedback(
    State(handle): State<NodeHandle>,
    Body(feedback): Body<Feedback>,
) -> Result<Json<Prediction>, Failure> {
    let command = Command::Label {
        request_id: feedback.request_id,
        label: feedback.truth,
        local: feedback.local,
    };
    match handle.command(command).await? {
        Reply::Labelled(kept) => Ok(Json(*kept)),
        _ => Err(super::models::unexpected()),
    }
}

/// What is asked of the served predictions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// A release; all by default.
    release: Option<String>,
    #[serde(default)]
    order: Order,
    limit: Option<usize>,
}

/// A prediction with the labels it may get.
#[derive(Debug, Serialize)]
struct Waiting {
    #[serde(flatten)]
    kept: Prediction,
    name: String,
    labels: Vec<String>,
}

/// A release's tally.
#[derive(Debug, Serialize)]
struct Named {
    release: RecordId,
    name: String,
    #[serde(flatten)]
    tally: Tally,
    /// Whether confidence still says how often it is right.
    calibration: CalibrationFinding,
}

/// Predictions that wait for a truth, and how many have one.
#[derive(Debug, Serialize)]
pub(super) struct Served {
    waiting: Vec<Waiting>,
    tallies: Vec<Named>,
}

/// `GET served`
pub(super) async fn list(
    State(handle): State<NodeHandle>,
    Query(ask): Query<Ask>,
) -> Result<Json<Served>, Failure> {
    let limit = ask.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let runners = std::sync::Arc::clone(&handle.runners);
    super::read(&handle, move |store| {
        let release = ask
            .release
            .map(|text| catalogue::resolve(store, &text))
            .transpose()?;
        let mut waiting = Vec::new();
        for kept in view::waiting(store, release.as_ref(), ask.order, limit)? {
            let (name, labels) = about(store, &kept.release)?;
            waiting.push(Waiting { kept, name, labels });
        }
        let mut tallies = Vec::new();
        for (release, tally) in view::tallies(store)? {
            let (name, _) = about(store, &release)?;
            let reference = runners
                .release(release)
                .ok()
                .and_then(|of| runners.reference(&of));
            let served = view::predictions(store, Some(&release))?;
            tallies.push(Named {
                release,
                name,
                tally,
                calibration: drift::calibration(&served, reference.as_ref()),
            });
        }
        Ok(Json(Served { waiting, tallies }))
    })
    .await
}

/// Name and labels of a release.
fn about(store: &dyn Read, release: &RecordId) -> Result<(String, Vec<String>), Failure> {
    let view = catalogue::release(store, release)?;
    Ok(view.map_or_else(
        || (release.short(), Vec::new()),
        |view| (view.label(), view.release.labels),
    ))
}

/// What is to be forgotten.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forget {
    before_ms: u64,
}

/// `POST served/forget`
pub(super) async fn forget(
    State(handle): State<NodeHandle>,
    Body(Forget { before_ms }): Body<Forget>,
) -> Result<Json<Value>, Failure> {
    match handle.command(Command::Forget { before_ms }).await? {
        Reply::Forgotten(count) => Ok(Json(json!({ "forgotten": count }))),
        _ => Err(super::models::unexpected()),
    }
}

/// `GET /label`: the page, without any data.
pub(super) async fn page() -> Response {
    let mut response = Html(pages::label().into_string()).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&pages::label_content_security_policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
