//! What each command does to the swarm.

use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, PublishError};
use libp2p::swarm::dial_opts::DialOpts;

use super::{DIALS_MAX, Multiaddr, Shell, peer_of};
use crate::codec::Reply;
use crate::identity::{NodeKey, peer_id_of};
use crate::message::{Command, Event, PublishFailure, RequestFailure, Verdict};
use crate::scoring::APPLICATION_SCORE_RANGE;
use crate::topic::{GossipId, Topic};

/// Bans remembered; at the bound the oldest ends.
const BANS_MAX: usize = 4096;

impl Shell {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Publish { topic, data } => {
                if let Err(failure) = self.publish(topic, data) {
                    self.emit(Event::PublishFailed { topic, failure });
                }
            }
            Command::Verdict { message, verdict } => self.judge(message, verdict),
            Command::Request { peer, request, data } => {
                if let Err(failure) = self.request(&peer, request, data) {
                    self.emit(Event::Response {
                        request,
                        result: Err(failure),
                    });
                }
            }
            Command::Respond { inbound, data } if data.len() <= self.limits.rpc_bytes_max => {
                self.reply(inbound, Reply::Answered(data));
            }
            Command::Respond { inbound, data } => {
                tracing::warn!(
                    bytes = data.len(),
                    "a response is over the bound: the request is declined"
                );
                self.reply(inbound, Reply::Declined);
            }
            Command::Refuse { inbound } => self.reply(inbound, Reply::Declined),
            Command::Dial { addr } => self.dial(addr),
            Command::Disconnect { peer } => self.with_peer(&peer, |shell, peer| {
                // An error says that the peer is not connected, which is what was asked for.
                let _ = shell.swarm.disconnect_peer_id(peer);
            }),
            Command::Ban { peer } => self.with_peer(&peer, Self::ban),
            Command::Unban { peer } => self.with_peer(&peer, Self::unban),
            Command::Score { peer, score } => self.with_peer(&peer, |shell, peer| shell.score(&peer, score)),
        }
    }

    fn publish(&mut self, topic: Topic, data: Vec<u8>) -> Result<(), PublishFailure> {
        let (bytes, bytes_max) = (data.len(), topic.bytes_max());
        if bytes > bytes_max {
            return Err(PublishFailure::TooLarge { bytes, bytes_max });
        }
        let hash = topic.ident(&self.network).hash();
        let published = self.swarm.behaviour_mut().gossip.publish(hash, data);
        published.map(|_| ()).map_err(|error| match error {
            PublishError::Duplicate => PublishFailure::Duplicate,
            PublishError::NoPeersSubscribedToTopic => PublishFailure::NoPeers,
            PublishError::MessageTooLarge => PublishFailure::TooLarge { bytes, bytes_max },
            PublishError::AllQueuesFull(_) => PublishFailure::QueuesFull,
            PublishError::SigningError(_) | PublishError::TransformFailed(_) => PublishFailure::Internal,
        })
    }

    fn judge(&mut self, message: GossipId, verdict: Verdict) {
        let Some((from, topic)) = self.gossip.take(&message) else {
            return;
        };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        if verdict == Verdict::Accept {
            self.rates.accepted(topic);
        }
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        // False says that the verdict came too late for the message to be passed on.
        if !gossip.report_message_validation_result(&message.to_message_id(), &from, acceptance) {
            tracing::debug!(?message, "a verdict came too late");
        }
    }

    fn request(&mut self, peer: &NodeKey, request: u64, data: Vec<u8>) -> Result<(), RequestFailure> {
        let bytes_max = self.limits.rpc_bytes_max;
        if data.len() > bytes_max {
            return Err(RequestFailure::TooLarge {
                bytes: data.len(),
                bytes_max,
            });
        }
        let peer = peer_id_of(peer).map_err(|_| RequestFailure::NotConnected)?;
        if !self.swarm.is_connected(&peer) {
            return Err(RequestFailure::NotConnected);
        }
        if self.outbound.is_full() {
            return Err(RequestFailure::TooManyOpen);
        }
        let id = self.swarm.behaviour_mut().rpc.send_request(&peer, data);
        self.outbound.insert(id, request);
        Ok(())
    }

    fn reply(&mut self, inbound: u64, reply: Reply) {
        let Some(channel) = self.inbound.take(inbound) else {
            return;
        };
        // An error says that the peer has gone or stopped waiting.
        let _ = self.swarm.behaviour_mut().rpc.send_response(channel, reply);
    }

    fn dial(&mut self, addr: Multiaddr) {
        let peer = peer_of(&addr);
        if peer.is_some_and(|peer| self.is_self_or_connected(&peer)) {
            return;
        }
        let options = DialOpts::from(addr.clone());
        let connection = options.connection_id();
        if let Err(error) = self.swarm.dial(options) {
            let peer = peer.as_ref().and_then(crate::identity::node_key_of);
            self.emit(Event::DialFailed {
                peer,
                addr: Some(addr),
                cause: error.to_string(),
            });
        } else if self.dials.len() < DIALS_MAX {
            self.dials.insert(connection, addr);
        }
    }

    fn ban(&mut self, peer: PeerId) {
        if self.swarm.behaviour_mut().bans.block_peer(peer) {
            self.banned.push_back(peer);
        }
        while self.banned.len() > BANS_MAX {
            if let Some(oldest) = self.banned.pop_front() {
                self.swarm.behaviour_mut().bans.unblock_peer(oldest);
            }
        }
    }

    fn unban(&mut self, peer: PeerId) {
        self.swarm.behaviour_mut().bans.unblock_peer(peer);
        self.banned.retain(|other| *other != peer);
    }

    fn score(&mut self, peer: &PeerId, score: f64) {
        if score.is_nan() {
            return;
        }
        let score = score.clamp(*APPLICATION_SCORE_RANGE.start(), *APPLICATION_SCORE_RANGE.end());
        self.swarm
            .behaviour_mut()
            .gossip
            .set_application_score(peer, score);
    }

    /// Commands about a key that is no key concern nobody.
    fn with_peer(&mut self, key: &NodeKey, act: impl FnOnce(&mut Self, PeerId)) {
        if let Ok(peer) = peer_id_of(key) {
            act(self, peer);
        }
    }
}
