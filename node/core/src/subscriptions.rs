//! Subscriptions to models: what is still to be told, to whom, and what was delivered.
//!
//! There is no queue that could lose something: what is pending is the model's news ([`crate::news`]) less
//! what is marked as delivered, and both are durable. A mark is written after a webhook acknowledged an item,
//! or a reader fetched and confirmed it. A crash between an acknowledgement and its mark delivers the item
//! once more under the same id; nothing is lost, and receivers drop what they know.
//!
//! A webhook gets one item at a time, oldest first. What fails is tried again after [`RETRY_MS_MIN`], twice as
//! long after each failure, [`RETRY_MS_MAX`] at most, until it is acknowledged or unsubscribed.
//!
//! Layout in the column `meta` (numbers are big endian):
//!
//! | key | value |
//! | --- | --- |
//! | `subscription/` id | JSON of [`Subscription`] |
//! | `delivered/` id, item | time of delivery in milliseconds, 8 bytes |

pub mod subscription;

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_ledger::catalogue::{self};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{RecordId, webhook};

use crate::compute::{Job, Post};
use crate::context::{Context, Work};
use crate::io::{CommandError, Event, Reply};
use crate::news::{self, News};

pub use subscription::{Channel, Subscription};

/// Most subscriptions of a node.
pub const SUBSCRIPTIONS_MAX: usize = 256;
/// Longest address of a webhook, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Shortest time between two looks for news, in milliseconds: a busy ledger costs one look, not thousands.
pub const LOOK_MS: u64 = 1_000;
/// Time after the first failure until a webhook is tried again, in milliseconds.
pub const RETRY_MS_MIN: u64 = 1_000;
/// Longest time until it is tried again, in milliseconds.
pub const RETRY_MS_MAX: u64 = 3_600_000;

const SUBSCRIPTION: &[u8] = b"subscription/";
const DELIVERED: &[u8] = b"delivered/";

fn key(prefix: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    [prefix, &parts.concat()].concat()
}

/// Every subscription of this node, by id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn subscriptions(store: &dyn Read) -> Result<Vec<Subscription>, StoreError> {
    let parse = |(key, value): (Vec<u8>, Vec<u8>)| {
        serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Meta, &key, e))
    };
    let entries = store.scan_all(Column::Meta, SUBSCRIPTION)?;
    entries.into_iter().map(parse).collect()
}

/// Ids of what was delivered to a subscription.
fn delivered(store: &dyn Read, id: &ContentHash) -> Result<BTreeSet<ContentHash>, StoreError> {
    let prefix = key(DELIVERED, &[id.as_bytes()]);
    let entries = store.scan_all(Column::Meta, &prefix)?;
    let item = |(key, _): (Vec<u8>, Vec<u8>)| {
        ContentHash::from_slice(key.get(prefix.len()..).unwrap_or_default())
            .map_err(|e| StoreError::damaged(Column::Meta, &key, e))
    };
    entries.into_iter().map(item).collect()
}

/// What a subscription has not been told yet, oldest first.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn pending(
    store: &dyn Read,
    subscription: &Subscription,
    policy: &TrustPolicy,
) -> Result<Vec<News>, StoreError> {
    let told = delivered(store, &subscription.id)?;
    let mut items = news::news(store, &subscription.of(), policy)?;
    items.retain(|item| !told.contains(&item.id));
    Ok(items)
}

/// How the next try of a webhook stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Attempt {
    failures: u32,
    not_before_ms: u64,
    sending: bool,
}

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    pending: BTreeMap<ContentHash, Vec<News>>,
    attempts: BTreeMap<ContentHash, Attempt>,
    /// Items that watchers were told of since the start.
    told: BTreeSet<(ContentHash, ContentHash)>,
    /// The ledger's revision that `pending` describes.
    seen: Option<u64>,
    next_look_ms: u64,
}

type Outcome = Result<Result<Reply, CommandError>, StoreError>;

fn refuse(code: &'static str, message: impl Into<String>) -> Outcome {
    Ok(Err(CommandError::new(code, message)))
}

