//! What goes wrong: partitions, and crashes at a drawn commit of a drawn host.
//!
//! A crash is counted in commits, not in time, so that it falls between two steps of a protocol. One
//! that finds too few commits is forced after a while.

use fieldmark_node_core::io::Output;

use super::{Happening, World};
use crate::draws::Draws;
use crate::network::{Link, LinkId};
use crate::part::{HostId, Part};
use crate::scenario::{Fault, Scenario, When};

/// After which a crash that is due is forced.
const PATIENCE_MS: u64 = 15_000;

/// A crash to come.
#[derive(Debug)]
struct Planned {
    victim: HostId,
    when: When,
    commits: u64,
    fault: Fault,
    down_ms: u64,
    armed: bool,
    over_at: Option<u64>,
}

/// All faults of a run, as drawn.
#[derive(Debug)]
pub(super) struct Faults {
    crashes: Vec<Planned>,
    /// Start, length and share.
    partitions: Vec<([u64; 2], u64)>,
}

impl Faults {
    pub(super) fn new(scenario: &Scenario, seed: u64, parts: &[Part]) -> Self {
        let mut draws = Draws::of(seed, "faults");
        let mut crashes: Vec<Planned> = Vec::new();
        for crash in &scenario.crash {
            let fits = |at: &HostId| {
                let part = parts.get(*at);
                part.is_some_and(|part| part.role.is(crash.who) && part.deed.is_none())
            };
            let mut victims: Vec<HostId> = (0..parts.len()).filter(fits).collect();
            // Nobody is hit twice while there are others.
            if victims
                .iter()
                .any(|at| crashes.iter().all(|planned| planned.victim != *at))
            {
                victims.retain(|at| crashes.iter().all(|planned| planned.victim != *at));
            }
            let Some(victim) = victims.get(draws.index(victims.len())).copied() else {
                continue;
            };
            let drawn = [Fault::Disk, Fault::Silent, Fault::Partway]
                .get(draws.index(3))
                .copied();
            crashes.push(Planned {
                victim,
                when: crash.when,
                commits: draws.within(crash.commits),
                fault: crash.fault.or(drawn).unwrap_or(Fault::Silent),
                down_ms: draws.within(crash.down_ms),
                armed: false,
                over_at: None,
            });
        }
        let mut drawn = |partition: &crate::scenario::Partition| {
            let times = [
                draws.within(partition.start_ms),
                draws.within(partition.length_ms),
            ];
            (times, partition.share_percent)
        };
        Self {
            crashes,
            partitions: scenario.partition.iter().map(&mut drawn).collect(),
        }
    }

    /// Start and length of each partition.
    pub(super) fn partitions(&self) -> Vec<[u64; 2]> {
        self.partitions.iter().map(|(times, _)| *times).collect()
    }

    /// Whether every fault came and went.
    pub(super) fn are_over(&self, now: u64) -> bool {
        let ended = |([start, length], _): &([u64; 2], u64)| now > start + length;
        let up_again = |planned: &Planned| planned.over_at.is_some_and(|at| now > at);
        self.partitions.iter().all(ended) && self.crashes.iter().all(up_again)
    }
}

impl World {
    // --- partitions -------------------------------------------------------------------------------

    pub(super) fn split(&mut self, number: usize) {
        let share = self.faults.partitions.get(number).map_or(0, |(_, share)| *share);
        let broken = self.network.split(number, self.hosts.len(), share);
        self.journal.line(
            self.now,
            "net",
            format_args!("splits, {} links break", broken.len()),
        );
        for (id, link) in broken {
            for host in link.ends {
                self.plan_notice(host, id, &link);
            }
        }
    }

    pub(super) fn heal(&mut self, number: usize) {
        let again = self.network.heal(number);
        self.journal.line(
            self.now,
            "net",
            format_args!("heals, {} links to come back", again.len()),
        );
        for ends in again {
            let when = self.now + self.draws.within([100, 1_500]);
            self.queue.plan(when, Happening::Connect { ends });
        }
    }

    fn plan_notice(&mut self, host: HostId, link: LinkId, broken: &Link) {
        let peer = self.host(broken.other(host)).part.node_key();
        let when = self.now + self.network.notice();
        self.queue.plan(when, Happening::Notice { host, peer, link });
    }

    // --- crashes ----------------------------------------------------------------------------------

    /// The challenge is signed: plans the crashes that wait for it.
    pub(super) fn challenge_posed(&mut self, operator: HostId) {
        let Some(posed) = self.script.posed else { return };
        let opens = self.host(operator).virtual_time(posed.opens_at_ms);
        let closes = self.host(operator).virtual_time(posed.closes_at_ms);
        self.arm_all(When::Signed, self.now);
        self.arm_all(When::Opening, opens);
        // The leader says when it closes, unless it says nothing.
        self.arm_all(When::Closing, closes + 5_000);
    }

    /// Plans every crash of a kind for a time.
    pub(super) fn arm_all(&mut self, when: When, at: u64) {
        for (number, planned) in self.faults.crashes.iter().enumerate() {
            if planned.when == when && !planned.armed {
                self.queue.plan(at, Happening::Arm { number });
            }
        }
    }

    pub(super) fn arm(&mut self, number: usize) {
        let Some(planned) = self.faults.crashes.get_mut(number) else {
            return;
        };
        if planned.armed {
            return;
        }
        let (victim, commits, fault) = (planned.victim, planned.commits, planned.fault);
        if !self.host(victim).is_up() {
            self.queue.plan(self.now + 300, Happening::Arm { number });
            return;
        }
        if let Some(planned) = self.faults.crashes.get_mut(number) {
            planned.armed = true;
        }
        self.host(victim).control.arm(commits, fault);
        self.queue
            .plan(self.now + PATIENCE_MS, Happening::Force { number });
    }

    /// A crash that did not come by itself.
    pub(super) fn force(&mut self, number: usize) {
        let Some(planned) = self.faults.crashes.get(number) else {
            return;
        };
        if planned.over_at.is_some() {
            return;
        }
        let victim = planned.victim;
        if self.host(victim).is_up() {
            self.host(victim).control.disarm();
            self.crash(victim, "power cut");
        } else {
            self.queue.plan(self.now + 500, Happening::Force { number });
        }
    }

    /// A host stops at a commit. What left before it did stays under way.
    pub(super) fn stop_with(&mut self, at: HostId, fault: Fault, mut outputs: Vec<Output>) {
        match fault {
            Fault::Disk | Fault::Silent => outputs.clear(),
            Fault::Partway => outputs.truncate(self.draws.index(outputs.len() + 1)),
        }
        self.outputs(at, outputs);
        let how = match fault {
            Fault::Disk => "the disk refuses a write",
            Fault::Silent => "stops after a write, silently",
            Fault::Partway => "stops after a write, partway",
        };
        self.crash(at, how);
    }

    fn crash(&mut self, at: HostId, how: &str) {
        self.log(at, format_args!("crashes: {how}"));
        self.counters.crashes += 1;
        self.host_mut(at).stop();
        for (id, link) in self.network.isolate(at) {
            self.plan_notice(link.other(at), id, &link);
        }
        let now = self.now;
        let due = |planned: &&mut Planned| planned.victim == at && planned.armed && planned.over_at.is_none();
        let Some(planned) = self.faults.crashes.iter_mut().find(due) else {
            return;
        };
        let when = now + planned.down_ms;
        planned.over_at = Some(when);
        self.queue.plan(when, Happening::Start { host: at });
    }
}
