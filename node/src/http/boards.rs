//! Boards in every format, as their readers weight the slices and whom they trust.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use fieldmark_ledger::tasks;
use fieldmark_node_core::board::{self, Board};
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::trust::TrustPolicy;
use serde::{Deserialize, Serialize};

use super::extract::{Body, Path, Query};
use super::failure::Failure;
use crate::export;
use crate::handle::NodeHandle;

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
    super::read(handle, move |store| {
        let id = tasks::resolve_challenge(store, &reference)?;
        if format == Format::Provenance {
            let text = pretty(&board::provenance(store, &id, &trust)?)?;
            return Ok(([(CONTENT_TYPE, "application/json")], text).into_response());
        }
        rendered(&board::weighted(store, &id, &trust, &weighting.w)?, format)
    })
    .await
}

fn rendered(board: &Board, format: Format) -> Result<Response, Failure> {
    let table = || export::table(board).map_err(|e| Failure::internal(e.to_string()));
    Ok(match format {
        Format::Html => Html(fieldmark_pages::standalone(board)).into_response(),
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
        Format::Json | Format::Provenance => {
            ([(CONTENT_TYPE, "application/json")], pretty(board)?).into_response()
        }
    })
}

/// The board of a challenge as its page shows it.
pub(super) fn weighted(
    store: &dyn Read,
    challenge: &fieldmark_protocol::RecordId,
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
