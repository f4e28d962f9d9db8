//! What each event of libp2p's parts means to the caller.

use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{PeerId, identify, mdns, request_response};

use super::{Multiaddr, Shell};
use crate::behaviour::{PartsEvent, kad_protocol, network_protocol};
use crate::codec::Reply;
use crate::identity::node_key_of;
use crate::message::{Event, RequestFailure};
use crate::topic::{GossipId, Topic};

/// Addresses of one peer that Kademlia is told.
const PEER_ADDRESSES_MAX: usize = 8;
/// Peers dialled from one multicast DNS answer.
const MDNS_DIALS_MAX: usize = 16;

impl Shell {
    pub(super) fn translate_part(&mut self, event: PartsEvent) {
        match event {
            PartsEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => {
                self.gossip_message(propagation_source, &message_id, message);
            }
            PartsEvent::Rpc(event) => self.rpc_event(event),
            PartsEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.identified(peer_id, info);
            }
            PartsEvent::Mdns(mdns::Event::Discovered(found)) => self.discovered(found),
            _ => {}
        }
    }

    fn gossip_message(&mut self, source: PeerId, id: &gossipsub::MessageId, message: gossipsub::Message) {
        let topic = Topic::of_hash(&message.topic, &self.network);
        let key = <[u8; 32]>::try_from(id.0.as_slice()).ok().map(GossipId);
        let (Some(topic), Some(key), Some(from)) = (topic, key, node_key_of(&source)) else {
            return;
        };
        if message.data.len() > topic.bytes_max() {
            let gossip = &mut self.swarm.behaviour_mut().gossip;
            gossip.report_message_validation_result(id, &source, MessageAcceptance::Reject);
            return;
        }
        self.gossip.insert(key, source, topic);
        self.emit(Event::Gossip {
            message: key,
            topic,
            from,
            data: message.data,
        });
    }

    fn rpc_event(&mut self, event: request_response::Event<Vec<u8>, Reply>) {
        use request_response::{Event as Rpc, Message};
        match event {
            Rpc::Message {
                peer,
                message:
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    },
                ..
            } => {
                let Some(key) = node_key_of(&peer) else { return };
                match self.inbound.insert(request_id, channel) {
                    Ok(inbound) => self.emit(Event::Request {
                        peer: key,
                        inbound,
                        data: request,
                    }),
                    Err(channel) => {
                        // An error says that the peer has gone.
                        let _ = self
                            .swarm
                            .behaviour_mut()
                            .rpc
                            .send_response(channel, Reply::Declined);
                    }
                }
            }
            Rpc::Message {
                message: Message::Response { request_id, response },
                ..
            } => {
                let result = match response {
                    Reply::Answered(data) => Ok(data),
                    Reply::Declined => Err(RequestFailure::Refused),
                };
                self.finish(&request_id, result);
            }
            Rpc::OutboundFailure {
                request_id, error, ..
            } => {
                self.finish(&request_id, Err(failure_of(&error)));
            }
            Rpc::InboundFailure {
                request_id,
                peer,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a request of a peer failed");
                self.inbound.forget(&request_id);
            }
            Rpc::ResponseSent { request_id, .. } => self.inbound.forget(&request_id),
        }
    }

    fn finish(&mut self, id: &request_response::OutboundRequestId, result: Result<Vec<u8>, RequestFailure>) {
        if let Some(request) = self.outbound.take(id) {
            self.emit(Event::Response { request, result });
        }
    }

    fn identified(&mut self, peer: PeerId, info: identify::Info) {
        if info.protocol_version != network_protocol(&self.network) {
            tracing::debug!(%peer, theirs = info.protocol_version, "the peer is on another network");
            // An error says that it has gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        let serves_kad = kad_protocol(&self.network).is_ok_and(|name| info.protocols.contains(&name));
        if serves_kad {
            for addr in info.listen_addrs.into_iter().take(PEER_ADDRESSES_MAX) {
                self.swarm.behaviour_mut().kad.add_address(&peer, addr);
            }
        }
    }

    fn discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, addr) in found.into_iter().take(MDNS_DIALS_MAX) {
            if node_key_of(&peer).is_none() || self.is_self_or_connected(&peer) {
                continue;
            }
            let options = DialOpts::peer_id(peer)
                .addresses(vec![addr])
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%peer, %error, "a peer of the local network was not dialled");
            }
        }
    }
}

fn failure_of(error: &request_response::OutboundFailure) -> RequestFailure {
    use request_response::OutboundFailure;
    match error {
        OutboundFailure::DialFailure => RequestFailure::NotConnected,
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::ConnectionClosed => RequestFailure::ConnectionClosed,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(_) => RequestFailure::Stream,
    }
}
