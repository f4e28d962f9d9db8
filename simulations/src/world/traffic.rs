//! What passes between hosts: connections, gossip, requests and their responses.
//!
//! Gossip floods: a host hands a message to its machine once and passes it on to its neighbours when the
//! machine accepts it. A request or response that is lost becomes a failure after a while.

use std::collections::BTreeMap;
use std::rc::Rc;

use fieldmark_node_core::io::{InboundId, Input, RequestId, Verdict};
use fieldmark_node_core::rpc;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::Topic;
use fieldmark_protocol::report::Receipt;
use fieldmark_protocol::wire::rpc_response;
use fieldmark_protocol::{PublicKey, ReportId};

use super::{Happening, World};
use crate::host::Judged;
use crate::journal::digest;
use crate::network::LinkId;
use crate::part::{HostId, Role};

/// Names a request and its response between two hosts; the responder's `InboundId`.
pub(super) type RpcId = InboundId;

/// Report ids that contributors hold receipts for, by batch and identity.
pub(crate) type Receipts = BTreeMap<(BatchId, PublicKey), ReportId>;

/// A gossip message under way to a neighbour.
#[derive(Debug)]
pub(super) struct Hop {
    from: HostId,
    to: HostId,
    link: LinkId,
    message: [u8; 32],
    topic: Topic,
    data: Rc<[u8]>,
    /// It arrived before, and the host has forgotten that.
    again: bool,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Rpc {
    asker: HostId,
    asker_life: u64,
    request: RequestId,
    responder: HostId,
    link: LinkId,
    /// A second arrival of a request; nobody waits for its response.
    echo: bool,
}

impl World {
    // --- connections ------------------------------------------------------------------------------

    pub(super) fn dial(&mut self, at: HostId, multiaddr: &str) {
        let to = multiaddr
            .strip_prefix("/memory/")
            .and_then(|number| number.parse::<HostId>().ok());
        let Some(to) = to.filter(|to| *to < self.hosts.len() && *to != at) else {
            return;
        };
        let when = self.now + self.draws.within([20, 300]);
        self.queue.plan(when, Happening::Connect { ends: [at, to] });
    }

    pub(super) fn connect(&mut self, ends: [HostId; 2]) {
        let [one, other] = ends;
        let up = self.host(one).is_up() && self.host(other).is_up();
        if !up || !self.network.reachable(one, other) || self.network.between(one, other).is_some() {
            return;
        }
        let keys = [self.host(one).part.node_key(), self.host(other).part.node_key()];
        let sides = [(one, keys[1]), (other, keys[0])];
        // A host connected to one face of an equivocator takes the other for the same node.
        let held = |(host, peer): &(HostId, PublicKey)| {
            self.host(*host)
                .peers
                .get(peer)
                .is_some_and(|link| self.network.link(*link).is_some())
        };
        if sides.iter().any(held) {
            return;
        }
        for (host, peer) in sides {
            if let Some(stale) = self.host(host).peers.get(&peer).copied() {
                self.notice(host, peer, stale);
            }
        }
        let link = self.network.open(ends);
        for (host, peer) in sides {
            self.host_mut(host).peers.insert(peer, link);
            self.log(host, format_args!("connected to {}", peer.short()));
            self.input(host, Input::Connected { peer });
        }
    }

    /// A host takes note that a link is broken; its requests over it fail.
    pub(super) fn notice(&mut self, at: HostId, peer: PublicKey, link: LinkId) {
        let host = self.host_mut(at);
        if host.peers.get(&peer) != Some(&link) {
            return;
        }
        host.peers.remove(&peer);
        self.log(at, format_args!("disconnected from {}", peer.short()));
        self.input(at, Input::Disconnected { peer });
        let over = |(id, rpc): (&RpcId, &Rpc)| (rpc.link == link && rpc.asker == at).then_some(*id);
        let failed: Vec<RpcId> = self.rpcs.iter().filter_map(over).collect();
        for rpc in failed {
            self.fail(rpc, "the connection closed");
        }
    }

    /// Whether a message that left over `link` still reaches `to`.
    fn arrives(&self, from: HostId, to: HostId, link: LinkId) -> bool {
        let sender = self.host(from).part.node_key();
        let host = self.host(to);
        host.is_up() && host.peers.get(&sender) == Some(&link) && self.network.reachable(from, to)
    }

