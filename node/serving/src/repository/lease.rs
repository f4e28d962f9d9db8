//! A loaded version, and the right to ask it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pool::Pool;
use crate::statistics::Statistics;
use crate::{Failure, Servable};

/// A version whose runners run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) servable: Arc<Servable>,
    pub(crate) pool: Pool,
    pub(crate) statistics: Arc<Statistics>,
    leases: AtomicUsize,
    returned: Notify,
}

impl Loaded {
    /// Starts the runners of a version.
    pub(crate) async fn start(servable: Servable) -> Result<Arc<Self>, Failure> {
        let (servable, statistics) = (Arc::new(servable), Arc::new(Statistics::new()));
        let pool = Pool::start(&servable, &statistics).await?;
        Ok(Arc::new(Self {
            servable,
            pool,
            statistics,
            leases: AtomicUsize::new(0),
            returned: Notify::new(),
        }))
    }

    /// Waits for the last lease, at most so long, then ends the runners. Nobody may take a lease any more.
    pub(crate) async fn drain(&self, within: Duration) {
        let returned = async {
            loop {
                let returned = self.returned.notified();
                if self.leases.load(Ordering::Acquire) == 0 {
                    return;
                }
                returned.await;
            }
        };
        if tokio::time::timeout(within, returned).await.is_err() {
            let left = self.leases.load(Ordering::Acquire);
            tracing::warn!(release = %self.servable.title(), left, "requests were not done when the time to drain ended");
        }
        self.pool.close().await;
    }
}

/// The right to ask a loaded version; it is not ended while one is held.
#[derive(Debug)]
pub struct Lease {
    loaded: Arc<Loaded>,
}

impl Lease {
    /// Must be called while the version cannot be taken out of the repository.
    pub(super) fn new(loaded: Arc<Loaded>) -> Self {
        loaded.leases.fetch_add(1, Ordering::AcqRel);
        Self { loaded }
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// What is asked.
    #[must_use]
    pub fn servable(&self) -> &Servable {
        &self.loaded.servable
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.loaded.leases.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.loaded.returned.notify_waiters();
        }
    }
}
