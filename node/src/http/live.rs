//! Server-sent events of the public pages: that something a page shows may have changed, and nothing else.
//!
//! The page then asks for itself again, so that what is shown comes from one place. Many changes within
//! [`PAUSE`] are one. A reader that went away is noticed at the next message. Readers that watch hold a
//! connection each, so there are at most [`READERS_MAX`]; others are told to try again, as browsers do.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use fieldmark_ledger::catalogue;
use fieldmark_node_core::io::Event;
use futures::stream::{self, Stream};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::challenges;
use super::extract::Path;
use super::failure::Failure;
use crate::handle::NodeHandle;

/// Shortest time between two messages to one reader.
const PAUSE: Duration = Duration::from_millis(500);
/// Most readers that watch at a time: half of the connections that the pages take.
const READERS_MAX: usize = 128;
/// Their slots.
static READERS: Semaphore = Semaphore::const_new(READERS_MAX);
/// Kinds of records that a model's pages show something of.
const OF_MODELS: [&str; 7] = [
    "release",
    "withdrawal",
    "issue",
    "comment",
    "endorsement",
    "challenge",
    "aggregate-share",
];
/// Kinds of records that a challenge's page shows something of.
const OF_CHALLENGES: [&str; 6] = [
    "transcript",
    "share-commitment",
    "aggregate-share",
    "aggregate",
    "abort",
    "withdrawal",
];

type Messages = Sse<
    axum::response::sse::KeepAliveStream<
        std::pin::Pin<Box<dyn Stream<Item = Result<Message, Infallible>> + Send>>,
    >,
>;

/// `GET /models/{id}/live`
pub(super) async fn model(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
) -> Result<Messages, Failure> {
    super::read(&handle, move |store| Ok(catalogue::resolve(store, &id)?)).await?;
    changes(handle.subscribe(), &OF_MODELS)
}

/// `GET /challenges/{id}/live`
pub(super) async fn challenge(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
) -> Result<Messages, Failure> {
    super::read(&handle, move |store| challenges::find(store, &id).map(drop)).await?;
    changes(handle.subscribe(), &OF_CHALLENGES)
}

fn changes(receiver: Receiver<Event>, kinds: &'static [&'static str]) -> Result<Messages, Failure> {
    let slot = READERS.try_acquire().map_err(|_| {
        let message = "too many readers watch this node's pages; reload, or try again later";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    })?;
    let stream = stream::unfold(
        (receiver, slot, false),
        move |(mut receiver, slot, told)| async move {
            if told {
                tokio::time::sleep(PAUSE).await;
            }
            loop {
                match receiver.recv().await {
                    Ok(event) if concerns(&event, kinds) => break,
                    // Whatever was missed may have concerned it.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return None,
                    Ok(_) => {}
                }
            }
            // What came meanwhile is the same change to a reader.
            while receiver.try_recv().is_ok() {}
            Some((
                // A message without data is none to a browser.
                Ok(Message::default().event("changed").data("changed")),
                (receiver, slot, true),
            ))
        },
    );
    let stream: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn concerns(event: &Event, kinds: &[&str]) -> bool {
    match event {
        Event::Record { kind, .. } => kinds.contains(&kind.as_str()),
        Event::Fork { .. } => true,
        // The number of reports of an open window.
        Event::Batch { .. } => kinds.contains(&"transcript"),
        _ => false,
    }
}