    // --- gossip -----------------------------------------------------------------------------------

    pub(super) fn broadcast(&mut self, at: HostId, topic: Topic, data: Vec<u8>) {
        let message = message_id(topic, &data);
        self.log(at, format_args!("broadcasts {} {}", topic.name(), digest(&data)));
        self.host_mut(at).seen.insert(message);
        self.pass_on(at, None, message, topic, &Rc::from(data));
    }

    /// Sends a message to every neighbour that is not known to have it.
    fn pass_on(
        &mut self,
        at: HostId,
        but: Option<PublicKey>,
        message: [u8; 32],
        topic: Topic,
        data: &Rc<[u8]>,
    ) {
        let peers: Vec<(PublicKey, LinkId)> = self.host(at).peers.iter().map(|(p, l)| (*p, *l)).collect();
        for (peer, link) in peers {
            let Some(to) = self.network.link(link).map(|l| l.other(at)) else {
                continue;
            };
            // Neighbours tell each other what they have, as gossipsub's IDONTWANT does.
            if but == Some(peer) || self.host(to).seen.contains(&message) {
                continue;
            }
            self.counters.messages += 1;
            self.counters.bytes += data.len() as u64;
            let Some(delay) = self.network.delay(link) else {
                continue;
            };
            let hop = |again| {
                Happening::Gossip(Hop {
                    from: at,
                    to,
                    link,
                    message,
                    topic,
                    data: Rc::clone(data),
                    again,
                })
            };
            self.queue.plan(self.now + delay, hop(false));
            if self.network.duplicates()
                && let Some(delay) = self.network.delay(link)
            {
                self.queue.plan(self.now + delay, hop(true));
            }
        }
    }

    pub(super) fn gossip_arrives(&mut self, hop: Hop) {
        let Hop {
            from,
            to,
            link,
            message,
            topic,
            data,
            again,
        } = hop;
        if !self.arrives(from, to, link) || !(self.host_mut(to).seen.insert(message) || again) {
            return;
        }
        self.log(
            to,
            format_args!("gossip {} {} of n{from}", topic.name(), digest(&data)),
        );
        let from = self.host(from).part.node_key();
        let bytes = data.to_vec();
        self.host_mut(to)
            .judging
            .insert(message, Judged { from, topic, data });
        self.input(
            to,
            Input::Gossip {
                message,
                topic,
                from,
                data: bytes,
            },
        );
    }

    pub(super) fn verdict(&mut self, at: HostId, message: [u8; 32], verdict: Verdict) {
        let Some(judged) = self.host_mut(at).judging.remove(&message) else {
            return;
        };
        match verdict {
            Verdict::Accept => self.pass_on(at, Some(judged.from), message, judged.topic, &judged.data),
            Verdict::Ignore => {}
            // Nobody here sends what is malformed, the equivocators included.
            Verdict::Reject => {
                let (now, topic, data) = (self.now, judged.topic.name(), digest(&judged.data));
                self.violations
                    .push(format!("{now} n{at}: rejected an honest message, {topic} {data}"));
            }
        }
    }

    // --- requests ---------------------------------------------------------------------------------

    pub(super) fn send(&mut self, at: HostId, peer: PublicKey, request: RequestId, data: Vec<u8>) {
        self.next_rpc += 1;
        let rpc = self.next_rpc;
        let link = self.host(at).peers.get(&peer).copied();
        let to = link.and_then(|link| Some((link, self.network.link(link)?.other(at))));
        let asker_life = self.host(at).life;
        self.log(
            at,
            format_args!("request {rpc} to {} {}", peer.short(), digest(&data)),
        );
        self.counters.messages += 1;
        self.counters.bytes += data.len() as u64;
        let (link, responder) = to.unwrap_or((0, at));
        self.rpcs.insert(
            rpc,
            Rpc {
                asker: at,
                asker_life,
                request,
                responder,
                link,
                echo: false,
            },
        );
        let patience = if link == 0 && !self.host(at).peers.contains_key(&peer) {
            1
        } else {
            self.network.timeout()
        };
        self.queue.plan(self.now + patience, Happening::Timeout { rpc });
        self.carry(rpc, at, responder, link, &data);
        if link != 0 && self.network.duplicates() {
            self.next_rpc += 1;
            let echo = Rpc {
                asker: at,
                asker_life,
                request,
                responder,
                link,
                echo: true,
            };
            self.rpcs.insert(self.next_rpc, echo);
            self.carry(self.next_rpc, at, responder, link, &data);
        }
    }

