//! The simulated world: hosts, network, users and faults over one queue in virtual time.
//!
//! [`World::run`] takes the next planned thing until everything is settled or time is up. What the
//! machines ask for is done in `outputs`, what passes between hosts in `traffic`, what goes wrong in
//! `faults`; `settle` knows the end.

mod between;
mod faults;
mod outputs;
mod settle;
mod traffic;

use std::collections::BTreeMap;

use fieldmark_node_core::NodeCore;
use fieldmark_node_core::compute::Job;
use fieldmark_node_core::io::{Input, JobId};
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, ReportId};

use crate::acquaintance::Acquaintance;
use crate::adversaries::{self, Adversary};
use crate::cast;
use crate::checkers::Evidence;
use crate::disk::Disk;
use crate::draws::Draws;
use crate::equivocator;
use crate::host::Host;
use crate::journal::Journal;
use crate::network::{LinkId, Network};
use crate::part::{HostId, Part, Role};
use crate::ports::Ports;
use crate::queue::Queue;
use crate::scenario::{Fault, Scenario, When};
use crate::script::{LOOK_MS, Script};
use crate::secrecy::Secrets;
use faults::Faults;
use traffic::{Hop, Receipts, Rpc, RpcId};

/// Between two looks whether everything is settled.
const SETTLE_MS: u64 = 1_000;
/// Lines of the event log per node after which a run is given up: a machine talks to itself.
const EVENTS_PER_NODE_MAX: u64 = 20_000;

/// Something planned.
#[derive(Debug)]
enum Happening {
    Start {
        host: HostId,
    },
    Step {
        host: HostId,
        life: u64,
    },
    Timer {
        host: HostId,
        life: u64,
    },
    Done {
        host: HostId,
        life: u64,
        job: JobId,
        work: Box<Job>,
    },
    Connect {
        ends: [HostId; 2],
    },
    /// A host takes note of a broken link.
    Notice {
        host: HostId,
        peer: PublicKey,
        link: LinkId,
    },
    Gossip(Hop),
    Request {
        rpc: RpcId,
        from: HostId,
        to: HostId,
        link: LinkId,
        data: Vec<u8>,
    },
    Response {
        rpc: RpcId,
        data: Vec<u8>,
    },
    Timeout {
        rpc: RpcId,
    },
    Split {
        number: usize,
    },
    Heal {
        number: usize,
    },
    Arm {
        number: usize,
    },
    Force {
        number: usize,
    },
    Look,
}

/// Numbers of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) steps: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) crashes: u64,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) virtual_ms: u64,
    pub(crate) evidence: Evidence,
    pub(crate) violations: Vec<String>,
    pub(crate) counters: Counters,
    pub(crate) lost: u64,
    pub(crate) machines: u64,
    /// Commits by machine.
    pub(crate) commits: BTreeMap<String, u64>,
    /// Names of the deeds that somebody did.
    pub(crate) deeds: Vec<String>,
    pub(crate) journal: Journal,
}

/// Everything that is simulated.
#[derive(Debug)]
pub(crate) struct World {
    now: u64,
    seed: u64,
    scenario: Scenario,
    trust: TrustPolicy,
    hosts: Vec<Host>,
    by_node_key: BTreeMap<PublicKey, HostId>,
    network: Network,
    queue: Queue<Happening>,
    ports: Ports,
    script: Script,
    faults: Faults,
    draws: Draws,
    rpcs: BTreeMap<RpcId, Rpc>,
    next_rpc: RpcId,
    receipts: Receipts,
    adversaries: BTreeMap<HostId, Box<dyn Adversary>>,
    secrets: Secrets,
    uploads: BTreeMap<ReportId, PublicKey>,
    last_record_ms: u64,
    violations: Vec<String>,
    counters: Counters,
    journal: Journal,
}

