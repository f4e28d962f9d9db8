//! Subscriptions: make, list, end, fetch and confirm news; and a model's news as a feed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use fieldmark_ledger::catalogue;
use fieldmark_node_core::io::{Command, Event, Reply};
use fieldmark_node_core::news::{self, News};
use fieldmark_node_core::subscriptions::{self, Channel, Subscription};
use fieldmark_pages::{Author, FEED_ITEMS_MAX, FeedPage};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Read;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::extract::{Body, Path, Query};
use super::failure::Failure;
use super::models::{resolve, unexpected};
use crate::handle::NodeHandle;
use crate::webhook;

/// Longest time that a request for news waits for some.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Fewest hex digits that name a subscription.
const DIGITS_MIN: usize = 6;

/// A subscription with how much of it waits.
#[derive(Debug, Serialize)]
pub struct SubscriptionRow {
    #[serde(flatten)]
    subscription: Subscription,
    /// Items not delivered yet.
    pending: usize,
}

/// `GET subscriptions`
pub(super) async fn list(State(handle): State<NodeHandle>) -> Result<Json<Value>, Failure> {
    let trust = handle.home.trust_now()?;
    super::read(&handle, move |store| {
        let mut rows = Vec::new();
        for subscription in subscriptions::subscriptions(store)? {
            let pending = subscriptions::pending(store, &subscription, &trust)?.len();
            rows.push(SubscriptionRow {
                subscription,
                pending,
            });
        }
        Ok(Json(json!({ "subscriptions": rows })))
    })
    .await
}

/// A subscription to be made.
#[derive(Debug, Deserialize)]
pub(super) struct Subscribe {
    model: String,
    #[serde(default)]
    webhook: Option<String>,
    #[serde(default)]
    allow_private: bool,
    #[serde(default)]
    history: bool,
}

/// `POST subscriptions`
pub(super) async fn create(
    State(handle): State<NodeHandle>,
    Body(wish): Body<Subscribe>,
) -> Result<Json<Value>, Failure> {
    let channel = match wish.webhook {
        None => Channel::Reader,
        Some(url) => {
            webhook::check_address(&url, wish.allow_private).map_err(|e| Failure::refused(e.to_string()))?;
            Channel::Webhook {
                url,
                allow_private: wish.allow_private,
            }
        }
    };
    let release = resolve(&handle, wish.model).await?;
    let subscribe = Command::Subscribe {
        release,
        channel,
        history: wish.history,
    };
    let Reply::Subscribed { subscription, known } = handle.command(subscribe).await? else {
        return Err(unexpected());
    };
    let found = super::read(&handle, move |store| find(store, &subscription.to_string())).await?;
    let key = handle.home.node_key.public();
    Ok(Json(json!({ "subscription": found, "known": known, "key": key })))
}

/// `DELETE subscriptions/{id}`
pub(super) async fn end(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let found = super::read(&handle, move |store| find(store, &id)).await?;
    let subscription = found.id;
    handle.command(Command::Unsubscribe { subscription }).await?;
    Ok(Json(json!({ "ended": found })))
}

/// How long to wait for news.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wait {
    /// Seconds, up to [`WAIT_MAX`].
    #[serde(default)]
    wait: u64,
}

/// `GET subscriptions/{id}/news`: what is not confirmed yet, waiting for some if asked to.
pub(super) async fn news_of(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Json<Value>, Failure> {
    // Before the first look, so that nothing falls between the two.
    let mut events = handle.subscribe();
    let until = Instant::now() + Duration::from_secs(wait.wait).min(WAIT_MAX);
    loop {
        let (id, trust) = (id.clone(), handle.home.trust_now()?);
        let (subscription, items) = super::read(&handle, move |store| {
            let subscription = find(store, &id)?;
            let items = subscriptions::pending(store, &subscription, &trust)?;
            Ok((subscription.id, items))
        })
        .await?;
        if !items.is_empty() || !heard(&mut events, subscription, until).await {
            return Ok(Json(json!({ "subscription": subscription, "news": items })));
        }
    }
}

/// Whether there is news of a subscription before the time is over.
async fn heard(
    events: &mut tokio::sync::broadcast::Receiver<Event>,
    of: ContentHash,
    until: Instant,
) -> bool {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match timeout_at(until, events.recv()).await {
            Ok(Ok(Event::News { subscription, .. })) if subscription == of => return true,
            Ok(Ok(_)) => {}
            // What was missed may have been some.
            Ok(Err(RecvError::Lagged(_))) => return true,
            Ok(Err(RecvError::Closed)) | Err(_) => return false,
        }
    }
}

