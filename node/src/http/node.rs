//! The node itself: its state, its events as they happen, and its end.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::failure::Failure;
use crate::handle::{NodeHandle, Status};

/// `GET status`
pub(super) async fn status(State(handle): State<NodeHandle>) -> Result<Json<Status>, Failure> {
    let status = super::blocking(move || Ok(handle.status())).await?;
    let starting = || {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            "the node is starting; try again",
        )
    };
    Ok(Json(status.ok_or_else(starting)?))
}

/// `POST shutdown`: answered before the node ends.
pub(super) async fn shutdown(State(handle): State<NodeHandle>) -> (StatusCode, Json<Value>) {
    handle.shutdown();
    (StatusCode::ACCEPTED, Json(json!({ "stopping": true })))
}

/// `GET events`: server-sent events from now on. A watcher that is too slow is told how many it missed.
pub(super) async fn events(
    State(handle): State<NodeHandle>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send> {
    let receiver = handle.subscribe();
    drop(handle);
    let stream = stream::unfold(receiver, |mut receiver| async move {
        let data = match receiver.recv().await {
            Ok(event) => serde_json::to_value(&event).unwrap_or_default(),
            Err(RecvError::Lagged(missed)) => json!({ "event": "missed", "count": missed }),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(data.to_string())), receiver))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