impl World {
    /// The world of one seed; what the scenario leaves to it is drawn first.
    pub(crate) fn new(scenario: &Scenario, seed: u64, journal: Journal) -> Self {
        let scenario = &scenario.drawn(seed);
        let parts = cast::cast(scenario, seed);
        let known = scenario
            .acquainted
            .then(|| Acquaintance::of(scenario, &parts, &adversaries::accomplices()));
        let mut draws = Draws::of(seed, "world");
        let mut host = |part: &Part| {
            let skew = draws.within(scenario.network.skew_ms);
            let disk = known
                .as_ref()
                .map_or_else(Disk::default, |known| Disk::with(known.store_of(part)));
            Host::new(part.clone(), if part.role.is_face() { 0 } else { skew }, disk)
        };
        let hosts = parts.iter().map(&mut host).collect();
        Self {
            now: 0,
            seed,
            trust: cast::trust(&parts),
            hosts,
            by_node_key: parts
                .iter()
                .enumerate()
                .map(|(at, part)| (part.node_key(), at))
                .collect(),
            network: Network::new(scenario, seed, &parts),
            queue: Queue::new(),
            ports: Ports::new(scenario, seed, &parts),
            script: Script::new(
                scenario,
                seed,
                &parts,
                known.as_ref().map_or(&[], Acquaintance::models),
            ),
            faults: Faults::new(scenario, seed, &parts),
            draws,
            rpcs: BTreeMap::new(),
            next_rpc: 0,
            receipts: Receipts::new(),
            adversaries: parts
                .iter()
                .enumerate()
                .filter_map(|(at, part)| Some((at, adversaries::of(part.deed?, seed, part))))
                .collect(),
            secrets: Secrets::default(),
            uploads: BTreeMap::new(),
            last_record_ms: 0,
            violations: Vec::new(),
            counters: Counters::default(),
            journal,
            scenario: scenario.clone(),
        }
    }

    /// Runs until everything is settled or the scenario's time is up.
    pub(crate) fn run(mut self) -> Ended {
        self.plan_beginning();
        let mut settled_at = SETTLE_MS;
        while let Some((at, what)) = self.queue.pop() {
            self.now = at;
            if let Happening::Look = what
                && at >= settled_at
            {
                settled_at = at + SETTLE_MS;
                match self.unsettled() {
                    Ok(None) => break,
                    Ok(Some(reason)) if at > self.scenario.duration_ms => {
                        self.violations
                            .push(format!("not settled after {at} ms: {reason}"));
                        break;
                    }
                    Ok(Some(_)) => {}
                    Err(error) => {
                        self.violations.push(format!("a store is damaged: {error}"));
                        break;
                    }
                }
            }
            self.happen(what);
            if self.journal.lines() > EVENTS_PER_NODE_MAX * self.scenario.nodes {
                self.violations
                    .push(format!("given up after {at} ms: the events never end"));
                break;
            }
        }
        self.end()
    }

