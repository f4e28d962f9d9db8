//! What must hold at the end of a run, over the disks of all honest nodes and what the simulator noted.
//!
//! Each checker is a function from [`Evidence`] to violations, and has a test that plants the bug it
//! looks for. What can be seen in a single write is watched by the disk after each step instead.

mod aggregation;
mod budgets;
mod committee;
mod ledgers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use fieldmark_ledger::batch::{BatchView, Phase};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_ledger::{batch, tasks};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, ReportId};

use crate::part::{HostId, Part, Role};
use crate::ports::Truth;
use crate::scenario::{Deed, Expect};
use crate::script::Posed;
use crate::secrecy::Secrets;

/// An honest node's disk after a run.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    pub(crate) host: HostId,
    pub(crate) identity: PublicKey,
    pub(crate) part: Part,
    pub(crate) store: MemoryStore,
}

/// What a run left behind.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    pub(crate) witnesses: Vec<Witness>,
    /// Disks of adversaries.
    pub(crate) others: Vec<Witness>,
    /// Whose report is whose, of all that were ever uploaded.
    pub(crate) uploads: BTreeMap<ReportId, PublicKey>,
    /// Measurements that nobody else may hold.
    pub(crate) secrets: Secrets,
    /// Identities that forked their log.
    pub(crate) equivocators: Vec<PublicKey>,
    /// Records that a user was told are signed.
    pub(crate) acknowledged: Vec<fieldmark_protocol::RecordId>,
    /// Reports that a contributor holds a receipt for.
    pub(crate) receipts: BTreeMap<(BatchId, PublicKey), ReportId>,
    pub(crate) truth: Truth,
    pub(crate) posed: Option<Posed>,
    pub(crate) trust: TrustPolicy,
    pub(crate) expect: Expect,
}

/// What is wrong, in words; empty when everything holds.
pub(crate) type Violations = Vec<String>;

impl Evidence {
    /// The honest nodes with a role.
    fn with(&self, role: impl Fn(Role) -> bool) -> impl Iterator<Item = &Witness> {
        self.witnesses
            .iter()
            .filter(move |witness| role(witness.part.role))
    }

    /// Everyone with a role, adversaries included.
    fn all(&self, role: impl Fn(Role) -> bool) -> impl Iterator<Item = &Witness> {
        let everyone = self.witnesses.iter().chain(&self.others);
        everyone.filter(move |witness| role(witness.part.role))
    }

    /// Who does a deed.
    fn who(&self, deed: Deed) -> impl Iterator<Item = &PublicKey> {
        let does = self
            .others
            .iter()
            .filter(move |other| other.part.deed == Some(deed));
        does.map(|other| &other.identity)
    }

    /// Whether an identity does not follow the protocol.
    fn is_adversary(&self, identity: &PublicKey) -> bool {
        self.others.iter().any(|other| other.identity == *identity)
    }

    /// The challenge's task and its batch, as an honest node sees them.
    fn outcome(&self) -> Result<Option<(Task, BatchView)>, StoreError> {
        let Some(anyone) = self.with(|role| role == Role::Operator).next() else {
            return Ok(None);
        };
        let Some(posed) = self.posed else { return Ok(None) };
        let Some(task) = tasks::task(&anyone.store, &posed.task)? else {
            return Ok(None);
        };
        let view = batch::batch(&anyone.store, task.batch())?;
        Ok(Some((task.task, view)))
    }
}

/// Runs every checker.
pub(crate) fn check(evidence: &Evidence) -> Violations {
    type Checker = fn(&Evidence) -> Result<Violations, StoreError>;
    let checkers: [(&str, Checker); 13] = [
        ("convergence", ledgers::converged),
        ("forks", ledgers::forks_are_proven),
        ("acknowledged records", ledgers::acknowledged_are_held),
        ("boards", ledgers::boards_are_equal),
        ("outcome", ended_as_expected),
        ("reports", aggregation::reports_count_once),
        ("aggregate", aggregation::adds_up),
        ("groups", aggregation::groups_are_equal),
        ("budgets", budgets::are_kept),
        ("culprits", committee::culprits_are_named),
        ("silence", committee::silence_has_a_reason),
        ("contributors", committee::contributors_know),
        ("secrecy", committee::nobody_learns_a_report),
    ];
    let mut violations = Violations::new();
    for (name, checker) in checkers {
        match checker(evidence) {
            Ok(found) => violations.extend(found.into_iter().map(|what| format!("{name}: {what}"))),
            Err(error) => violations.push(format!("{name}: a store is damaged: {error}")),
        }
    }
    violations
}

/// Name of how the batch ended, for the report.
pub(crate) fn outcome_name(evidence: &Evidence) -> &'static str {
    match evidence.outcome() {
        Ok(Some((_, view))) => fieldmark_node_core::io::phase_name(&view.phase),
        _ => "none",
    }
}

/// The batch ended as the scenario says.
fn ended_as_expected(evidence: &Evidence) -> Result<Violations, StoreError> {
    let Some((_, view)) = evidence.outcome()? else {
        return Ok(vec!["no challenge was posed".to_owned()]);
    };
    let fits = match evidence.expect {
        Expect::Released => view.phase == Phase::Released,
        Expect::Aborted => view.phase == Phase::Aborted,
        // That a batch which is stuck in mid-reveal may be so is looked at on its own.
        Expect::Either => matches!(view.phase, Phase::Released | Phase::Aborted | Phase::Shares),
    };
    let details: Vec<&str> = view
        .aborts
        .iter()
        .map(|abort| abort.value.detail.as_str())
        .collect();
    Ok(if fits {
        Vec::new()
    } else {
        vec![format!("the batch ended {:?} {details:?}", view.phase)]
    })
}
