//! Joins the machines to a store: batches go to an overlay that later reads see, one synced write
//! commits many inputs, and what is to leave is handed out only after it (design §3).

use fieldmark_ledger::store::Pending;
use fieldmark_protocol::machine::{Store, StoreError};

use crate::io::{Input, Output};
use crate::node::NodeCore;

/// A node's machines with their store. The node's core thread and the simulator both run this.
#[derive(Debug)]
pub struct Driver<S> {
    core: NodeCore,
    store: S,
}

impl<S: Store> Driver<S> {
    /// Joins machines and store.
    pub fn new(core: NodeCore, store: S) -> Self {
        Self { core, store }
    }

    /// The store, for views.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Takes a node apart, as a crash does: what was not committed is gone.
    pub fn into_store(self) -> S {
        self.store
    }

    /// Handles inputs and commits what they wrote, in one synced write; returns everything else that
    /// is to be done, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; nothing of these inputs has left then, and the node must
    /// stop.
    pub fn step(
        &mut self,
        inputs: impl IntoIterator<Item = (u64, Input)>,
    ) -> Result<Vec<Output>, StoreError> {
        let mut pending = Pending::new();
        let mut effects = Vec::new();
        for (now, input) in inputs {
            self.core.handle(now, input, &pending.over(&self.store))?;
            while let Some(output) = self.core.poll() {
                match output {
                    Output::Persist(batch) => pending.absorb(batch),
                    other => effects.push(other),
                }
            }
        }
        if !pending.is_empty() {
            self.store.commit(&pending.into_batch())?;
        }
        Ok(effects)
    }
}