    fn plan_beginning(&mut self) {
        for host in 0..self.hosts.len() {
            // Faces must start at the same time: they sign the same profile.
            let face = self.host(host).part.role.is_face();
            let at = if face { 0 } else { self.draws.within([0, 400]) };
            self.queue.plan(at, Happening::Start { host });
        }
        for (number, [start, length]) in self.faults.partitions().into_iter().enumerate() {
            self.queue.plan(start, Happening::Split { number });
            self.queue.plan(start + length, Happening::Heal { number });
        }
        self.arm_all(When::Start, 0);
        self.queue.plan(LOOK_MS, Happening::Look);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Start { host } => self.start(host),
            Happening::Step { host, life } if self.lives(host, life) => self.step(host),
            Happening::Timer { host, life } if self.lives(host, life) => self.timer(host),
            Happening::Done {
                host,
                life,
                job,
                work,
            } if self.lives(host, life) => {
                self.work_done(host, job, &work);
            }
            Happening::Step { .. } | Happening::Timer { .. } | Happening::Done { .. } => {}
            Happening::Connect { ends } => self.connect(ends),
            Happening::Notice { host, peer, link } => self.notice(host, peer, link),
            Happening::Gossip(hop) => self.gossip_arrives(hop),
            Happening::Request {
                rpc,
                from,
                to,
                link,
                data,
            } => self.request_arrives(rpc, from, to, link, data),
            Happening::Response { rpc, data } => self.response_arrives(rpc, data),
            Happening::Timeout { rpc } => self.timed_out(rpc),
            Happening::Split { number } => self.split(number),
            Happening::Heal { number } => self.heal(number),
            Happening::Arm { number } => self.arm(number),
            Happening::Force { number } => self.force(number),
            Happening::Look => self.look(),
        }
    }

    // --- hosts ------------------------------------------------------------------------------------

    fn host(&self, at: HostId) -> &Host {
        self.hosts.get(at).expect("host numbers come from the cast")
    }

    fn host_mut(&mut self, at: HostId) -> &mut Host {
        self.hosts.get_mut(at).expect("host numbers come from the cast")
    }

    fn lives(&self, host: HostId, life: u64) -> bool {
        self.host(host).is_up() && self.host(host).life == life
    }

    fn log(&mut self, host: HostId, what: std::fmt::Arguments<'_>) {
        self.journal.line(self.now, &format!("n{host}"), what);
    }

    fn start(&mut self, at: HostId) {
        let (seed, acquainted) = (self.seed, self.scenario.acquainted);
        let trust = self.trust_of(at);
        let host = self.host_mut(at);
        if host.is_up() {
            return;
        }
        let options = host.part.options(seed, at, host.life + 1, &trust);
        let provides = matches!(host.part.role, Role::Researcher(_) | Role::Face { .. });
        host.start(NodeCore::new(options));
        host.inbox.push(Input::Start);
        let blobs = provides.then(|| format!("memory:{at}"));
        if !acquainted {
            host.inbox.push(Input::Listening {
                multiaddrs: vec![format!("/memory/{at}")],
                blobs,
            });
        }
        let life = host.life;
        self.log(at, format_args!("starts, life {life}"));
        self.step(at);
        self.script.restarted(at, self.now);
        for ends in self.network.kept(Some(at)) {
            let when = self.now + self.draws.within([20, 800]);
            self.queue.plan(when, Happening::Connect { ends });
        }
    }

    /// Hands an input to a host, by way of its adversary where it has one.
    fn input(&mut self, at: HostId, input: Input) {
        if let Some(input) = self.heard(at, input) {
            self.deliver(at, input);
        }
    }

    /// Hands an input to a host's machine; it waits for the write under way.
    fn deliver(&mut self, at: HostId, input: Input) {
        let delay = self.network.commit();
        let when = self.now + delay;
        let host = self.host_mut(at);
        if host.part.role.is_face() && !equivocator::hears(&input) {
            return;
        }
        host.inbox.push(input);
        if !host.stepping {
            host.stepping = true;
            let life = host.life;
            self.queue.plan(when, Happening::Step { host: at, life });
        }
    }

    fn step(&mut self, at: HostId) {
        let now = self.now;
        let host = self.host_mut(at);
        host.stepping = false;
        let result = host.step(now);
        let (struck, seen) = (host.control.struck(), host.control.violations());
        self.counters.steps += 1;
        self.violations
            .extend(seen.into_iter().map(|what| format!("{now} n{at}: {what}")));
        match (result, struck) {
            (Ok(outputs), None) => self.outputs(at, outputs),
            (Ok(_), Some(Fault::Disk)) => {
                self.violations
                    .push(format!("{now} n{at}: a failed write was taken for done"));
                self.stop_with(at, Fault::Disk, Vec::new());
            }
            (Ok(outputs), Some(fault)) => self.stop_with(at, fault, outputs),
            (Err(_), Some(fault)) => self.stop_with(at, fault, Vec::new()),
            (Err(error), None) => {
                self.violations
                    .push(format!("{now} n{at}: its store failed: {error}"));
                self.host_mut(at).stop();
            }
        }
    }

    fn timer(&mut self, at: HostId) {
        let now = self.now;
        let host = self.host_mut(at);
        if host.timer_planned != Some(now) {
            return;
        }
        host.timer_planned = None;
        if host.timer_at > now {
            self.plan_timer(at);
        } else {
            self.input(at, Input::Timer);
        }
    }

    fn plan_timer(&mut self, at: HostId) {
        let host = self.host_mut(at);
        let (when, life) = (host.timer_at, host.life);
        if host.timer_planned.is_none_or(|planned| planned > when) {
            host.timer_planned = Some(when);
            self.queue.plan(when, Happening::Timer { host: at, life });
        }
    }

    fn look(&mut self) {
        self.queue.plan(self.now + LOOK_MS, Happening::Look);
        match self.script.look(self.now, &self.hosts, &self.ports) {
            Ok(asked) => {
                for (host, id, command) in asked {
                    self.log(host, format_args!("command {id}: {}", command_name(&command)));
                    self.has_blobs(host, &command);
                    self.input(
                        host,
                        Input::Command {
                            id,
                            command: Box::new(command),
                        },
                    );
                }
            }
            Err(error) => self
                .violations
                .push(format!("{} a user's node is damaged: {error}", self.now)),
        }
    }
}

fn command_name(command: &fieldmark_node_core::io::Command) -> &'static str {
    use fieldmark_node_core::io::Command;
    match command {
        Command::Publish(_) => "publish",
        Command::CreateChallenge { .. } => "create a challenge",
        Command::AddDataset { .. } => "add a dataset",
        Command::Join { .. } => "join",
        _ => "other",
    }
}
