//! The virtual network: who is linked with whom, how long a message takes, whether it is lost, and who
//! cannot be reached from where.
//!
//! Every host keeps a few links up; others come from dialing and are gone when they break. A message
//! that is under way when its link breaks is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::draws::Draws;
use crate::part::{HostId, Part, Role};
use crate::scenario::{self, Scenario};

/// Names a connection; a new one between the same hosts has another id.
pub(crate) type LinkId = u64;

/// A connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) ends: [HostId; 2],
    latency_ms: u64,
}

impl Link {
    /// The end that is not `host`.
    pub(crate) fn other(&self, host: HostId) -> HostId {
        let [first, second] = self.ends;
        if first == host { second } else { first }
    }
}

/// Links, delays and partitions.
#[derive(Debug)]
pub(crate) struct Network {
    knobs: scenario::Network,
    draws: Draws,
    links: BTreeMap<LinkId, Link>,
    next: LinkId,
    kept: Vec<[HostId; 2]>,
    /// The smaller sides of the partitions under way.
    sides: BTreeMap<usize, BTreeSet<HostId>>,
    lost: u64,
}

impl Network {
    pub(crate) fn new(scenario: &Scenario, seed: u64, parts: &[Part]) -> Self {
        let mut draws = Draws::of(seed, "network");
        let degree = usize::try_from(scenario.network.degree).unwrap_or(usize::MAX);
        let kept = graph(parts, degree, &mut draws);
        let (links, sides) = (BTreeMap::new(), BTreeMap::new());
        Self {
            knobs: scenario.network.clone(),
            draws,
            links,
            next: 0,
            kept,
            sides,
            lost: 0,
        }
    }

    /// The links that are kept up, or those of one host.
    pub(crate) fn kept(&self, host: Option<HostId>) -> Vec<[HostId; 2]> {
        let with = |ends: &&[HostId; 2]| host.is_none_or(|host| ends.contains(&host));
        self.kept.iter().filter(with).copied().collect()
    }

    /// Messages lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether no partition lies between two hosts.
    pub(crate) fn reachable(&self, one: HostId, other: HostId) -> bool {
        self.sides
            .values()
            .all(|side| side.contains(&one) == side.contains(&other))
    }

    /// A new connection.
    pub(crate) fn open(&mut self, ends: [HostId; 2]) -> LinkId {
        self.next += 1;
        let latency_ms = self.draws.within(self.knobs.latency_ms);
        self.links.insert(self.next, Link { ends, latency_ms });
        self.next
    }

    /// A connection that is not broken.
    pub(crate) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    /// The open connection between two hosts.
    pub(crate) fn between(&self, one: HostId, other: HostId) -> Option<LinkId> {
        let joins = |link: &Link| link.ends.contains(&one) && link.ends.contains(&other);
        self.links.iter().find(|(_, link)| joins(link)).map(|(id, _)| *id)
    }

    /// How long a message on a connection takes; `None` when it is lost.
    pub(crate) fn delay(&mut self, id: LinkId) -> Option<u64> {
        let latency = self.links.get(&id)?.latency_ms;
        if self.draws.percent(self.knobs.loss_percent) {
            self.lost += 1;
            return None;
        }
        Some(latency + self.draws.within(self.knobs.jitter_ms))
    }

    /// Whether a message arrives twice.
    pub(crate) fn duplicates(&mut self) -> bool {
        self.knobs.duplicate_percent > 0 && self.draws.percent(self.knobs.duplicate_percent)
    }

    /// When a request without a response fails.
    pub(crate) fn timeout(&mut self) -> u64 {
        self.draws.within(self.knobs.timeout_ms)
    }

    /// When the other side of a broken connection takes note.
    pub(crate) fn notice(&mut self) -> u64 {
        self.draws.within(self.knobs.notice_ms)
    }

    /// How long a synced write takes.
    pub(crate) fn commit(&mut self) -> u64 {
        self.draws.within(self.knobs.commit_ms)
    }

    /// Breaks every connection of a host; returns them.
    pub(crate) fn isolate(&mut self, host: HostId) -> Vec<(LinkId, Link)> {
        self.break_links(|link| link.ends.contains(&host))
    }

    /// A partition begins: breaks the connections across it and returns them.
    pub(crate) fn split(&mut self, number: usize, hosts: usize, share_percent: u64) -> Vec<(LinkId, Link)> {
        let mut order: Vec<HostId> = (0..hosts).collect();
        self.draws.shuffle(&mut order);
        let share = usize::try_from(share_percent).unwrap_or(0);
        order.truncate((hosts * share / 100).max(1));
        let side: BTreeSet<HostId> = order.into_iter().collect();
        let broken = self.break_links(|link| {
            let [first, second] = link.ends;
            side.contains(&first) != side.contains(&second)
        });
        self.sides.insert(number, side);
        broken
    }

