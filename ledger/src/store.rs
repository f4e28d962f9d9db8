//! An in-memory store, and overlays that let later reads see writes that are not committed yet.
//!
//! Owns no ledger rule. [`Overlay`] is for one input of a machine; [`Pending`] is for a driver that
//! joins the batches of many inputs into one commit.

use std::collections::BTreeMap;

use fieldmark_protocol::machine::{Batch, Column, Entry, Read, Store, StoreError, Write};

/// Entries of one column, in key order.
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
/// Uncommitted writes of one column; `None` deletes.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A store in memory, for simulations and tests. Clones are independent.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    columns: BTreeMap<Column, Entries>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries in all columns.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.columns.values().map(BTreeMap::len).sum()
    }
}

impl Read for MemoryStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .columns
            .get(&column)
            .and_then(|entries| entries.get(key))
            .cloned())
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let Some(entries) = self.columns.get(&column) else {
            return Ok(Vec::new());
        };
        let found = entries
            .range(prefix.max(from).to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(found
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for write in batch.writes() {
            let entries = self.columns.entry(write.column).or_default();
            match &write.value {
                Some(value) => entries.insert(write.key.clone(), value.clone()),
                None => entries.remove(&write.key),
            };
        }
        Ok(())
    }
}

/// Uncommitted writes, without the store that they belong to.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    columns: BTreeMap<Column, Writes>,
    bytes: usize,
}

impl Pending {
    /// Nothing pending.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the writes of `batch`; later ones win.
    pub fn apply(&mut self, batch: &Batch) {
        for write in batch.writes() {
            self.write(write.clone());
        }
    }

    /// Like [`Pending::apply`], without a copy of the values.
    pub fn absorb(&mut self, batch: Batch) {
        for write in batch.into_writes() {
            self.write(write);
        }
    }

    fn write(&mut self, write: Write) {
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.bytes = self.bytes.saturating_add(size(&write.value));
        let key_bytes = write.key.len();
        let before = self
            .columns
            .entry(write.column)
            .or_default()
            .insert(write.key, write.value);
        match before {
            Some(before) => self.bytes = self.bytes.saturating_sub(size(&before)),
            None => self.bytes = self.bytes.saturating_add(key_bytes),
        }
    }

    /// A view of `base` with these writes on top.
    #[must_use]
    pub fn over<'a>(&'a self, base: &'a dyn Read) -> PendingView<'a> {
        PendingView { base, pending: self }
    }

    /// All writes as one batch.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (column, writes) in &self.columns {
            for (key, value) in writes {
                match value {
                    Some(value) => batch.put(*column, key.clone(), value.clone()),
                    None => batch.delete(*column, key.clone()),
                }
            }
        }
        batch
    }

    /// All writes as one batch, without a copy of the values.
    #[must_use]
    pub fn into_batch(self) -> Batch {
        let mut batch = Batch::new();
        for (column, writes) in self.columns {
            for (key, value) in writes {
                match value {
                    Some(value) => batch.put(column, key, value),
                    None => batch.delete(column, key),
                }
            }
        }
        batch
    }

    /// Forgets every write, after [`Pending::batch`] was committed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.values().all(BTreeMap::is_empty)
    }

    /// Number of keys written.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.columns.values().map(BTreeMap::len).sum()
    }

    /// Bytes of keys and values, to bound a commit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn get(&self, column: Column, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.columns.get(&column)?.get(key)
    }

    /// Merges the writes into a scan of `base`.
    fn scan(
        &self,
        base: &dyn Read,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let empty = Writes::new();
        let writes = self.columns.get(&column).unwrap_or(&empty);
        let start = prefix.max(from).to_vec();
        let mut ours = writes
            .range(start..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        // A delete hides at most one entry of the base, so this many of them are enough.
        let deletes = ours.clone().filter(|(_, value)| value.is_none()).count();
        let mut theirs = base
            .scan(column, prefix, from, limit.saturating_add(deletes))?
            .into_iter()
            .peekable();
        let mut merged = Vec::new();
        while merged.len() < limit {
            let ours_first = match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some((key, _)), Some((other, _))) => *key <= other,
                (our, _) => our.is_some(),
            };
            if !ours_first {
                merged.extend(theirs.next());
                continue;
            }
            let Some((key, value)) = ours.next() else { break };
            theirs.next_if(|(other, _)| other == key);
            merged.extend(value.as_ref().map(|value| (key.clone(), value.clone())));
        }
        Ok(merged)
    }
}

/// A store as it will be once the pending writes are committed.
#[derive(Clone, Copy)]
pub struct PendingView<'a> {
    base: &'a dyn Read,
    pending: &'a Pending,
}

impl std::fmt::Debug for PendingView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingView")
            .field("pending", self.pending)
            .finish_non_exhaustive()
    }
}

impl Read for PendingView<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.pending.get(column, key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(column, key),
        }
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.pending.scan(self.base, column, prefix, from, limit)
    }
}

/// A store with uncommitted batches on top, which later reads see, scans included.
pub struct Overlay<'a> {
    base: &'a dyn Read,
    pending: Pending,
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    /// An overlay without writes.
    #[must_use]
    pub fn new(base: &'a dyn Read) -> Self {
        Self {
            base,
            pending: Pending::new(),
        }
    }

    /// Stacks the writes of `batch`.
    pub fn apply(&mut self, batch: &Batch) {
        self.pending.apply(batch);
    }

    /// The store below.
    #[must_use]
    pub fn base(&self) -> &'a dyn Read {
        self.base
    }
}

impl Read for Overlay<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.pending.over(self.base).get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.pending.scan(self.base, column, prefix, from, limit)
    }
}

#[cfg(test)]
mod tests;
