//! What every sans-IO machine shares (design §3): the store it reads through, the batches it writes
//! with, and the topics it broadcasts on. The machines themselves live in `node/core`.

use std::fmt;

/// A keyspace of the store; one RocksDB column family each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Column {
    /// Record id → encoded signed record.
    Records,
    /// Log key ‖ seq (big endian) → record id.
    Logs,
    /// Log key → encoded `Head`.
    Heads,
    /// Log key → encoded equivocation proof with the lowest seq.
    Forks,
    /// View keys that point from what is looked up to record ids.
    Views,
    /// Node key → encoded signed node address.
    Addresses,
    /// Aggregator state: reports, verification, noisy shares.
    Aggregation,
    /// Contributor state: joins, outbox, receipts.
    Contributions,
    /// Privacy filters by data source.
    Budgets,
    /// Datasets this node was told of.
    Datasets,
    /// Downloads under way.
    Downloads,
    /// Predictions this node served, and the truth about them.
    Served,
    /// Format version and this node's own settings.
    Meta,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 13] = [
        Self::Records,
        Self::Logs,
        Self::Heads,
        Self::Forks,
        Self::Views,
        Self::Addresses,
        Self::Aggregation,
        Self::Contributions,
        Self::Budgets,
        Self::Datasets,
        Self::Downloads,
        Self::Served,
        Self::Meta,
    ];

    /// Its name on disk, which never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Logs => "logs",
            Self::Heads => "heads",
            Self::Forks => "forks",
            Self::Views => "views",
            Self::Addresses => "addresses",
            Self::Aggregation => "aggregation",
            Self::Contributions => "contributions",
            Self::Budgets => "budgets",
            Self::Datasets => "datasets",
            Self::Downloads => "downloads",
            Self::Served => "served",
            Self::Meta => "meta",
        }
    }
}

/// The store failed or holds damaged data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The storage engine failed: disk full, IO error, lock held.
    #[error("the store cannot {step}: {detail}")]
    Engine {
        /// What was being done.
        step: &'static str,
        /// What the engine said.
        detail: String,
    },
    /// A stored value has a format of the future. Nothing was changed.
    #[error(
        "the store's {column} holds a value of a newer program under key {key}: {detail}; run the version that wrote it"
    )]
    Newer {
        /// Column of the value.
        column: &'static str,
        /// Key in hex.
        key: String,
        /// What was found.
        detail: String,
    },
    /// A stored value does not decode: the data folder is damaged.
    #[error(
        "the store's {column} holds a damaged value under key {key}: {detail}; restore the data folder from a backup, or start with a fresh one and sync again"
    )]
    Damaged {
        /// Column of the value.
        column: &'static str,
        /// Key in hex.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl StoreError {
    /// A value in `column` under `key` that a newer program wrote.
    #[must_use]
    pub fn newer(column: Column, key: &[u8], detail: impl fmt::Display) -> Self {
        Self::Newer {
            column: column.name(),
            key: hex::encode(key),
            detail: detail.to_string(),
        }
    }

    /// A damaged value in `column` under `key`.
    #[must_use]
    pub fn damaged(column: Column, key: &[u8], detail: impl fmt::Display) -> Self {
        Self::Damaged {
            column: column.name(),
            key: hex::encode(key),
            detail: detail.to_string(),
        }
    }
}

/// A key with its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Read access to a store. Reads see every batch persisted before, committed or not.
pub trait Read {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`StoreError`] when the engine fails.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` entries whose keys start with `prefix` and are not below `from`, ascending.
    ///
    /// # Errors
    /// [`StoreError`] when the engine fails.
    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Every entry whose key starts with `prefix`, ascending.
    ///
    /// # Errors
    /// [`StoreError`] when the engine fails.
    fn scan_all(&self, column: Column, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        self.scan(column, prefix, prefix, usize::MAX)
    }
}

/// A store that can be written.
pub trait Store: Read {
    /// Applies the batch atomically and returns after it is durable.
    ///
    /// # Errors
    /// [`StoreError`] when the engine fails; then nothing of the batch is applied.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;
}

/// Writes that are applied together or not at all; later ones win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    writes: Vec<Write>,
}

/// One write of a batch: `None` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub column: Column,
    /// The key.
    pub key: Vec<u8>,
    /// The new value, or `None` to delete.
    pub value: Option<Vec<u8>>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value.
    pub fn put(&mut self, column: Column, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write {
            column,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Deletes a key.
    pub fn delete(&mut self, column: Column, key: impl Into<Vec<u8>>) {
        self.writes.push(Write {
            column,
            key: key.into(),
            value: None,
        });
    }

    /// Appends the writes of another batch.
    pub fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
    }

    /// The writes, in order.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The writes, in order, by value.
    #[must_use]
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// A gossip topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Topic {
    /// Profiles, certificates, releases, withdrawals, issues, comments, endorsements.
    Releases,
    /// Signed node addresses.
    Heads,
    /// Tasks, challenges, aborts.
    Tasks,
    /// Transcripts, commitments, shares, aggregates.
    Aggregates,
    /// Equivocation proofs and revocations.
    Fraud,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] = [
        Self::Releases,
        Self::Heads,
        Self::Tasks,
        Self::Aggregates,
        Self::Fraud,
    ];

    /// Last part of the topic's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Releases => "releases",
            Self::Heads => "heads",
            Self::Tasks => "tasks",
            Self::Aggregates => "aggregates",
            Self::Fraud => "fraud",
        }
    }

    /// Most bytes of a message.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Releases | Self::Tasks => 16 * 1024,
            Self::Heads | Self::Fraud => 4 * 1024,
            Self::Aggregates => 33 * 1024,
        }
    }

    /// The topic that records of `kind` ride on.
    #[must_use]
    pub const fn of(kind: crate::Kind) -> Self {
        use crate::Kind;
        match kind {
            Kind::Task | Kind::Challenge | Kind::Campaign | Kind::Abort => Self::Tasks,
            Kind::Transcript
            | Kind::ShareCommitment
            | Kind::AggregateShare
            | Kind::Aggregate
            | Kind::Checkpoint => Self::Aggregates,
            Kind::NodeRevocation => Self::Fraud,
            _ => Self::Releases,
        }
    }
}

/// Most bytes of one request or response between two nodes.
pub const RPC_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_names_are_distinct() {
        let names: std::collections::BTreeSet<&str> = Column::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Column::ALL.len());
    }
}