    /// A partition ends; returns the links to be kept up that it may have broken.
    pub(crate) fn heal(&mut self, number: usize) -> Vec<[HostId; 2]> {
        let Some(side) = self.sides.remove(&number) else {
            return Vec::new();
        };
        let crosses = |[one, other]: &&[HostId; 2]| side.contains(one) != side.contains(other);
        self.kept.iter().filter(crosses).copied().collect()
    }

    fn break_links(&mut self, which: impl Fn(&Link) -> bool) -> Vec<(LinkId, Link)> {
        let broken: Vec<_> = self
            .links
            .iter()
            .filter(|(_, l)| which(l))
            .map(|(id, l)| (*id, *l))
            .collect();
        for (id, _) in &broken {
            self.links.remove(id);
        }
        broken
    }
}

/// A connected graph: a ring of the honest in drawn order, then chords until each has its degree. The
/// faces of an equivocator hang on one half of the ring each.
fn graph(parts: &[Part], degree: usize, draws: &mut Draws) -> Vec<[HostId; 2]> {
    let mut ring: Vec<HostId> = (0..parts.len()).collect();
    ring.retain(|at| parts.get(*at).is_some_and(|part| !part.role.is_face()));
    draws.shuffle(&mut ring);
    let mut edges = BTreeSet::new();
    let mut degrees: BTreeMap<HostId, usize> = BTreeMap::new();
    let mut join = |one: HostId, other: HostId| {
        if one != other && edges.insert([one.min(other), one.max(other)]) {
            *degrees.entry(one).or_default() += 1;
            *degrees.entry(other).or_default() += 1;
        }
        degrees.get(&one).copied().unwrap_or(0)
    };
    for (one, other) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        join(*one, *other);
    }
    for one in &ring {
        // A small network may have too few others; the number of tries is bounded.
        for _ in 0..4 * degree {
            let other = ring.get(draws.index(ring.len())).copied().unwrap_or(*one);
            if join(*one, *one) >= degree || join(*one, other) >= degree {
                break;
            }
        }
    }
    let (first, second) = ring.split_at(ring.len() / 2);
    for (at, part) in parts.iter().enumerate() {
        let Role::Face { half, .. } = part.role else {
            continue;
        };
        let half = if half == 0 { first } else { second };
        for _ in 0..degree {
            join(at, half.get(draws.index(half.len())).copied().unwrap_or(at));
        }
    }
    edges.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::cast;
    use std::path::Path;

    fn network(loss: u64) -> (Network, usize) {
        let text = format!("name = \"n\"\nnodes = 40\nequivocators = 1\n[network]\nloss_percent = {loss}");
        let scenario = Scenario::parse(&text, Path::new("x")).unwrap();
        let parts = cast(&scenario, 5);
        (Network::new(&scenario, 5, &parts), parts.len())
    }

    #[test]
    fn the_graph_is_connected_and_faces_share_no_neighbour() {
        let (network, hosts) = network(0);
        let mut reached = BTreeSet::from([0]);
        for _ in 0..hosts {
            for [one, other] in network.kept(None) {
                if reached.contains(&one) || reached.contains(&other) {
                    reached.extend([one, other]);
                }
            }
        }
        assert_eq!(reached.len(), hosts);
        let neighbours = |face: HostId| -> BTreeSet<HostId> {
            network
                .kept(Some(face))
                .into_iter()
                .flatten()
                .filter(|at| *at != face)
                .collect()
        };
        assert!(neighbours(hosts - 1).is_disjoint(&neighbours(hosts - 2)));
        assert!((0..hosts - 2).all(|at| network.kept(Some(at)).len() >= 5));
    }

    #[test]
    fn loss_is_about_what_was_asked_for() {
        let (mut network, _) = network(10);
        let link = network.open([1, 2]);
        let lost = (0..10_000).filter(|_| network.delay(link).is_none()).count();
        assert!((900..1_100).contains(&lost), "{lost}");
        assert_eq!(network.lost(), lost as u64);
    }

    #[test]
    fn a_partition_breaks_what_crosses_it_until_it_heals() {
        let (mut network, hosts) = network(0);
        for ends in network.kept(None) {
            network.open(ends);
        }
        let broken = network.split(0, hosts, 30);
        assert!(!broken.is_empty());
        for (id, link) in &broken {
            let [one, other] = link.ends;
            assert!(!network.reachable(one, other) && network.link(*id).is_none());
        }
        let again = network.heal(0);
        assert_eq!(again.len(), broken.len());
        assert!(again.iter().all(|[one, other]| network.reachable(*one, *other)));
    }
}
