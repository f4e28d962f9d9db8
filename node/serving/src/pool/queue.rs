//! The bounded queue in front of a model's runners.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::batch::Batch;
use super::pending::Pending;
use crate::{Failure, Servable};

/// Pause after which another version, or another server, may have taken its place.
const CLOSED_PAUSE: Duration = Duration::from_secs(1);

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    model: String,
    limit: usize,
    batch_max: usize,
    batch_delay: Duration,
    inner: Mutex<Inner>,
    /// Something waits, or the queue was closed.
    ready: Notify,
    /// Something came while a batch is gathered.
    joined: Notify,
    gathering: AtomicUsize,
    healthy: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    pending: VecDeque<Pending>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(servable: &Servable, runners: usize) -> Self {
        Self {
            model: servable.name.clone(),
            limit: servable.options.queue_max.max(1),
            batch_max: servable.batch_max(),
            batch_delay: servable.options.batch_delay,
            inner: Mutex::default(),
            ready: Notify::new(),
            joined: Notify::new(),
            gathering: AtomicUsize::new(0),
            healthy: AtomicUsize::new(runners),
        }
    }

    /// Adds a request at the end.
    pub(super) fn push(&self, pending: Pending) -> Result<(), Failure> {
        {
            let mut inner = self.lock();
            if inner.closed {
                let message = format!("model '{}' was unloaded; ask again", self.model);
                return Err(Failure::unavailable(message, CLOSED_PAUSE));
            }
            if inner.pending.len() >= self.limit {
                inner.pending.retain(|pending| !pending.reply.is_closed());
            }
            if inner.pending.len() >= self.limit {
                return Err(Failure::queue_full(&self.model, inner.pending.len()));
            }
            inner.pending.push_back(pending);
        }
        self.ready.notify_one();
        if self.gathering.load(Ordering::Acquire) > 0 {
            self.joined.notify_waiters();
        }
        Ok(())
    }

    /// Drops requests that nobody waits for any more, with their inputs.
    pub(super) fn prune(&self) {
        self.lock().pending.retain(|pending| !pending.reply.is_closed());
    }

    /// Puts requests back in front, in their order.
    pub(super) fn put_back(&self, batch: Vec<Pending>) {
        {
            let mut inner = self.lock();
            for pending in batch.into_iter().rev() {
                inner.pending.push_front(pending);
            }
        }
        self.ready.notify_one();
    }

    /// What is to be run next; `None` once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Batch> {
        let mut batch = loop {
            let ready = self.ready.notified();
            {
                let mut inner = self.lock();
                while inner.pending.front().is_some_and(|first| first.reply.is_closed()) {
                    inner.pending.pop_front();
                }
                if let Some(first) = inner.pending.pop_front() {
                    let mut batch = Batch::new(first, self.batch_max);
                    fill(&mut batch, &mut inner.pending);
                    if !inner.pending.is_empty() {
                        self.ready.notify_one();
                    }
                    break batch;
                }
                if inner.closed {
                    // The next task that waits hears of it from this one.
                    self.ready.notify_one();
                    return None;
                }
            }
            ready.await;
        };
        if !self.batch_delay.is_zero() && batch.has_room() {
            self.gather(&mut batch).await;
        }
        Some(batch)
    }

    /// Waits for more, until the first of the batch has waited long enough.
    async fn gather(&self, batch: &mut Batch) {
        self.gathering.fetch_add(1, Ordering::AcqRel);
        let until = (batch.arrived() + self.batch_delay).into();
        loop {
            let joined = self.joined.notified();
            let closed = {
                let mut inner = self.lock();
                fill(batch, &mut inner.pending);
                inner.closed
            };
            if closed || !batch.has_room() || timeout_at(until, joined).await.is_err() {
                break;
            }
        }
        self.gathering.fetch_sub(1, Ordering::AcqRel);
    }

    /// Takes nothing more; what waits is still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_waiters();
        self.ready.notify_one();
        self.joined.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().pending.len()
    }

    /// Runners that do not wait after failures.
    pub(super) fn healthy(&self) -> usize {
        self.healthy.load(Ordering::Acquire)
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        if healthy {
            self.healthy.fetch_add(1, Ordering::AcqRel);
        } else {
            self.healthy.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves into a batch what fits it.
fn fill(batch: &mut Batch, pending: &mut VecDeque<Pending>) {
    let mut place = 0;
    while batch.has_room() {
        let Some(next) = pending.get(place) else { break };
        if next.reply.is_closed() {
            drop(pending.remove(place));
        } else if batch.takes(next) {
            if let Some(next) = pending.remove(place) {
                batch.add(next);
            }
        } else {
            place += 1;
        }
    }
}