impl Subscriptions {
    pub(crate) fn start(&mut self, ctx: &Context<'_>) -> Result<(), StoreError> {
        self.all = subscriptions(&ctx.view)?;
        Ok(())
    }

    /// The owner changed whom it trusts: other boards count.
    pub(crate) fn look_again(&mut self) {
        self.seen = None;
    }

    /// Subscribes to the model of a release. Without `history` only what happens from now on is news.
    pub(crate) fn subscribe(
        &mut self,
        ctx: &mut Context<'_>,
        release: RecordId,
        channel: Channel,
        history: bool,
    ) -> Outcome {
        let Some(view) = catalogue::release(&ctx.view, &release)? else {
            return refuse(
                "not-found",
                format!("no release {} is known here", release.short()),
            );
        };
        if let Channel::Webhook { url, .. } = &channel
            && url.len() > URL_BYTES_MAX
        {
            let found = url.len();
            return refuse(
                "invalid",
                format!("the address has {found} bytes, at most {URL_BYTES_MAX} are taken"),
            );
        }
        let subscription = Subscription::new(&view.model(), channel, ctx.now);
        let id = subscription.id;
        let before = self.all.iter().position(|s| s.id == id);
        if before.is_none() && self.all.len() >= SUBSCRIPTIONS_MAX {
            return refuse(
                "refused",
                format!(
                    "this node has {SUBSCRIPTIONS_MAX} subscriptions; end one with `fieldmark unsubscribe`"
                ),
            );
        }
        let json = serde_json::to_vec(&subscription);
        let json = json.map_err(|e| StoreError::damaged(Column::Meta, SUBSCRIPTION, e))?;
        let mut batch = Batch::new();
        batch.put(Column::Meta, key(SUBSCRIPTION, &[id.as_bytes()]), json);
        if before.is_none() && !history {
            for item in news::news(&ctx.view, &subscription.of(), &ctx.shared.policy.trust)? {
                mark(&mut batch, &id, &item.id, ctx.now);
            }
        }
        ctx.persist(batch);
        match before.and_then(|at| self.all.get_mut(at)) {
            Some(known) => *known = subscription,
            None => self.all.push(subscription),
        }
        self.attempts.remove(&id);
        self.look_again();
        Ok(Ok(Reply::Subscribed {
            subscription: id,
            known: before.is_some(),
        }))
    }

    /// Forgets a subscription and what it was told.
    pub(crate) fn unsubscribe(&mut self, ctx: &mut Context<'_>, id: ContentHash) -> Outcome {
        if !self.all.iter().any(|s| s.id == id) {
            return refuse("not-found", format!("there is no subscription {}", id.short()));
        }
        let mut batch = Batch::new();
        batch.delete(Column::Meta, key(SUBSCRIPTION, &[id.as_bytes()]));
        for (key, _) in ctx
            .view
            .scan_all(Column::Meta, &key(DELIVERED, &[id.as_bytes()]))?
        {
            batch.delete(Column::Meta, key);
        }
        ctx.persist(batch);
        self.all.retain(|s| s.id != id);
        self.pending.remove(&id);
        self.attempts.remove(&id);
        self.told.retain(|(subscription, _)| *subscription != id);
        Ok(Ok(Reply::Recorded(Vec::new())))
    }

    /// A reader confirms that it has these items.
    pub(crate) fn confirm(
        &mut self,
        ctx: &mut Context<'_>,
        id: ContentHash,
        items: &[ContentHash],
    ) -> Outcome {
        if !self.all.iter().any(|s| s.id == id) {
            return refuse("not-found", format!("there is no subscription {}", id.short()));
        }
        self.deliver(ctx, id, items);
        Ok(Ok(Reply::Recorded(Vec::new())))
    }

