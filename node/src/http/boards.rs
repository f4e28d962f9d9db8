//! Boards in every format, as their readers weight the slices and whom they trust.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use fieldmark_ledger::tasks;
use fieldmark_node_core::board::{self, Board, Trend};
use fieldmark_pages::SpeedView;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::trust::TrustPolicy;
use serde::{Deserialize, Serialize};

use super::extract::{Body, Path, Query};
use super::failure::Failure;
use crate::export;
use crate::handle::NodeHandle;
use crate::speed::Speed;

/// What a board is handed out as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The bytes that are the same on every node with the same records.
    Json,
    /// One file that needs nothing else.
    Html,
    /// One line per cell.
    Csv,
    /// The same table.
    Parquet,
    /// Where every cell comes from.
    Provenance,
}

/// The reader's weights: `?w=low-light:2,blur:0`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Weighting {
    #[serde(default)]
    pub(super) w: String,
    /// Whether to add this node's own timings of the models, which are no part of the board.
    #[serde(default)]
    pub(super) speed: bool,
}

/// A board with what this node measured of its models' speed.
#[derive(Serialize)]
struct WithSpeed<'a> {
    #[serde(flatten)]
    board: &'a Board,
    speed: Vec<Speed>,
}

/// `GET` under this node's trust policy as its file has it now, `POST` under that of the request.
pub(super) fn route(format: Format) -> MethodRouter<NodeHandle> {
    let own = move |State(handle): State<NodeHandle>,
                    Path(reference): Path<String>,
                    Query(weighting): Query<Weighting>| async move {
        let trust = handle.home.trust_now()?;
        respond(&handle, reference, trust, weighting, format).await
    };
    let under = move |State(handle): State<NodeHandle>,
                      Path(reference): Path<String>,
                      Query(weighting): Query<Weighting>,
                      Body(trust): Body<TrustPolicy>| async move {
        respond(&handle, reference, trust, weighting, format).await
    };
    get(own).post(under)
}

/// A board in a format.
pub(super) async fn respond(
    handle: &NodeHandle,
    reference: String,
    trust: TrustPolicy,
    weighting: Weighting,
    format: Format,
) -> Result<Response, Failure> {
    let node = handle.clone();
    super::read(handle, move |store| {
        let id = tasks::resolve_challenge(store, &reference)?;
        if format == Format::Provenance {
            let text = pretty(&board::provenance(store, &id, &trust)?)?;
            return Ok(([(CONTENT_TYPE, "application/json")], text).into_response());
        }
        let board = board::weighted(store, &id, &trust, &weighting.w)?;
        let releases: Vec<RecordId> = board.models.iter().map(|row| row.release).collect();
        // The page shows what was measured; other formats are the same on every node unless asked.
        let asked = weighting.speed || format == Format::Html;
        let speeds = if asked {
            node.speeds.held(&releases)
        } else {
            BTreeMap::new()
        };
        rendered(&board, &speeds, weighting.speed, format)
    })
    .await
}

fn rendered(
    board: &Board,
    speeds: &BTreeMap<RecordId, Speed>,
    with_speed: bool,
    format: Format,
) -> Result<Response, Failure> {
    let table = || export::table(board, speeds).map_err(|e| Failure::internal(e.to_string()));
    Ok(match format {
        Format::Html => Html(fieldmark_pages::standalone(board, &shown(speeds))).into_response(),
        Format::Csv => {
            let kind = [(CONTENT_TYPE, "text/csv; charset=utf-8")];
            (kind, table()?.csv()).into_response()
        }
        Format::Parquet => {
            let bytes = table()?.parquet();
            let bytes = bytes.map_err(|e| Failure::internal(e.to_string()))?;
            let headers = [
                (CONTENT_TYPE, "application/vnd.apache.parquet"),
                (CONTENT_DISPOSITION, "attachment; filename=\"board.parquet\""),
            ];
            (headers, bytes).into_response()
        }
        Format::Json if with_speed => {
            let speed = speeds.values().cloned().collect();
            let text = pretty(&WithSpeed { board, speed })?;
            ([(CONTENT_TYPE, "application/json")], text).into_response()
        }
        Format::Json | Format::Provenance => {
            ([(CONTENT_TYPE, "application/json")], pretty(board)?).into_response()
        }
    })
}

/// Timings as the pages show them.
pub(super) fn shown(speeds: &BTreeMap<RecordId, Speed>) -> BTreeMap<RecordId, SpeedView> {
    let view = |speed: &Speed| SpeedView {
        p50_ms: speed.p50_ms,
        p95_ms: speed.p95_ms,
        p99_ms: speed.p99_ms,
        memory_bytes: speed.memory_bytes_peak,
        energy_joules: speed.energy_joules,
    };
    speeds.iter().map(|(id, speed)| (*id, view(speed))).collect()
}

/// The windows of a challenge, folded into what this node knew of them.
pub(super) fn trend_of(
    handle: &NodeHandle,
    store: &dyn Read,
    challenge: &RecordId,
    trust: &TrustPolicy,
) -> Result<Trend, Failure> {
    let mut cache = handle.trends.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(board::trend(store, challenge, trust, &mut cache)?)
}

/// `GET challenges/{ref}/trend` under this node's trust policy, `POST` under that of the request.
pub(super) fn trend_route() -> MethodRouter<NodeHandle> {
    let own = |State(handle): State<NodeHandle>, Path(reference): Path<String>| async move {
        let trust = handle.home.trust_now()?;
        trend(handle, reference, trust).await
    };
    let under = |State(handle): State<NodeHandle>,
                 Path(reference): Path<String>,
                 Body(trust): Body<TrustPolicy>| async move {
        trend(handle, reference, trust).await
    };
    get(own).post(under)
}

async fn trend(handle: NodeHandle, reference: String, trust: TrustPolicy) -> Result<Response, Failure> {
    let node = handle.clone();
    super::read(&handle, move |store| {
        let id = tasks::resolve_challenge(store, &reference)?;
        let text = pretty(&trend_of(&node, store, &id, &trust)?)?;
        Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
    })
    .await
}

/// The board of a challenge as its page shows it.
pub(super) fn weighted(
    store: &dyn Read,
    challenge: &RecordId,
    trust: &TrustPolicy,
    weighting: &Weighting,
) -> Result<Board, Failure> {
    Ok(board::weighted(store, challenge, trust, &weighting.w)?)
}

/// JSON as its readers compare it: byte-identical on all nodes with the same records.
fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::internal(e.to_string()))?;
    Ok(text + "\n")
}