/// Items that a reader has.
#[derive(Debug, Deserialize)]
pub(super) struct Confirm {
    items: Vec<ContentHash>,
}

/// `POST subscriptions/{id}/confirm`
pub(super) async fn confirm(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
    Body(Confirm { items }): Body<Confirm>,
) -> Result<Json<Value>, Failure> {
    let subscription = super::read(&handle, move |store| find(store, &id)).await?.id;
    let count = items.len();
    handle
        .command(Command::ConfirmNews { subscription, items })
        .await?;
    Ok(Json(json!({ "confirmed": count })))
}

/// `GET models/{ref}/news`: everything, oldest first, whether subscribed or not.
pub(super) async fn all(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
) -> Result<Json<Value>, Failure> {
    let (_, items) = of_model(&handle, reference).await?;
    Ok(Json(json!({ "news": items })))
}

/// `GET /models/{id}/feed.atom` of the public pages.
pub(super) async fn feed(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Response {
    let (view, mut items) = match of_model(&handle, reference).await {
        Ok(found) => found,
        Err(failure) if failure.status == StatusCode::NOT_FOUND => return failure.into_response(),
        Err(failure) => return failure.status.into_response(),
    };
    items.drain(..items.len().saturating_sub(FEED_ITEMS_MAX));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let page = FeedPage {
        owner: Author {
            identity: view.author,
            name: view.author_name.clone(),
        },
        model: view.release.name.clone(),
        release: view.id,
        published_at_ms: view.created_at_ms,
        base: host
            .filter(|host| is_authority(host))
            .map(|host| format!("http://{host}")),
        items: &items,
    };
    let kind = "application/atom+xml; charset=utf-8";
    ([(CONTENT_TYPE, kind)], fieldmark_pages::feed(&page)).into_response()
}

/// Whether a `Host` header can stand in a link.
fn is_authority(host: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !host.is_empty() && host.len() <= 255 && host.chars().all(fits)
}

async fn of_model(
    handle: &NodeHandle,
    reference: String,
) -> Result<(catalogue::ReleaseView, Vec<News>), Failure> {
    let trust = handle.home.trust_now()?;
    super::read(handle, move |store| {
        let id = catalogue::resolve(store, &reference)?;
        let view = catalogue::release(store, &id)?;
        let view =
            view.ok_or_else(|| Failure::not_found(format!("no release {} is known here", id.short())))?;
        let items = news::news(store, &view.model(), &trust)?;
        Ok((view, items))
    })
    .await
}

/// The subscription that `text` means: the start of its id.
fn find(store: &dyn Read, text: &str) -> Result<Subscription, Failure> {
    let digits = text.trim().to_ascii_lowercase();
    let mut all = subscriptions::subscriptions(store)?;
    all.retain(|s| digits.len() >= DIGITS_MIN && s.id.to_string().starts_with(&digits));
    match all.len() {
        1 => Ok(all.swap_remove(0)),
        0 => Err(Failure::not_found(format!(
            "there is no subscription '{text}'; `fieldmark subscriptions` lists them"
        ))),
        _ => Err(Failure::new(
            StatusCode::CONFLICT,
            "ambiguous",
            format!("'{text}' could mean several subscriptions; give more of its id"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_can_stand_in_a_link() {
        for host in ["127.0.0.1:8080", "fieldmark.example.org", "[::1]:80"] {
            assert!(is_authority(host), "{host}");
        }
        for bad in ["", "a/b", "a\"b", "a b", "user@host", &"x".repeat(256)] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