    fn deliver(&mut self, ctx: &mut Context<'_>, id: ContentHash, items: &[ContentHash]) {
        let mut batch = Batch::new();
        for item in items {
            mark(&mut batch, &id, item, ctx.now);
        }
        ctx.persist(batch);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.retain(|news| !items.contains(&news.id));
        }
    }

    /// A webhook was asked to take an item.
    pub(crate) fn posted(
        &mut self,
        ctx: &mut Context<'_>,
        id: ContentHash,
        item: ContentHash,
        result: Result<(), String>,
    ) {
        // Unsubscribed meanwhile.
        if !self.all.iter().any(|s| s.id == id) {
            return;
        }
        let (now, attempt) = (ctx.now, self.attempts.entry(id).or_default());
        attempt.sending = false;
        match result {
            Ok(()) => {
                *attempt = Attempt::default();
                self.deliver(ctx, id, &[item]);
                ctx.event(Event::Delivered {
                    subscription: id,
                    item,
                });
            }
            Err(detail) => {
                let wait = RETRY_MS_MIN << attempt.failures.min(31);
                let wait = wait.min(RETRY_MS_MAX);
                attempt.failures = attempt.failures.saturating_add(1);
                attempt.not_before_ms = now.saturating_add(wait);
                ctx.event(Event::DeliveryFailed {
                    subscription: id,
                    item,
                    detail,
                    again_in_ms: wait,
                });
            }
        }
    }

    /// Looks for news when the ledger has changed, and sends what is due.
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        if self.all.is_empty() {
            return Ok(());
        }
        let revision = ctx.shared.ledger_revision;
        if self.seen != Some(revision) && (ctx.now >= self.next_look_ms || self.seen.is_none()) {
            self.seen = Some(revision);
            self.next_look_ms = ctx.now.saturating_add(LOOK_MS);
            self.look(ctx)?;
        }
        self.send(ctx);
        Ok(())
    }

    fn look(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        for subscription in &self.all {
            let items = pending(&ctx.view, subscription, &ctx.shared.policy.trust)?;
            for item in &items {
                if self.told.insert((subscription.id, item.id)) {
                    ctx.event(Event::News {
                        subscription: subscription.id,
                        news: Box::new(item.clone()),
                    });
                }
            }
            self.pending.insert(subscription.id, items);
        }
        Ok(())
    }

    fn send(&mut self, ctx: &mut Context<'_>) {
        for subscription in &self.all {
            let Channel::Webhook { url, allow_private } = &subscription.channel else {
                continue;
            };
            let attempt = self.attempts.entry(subscription.id).or_default();
            let item = self.pending.get(&subscription.id).and_then(|items| items.first());
            let Some(item) = item.filter(|_| !attempt.sending && ctx.now >= attempt.not_before_ms) else {
                continue;
            };
            let Ok(body) = serde_json::to_vec(item) else {
                continue;
            };
            attempt.sending = true;
            let post = Post {
                url: url.clone(),
                allow_private: *allow_private,
                key: ctx.node_key(),
                timestamp_ms: ctx.now,
                signature: webhook::sign(&ctx.keys().node, ctx.now, &body),
                item: item.id,
                body,
            };
            let work = Work::Post {
                subscription: subscription.id,
                item: item.id,
            };
            ctx.compute(Job::Post(post), work);
        }
    }

    /// When it wants to be called.
    pub(crate) fn deadline(&self, revision: u64) -> u64 {
        if self.all.is_empty() {
            return u64::MAX;
        }
        let look = if self.seen == Some(revision) {
            u64::MAX
        } else {
            self.next_look_ms
        };
        let waiting = self.pending.iter().filter(|(_, items)| !items.is_empty());
        let retries = waiting.filter_map(|(id, _)| self.attempts.get(id));
        let retry = retries
            .filter(|a| !a.sending && a.failures > 0)
            .map(|a| a.not_before_ms);
        retry.min().unwrap_or(u64::MAX).min(look)
    }
}

fn mark(batch: &mut Batch, subscription: &ContentHash, item: &ContentHash, now: u64) {
    let key = key(DELIVERED, &[subscription.as_bytes(), item.as_bytes()]);
    batch.put(Column::Meta, key, now.to_be_bytes());
}

#[cfg(test)]
mod tests;
