//! When a run is over: nothing more is to come, the batch has ended everywhere, and the ledgers are one.

use fieldmark_ledger::batch::{self, Phase};
use fieldmark_ledger::effect::ledger_digest;
use fieldmark_ledger::{log, tasks};
use fieldmark_node_core::contributor::{State, contributions};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::StoreError;

use super::{Ended, SETTLE_MS, World};
use crate::checkers::{Evidence, Witness};
use crate::host::Host;
use crate::part::{HostId, Role};

/// How long after the committee's time is up a batch in mid-reveal is watched.
const STUCK_MS: u64 = 20_000;

fn is_over(state: &State) -> bool {
    matches!(state, State::Counted | State::Refunded | State::Failed)
}

impl World {
    /// The host that leads the committee.
    fn leader(&self) -> HostId {
        let leads = |host: &Host| host.part.role == Role::Aggregator(0);
        self.hosts.iter().position(leads).unwrap_or(0)
    }

    /// What is still to come, cheapest to find first.
    pub(super) fn unsettled(&self) -> Result<Option<String>, StoreError> {
        let no = |reason: &str| Ok(Some(reason.to_owned()));
        if !self.script.is_over() {
            return no("users still wait");
        }
        if !self.faults.are_over(self.now) || self.hosts.iter().any(|host| !host.is_up()) {
            return no("faults are still to come");
        }
        let Some(posed) = self.script.posed else {
            return no("no challenge was posed");
        };
        if self.now < self.last_record_ms + SETTLE_MS {
            return no("records still arrive");
        }
        let honest = || self.hosts.iter().filter(|host| host.part.honest());
        for host in honest() {
            let batch = BatchId {
                task: posed.task,
                window: 0,
            };
            let view = batch::batch(host.disk(), batch)?;
            let task = tasks::task(host.disk(), &posed.task)?;
            let summed = !view.aggregates.is_empty() || self.adversaries.contains_key(&self.leader());
            // In mid-reveal nothing more is to come once the committee's time is up.
            let stuck = view.phase == Phase::Shares
                && task.is_some_and(|task| host.clock(self.now) > task.task.due_at_ms() + STUCK_MS);
            let ended = match view.phase {
                Phase::Released => summed,
                Phase::Aborted | Phase::Void => true,
                _ => stuck,
            };
            if !ended {
                return no(&format!("at {} the batch is {:?}", host.part.name, view.phase));
            }
            for contribution in contributions(host.disk())? {
                if !stuck && !is_over(&contribution.state) {
                    return no(&format!(
                        "at {} the contribution is {:?}",
                        host.part.name, contribution.state
                    ));
                }
            }
            for face in self.hosts.iter().filter(|host| host.part.role.is_face()) {
                if log::fork(host.disk(), &face.part.identity())?.is_none() {
                    return no(&format!("{} does not know of the fork", host.part.name));
                }
            }
        }
        let mut first = None;
        for host in honest() {
            let digest = ledger_digest(host.disk())?;
            if *first.get_or_insert(digest) != digest {
                return no(&format!("the ledger of {} differs", host.part.name));
            }
        }
        Ok(None)
    }

    /// Takes the world apart for the checkers.
    pub(super) fn end(mut self) -> Ended {
        self.violations.append(&mut self.script.violations);
        self.violations.append(&mut self.ports.truth.violations);
        let faces = self.hosts.iter().filter(|host| host.part.role.is_face());
        let mut equivocators: Vec<PublicKey> = faces.map(|face| face.part.identity()).collect();
        equivocators.dedup();
        let deeds = self.hosts.iter().filter_map(|host| host.part.deed);
        let deeds = deeds.map(|deed| deed.name().to_owned()).collect();
        let commits = |host: &Host| (host.part.name.clone(), host.control.commits());
        let commits = self.hosts.iter().map(commits).collect();
        let machines = u64::try_from(self.hosts.len()).unwrap_or(u64::MAX);
        let witness = |(at, host): (HostId, Host)| Witness {
            host: at,
            identity: host.part.identity(),
            part: host.part.clone(),
            store: host.into_disk().into_store(),
        };
        let hosts = self.hosts.into_iter().enumerate();
        let hosts = hosts.filter(|(_, host)| !host.part.role.is_face()).map(witness);
        let (witnesses, others) = hosts.partition(|witness: &Witness| witness.part.honest());
        let evidence = Evidence {
            witnesses,
            others,
            uploads: self.uploads,
            secrets: self.secrets,
            equivocators,
            acknowledged: self.script.acknowledged,
            receipts: self.receipts,
            truth: self.ports.truth,
            posed: self.script.posed,
            trust: self.trust,
            expect: self.scenario.challenge.expect,
        };
        Ended {
            virtual_ms: self.now,
            evidence,
            violations: self.violations,
            counters: self.counters,
            lost: self.network.lost(),
            machines,
            commits,
            deeds,
            journal: self.journal,
        }
    }
}
