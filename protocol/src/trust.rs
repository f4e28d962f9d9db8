//! Trust policies: which aggregators a contributor or reader accepts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::PublicKey;
use crate::id::ContentHash;
use crate::task::Task;

/// Most identities a policy names.
pub const TRUSTED_MAX: usize = 1024;

/// Which identities someone trusts as aggregators.
///
/// A contributor takes part when at least one aggregator of the committee is named: one honest
/// aggregator keeps a report private. A reader accepts a board when all are named: every aggregator
/// can shift a result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustPolicy {
    /// Identities accepted as aggregators.
    #[serde(default)]
    pub aggregators: BTreeSet<PublicKey>,
}

impl TrustPolicy {
    /// Aggregators of the task that this policy names.
    #[must_use]
    pub fn trusted<'t>(&self, task: &'t Task) -> Vec<&'t PublicKey> {
        task.committee
            .iter()
            .map(|a| &a.identity)
            .filter(|i| self.aggregators.contains(i))
            .collect()
    }

    /// Whether a contributor with this policy may send a report to the task's committee.
    #[must_use]
    pub fn protects(&self, task: &Task) -> bool {
        !self.trusted(task).is_empty()
    }

    /// Whether a reader with this policy accepts the task's result.
    #[must_use]
    pub fn accepts(&self, task: &Task) -> bool {
        self.trusted(task).len() == task.committee.len()
    }

    /// Hash of the policy, part of a board's checkpoint.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"fieldmark/v1/trust-policy\0");
        for key in &self.aggregators {
            hasher.update(key.as_bytes());
        }
        ContentHash::new(*hasher.finalize().as_bytes())
    }
}