    /// Puts a request on its way, unless it is lost.
    fn carry(&mut self, rpc: RpcId, from: HostId, to: HostId, link: LinkId, data: &[u8]) {
        if let Some(delay) = self.network.delay(link) {
            let data = data.to_vec();
            let arrival = Happening::Request {
                rpc,
                from,
                to,
                link,
                data,
            };
            self.queue.plan(self.now + delay, arrival);
        }
    }

    pub(super) fn request_arrives(
        &mut self,
        rpc: RpcId,
        from: HostId,
        to: HostId,
        link: LinkId,
        data: Vec<u8>,
    ) {
        if self.arrives(from, to, link) {
            self.log(to, format_args!("request {rpc} of n{from}"));
            let peer = self.host(from).part.node_key();
            self.input(
                to,
                Input::Request {
                    peer,
                    inbound: rpc,
                    data,
                },
            );
        }
    }

    pub(super) fn respond(&mut self, at: HostId, inbound: InboundId, data: Vec<u8>) {
        let Some(rpc) = self.rpcs.get(&inbound).filter(|rpc| rpc.responder == at) else {
            return;
        };
        let link = rpc.link;
        self.log(at, format_args!("response {inbound} {}", digest(&data)));
        self.counters.messages += 1;
        self.counters.bytes += data.len() as u64;
        if let Some(delay) = self.network.delay(link) {
            self.queue
                .plan(self.now + delay, Happening::Response { rpc: inbound, data });
        }
    }

    pub(super) fn response_arrives(&mut self, id: RpcId, data: Vec<u8>) {
        let Some(rpc) = self.rpcs.get(&id) else { return };
        if !self.arrives(rpc.responder, rpc.asker, rpc.link) {
            return;
        }
        let Some(rpc) = self.rpcs.remove(&id) else { return };
        if !rpc.echo && self.lives(rpc.asker, rpc.asker_life) {
            self.log(rpc.asker, format_args!("response {id}"));
            self.note_receipt(&rpc, &data);
            self.input(
                rpc.asker,
                Input::Response {
                    request: rpc.request,
                    result: Ok(data),
                },
            );
        }
    }

    pub(super) fn timed_out(&mut self, id: RpcId) {
        self.fail(id, "timed out");
    }

    fn fail(&mut self, id: RpcId, why: &str) {
        let Some(rpc) = self.rpcs.remove(&id) else { return };
        if !rpc.echo && self.lives(rpc.asker, rpc.asker_life) {
            self.log(rpc.asker, format_args!("request {id} failed: {why}"));
            self.input(
                rpc.asker,
                Input::Response {
                    request: rpc.request,
                    result: Err(why.to_owned()),
                },
            );
        }
    }

    /// Keeps the receipts that contributors get.
    fn note_receipt(&mut self, rpc: &Rpc, data: &[u8]) {
        let (asker, leader) = (self.host(rpc.asker), self.host(rpc.responder));
        if !matches!(
            (asker.part.role, leader.part.role),
            (Role::Company(_), Role::Aggregator(0))
        ) {
            return;
        }
        let Ok(rpc_response::Body::Receipt(receipt)) = rpc::response(data) else {
            return;
        };
        let asker = asker.part.identity();
        match Receipt::check(receipt, leader.part.node_key()) {
            Ok(receipt) => {
                // One body may have several identities.
                let contributor = self.uploads.get(&receipt.report_id).copied().unwrap_or(asker);
                let before = self
                    .receipts
                    .insert((receipt.batch, contributor), receipt.report_id);
                let honest = self.host(rpc.responder).part.honest();
                if honest && before.is_some_and(|before| before != receipt.report_id) {
                    self.violations
                        .push(format!("{} two reports of one identity got receipts", self.now));
                }
            }
            Err(error) => self
                .violations
                .push(format!("{} a receipt does not hold: {error}", self.now)),
        }
    }
}

/// The id of a gossip message: its content's hash.
fn message_id(topic: Topic, data: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(topic.name().as_bytes());
    hasher.update(data);
    *hasher.finalize().as_bytes()
}
