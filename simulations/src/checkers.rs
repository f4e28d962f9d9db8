//! What must hold at the end of a run, over the disks of all honest nodes and what the simulator noted.
//!
//! Each checker is a function from [`Evidence`] to violations, and has a test that plants the bug it
//! looks for. What can be seen in a single write is watched by the disk after each step instead.

mod aggregation;
mod budgets;
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

use crate::cast::{HostId, Part, Role};
use crate::ports::Truth;
use crate::scenario::Expect;
use crate::script::Posed;

/// An honest node's disk after a run.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    pub(crate) host: HostId,
    pub(crate) part: Part,
    pub(crate) store: MemoryStore,
}

/// What a run left behind.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    pub(crate) witnesses: Vec<Witness>,
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

    /// The challenge's task and its batch, as the leader sees them.
    fn outcome(&self) -> Result<Option<(Task, BatchView)>, StoreError> {
        let Some(leader) = self.with(|role| role == Role::Aggregator(0)).next() else {
            return Ok(None);
        };
        let Some(posed) = self.posed else { return Ok(None) };
        let Some(task) = tasks::task(&leader.store, &posed.task)? else {
            return Ok(None);
        };
        let view = batch::batch(&leader.store, task.batch())?;
        Ok(Some((task.task, view)))
    }
}

/// Runs every checker.
pub(crate) fn check(evidence: &Evidence) -> Violations {
    type Checker = fn(&Evidence) -> Result<Violations, StoreError>;
    let checkers: [(&str, Checker); 8] = [
        ("convergence", ledgers::converged),
        ("forks", ledgers::forks_are_proven),
        ("acknowledged records", ledgers::acknowledged_are_held),
        ("boards", ledgers::boards_are_equal),
        ("outcome", ended_as_expected),
        ("reports", aggregation::reports_count_once),
        ("aggregate", aggregation::adds_up),
        ("budgets", budgets::are_kept),
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
        Expect::Either => matches!(view.phase, Phase::Released | Phase::Aborted),
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
