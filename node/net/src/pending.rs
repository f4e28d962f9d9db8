//! What waits for the caller or for a peer: gossip without a verdict, requests without a response.
//!
//! Every table has a bound; at the bound the newest request is refused and the oldest gossip forgotten
//! (it then counts as ignored).

use std::collections::{BTreeMap, VecDeque};

use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};

use crate::codec::Reply;
use crate::topic::{GossipId, Topic};

/// Gossip messages without a verdict.
pub(crate) const GOSSIP_MAX: usize = 4096;
/// Requests of peers without a response.
pub(crate) const INBOUND_MAX: usize = 1024;
/// Requests to peers without a response.
pub(crate) const OUTBOUND_MAX: usize = 4096;

/// Gossip messages that wait for a verdict.
#[derive(Debug, Default)]
pub(crate) struct PendingGossip {
    waiting: BTreeMap<GossipId, (PeerId, Topic)>,
    order: VecDeque<GossipId>,
}

impl PendingGossip {
    pub(crate) fn insert(&mut self, message: GossipId, from: PeerId, topic: Topic) {
        if self.waiting.insert(message, (from, topic)).is_none() {
            self.order.push_back(message);
        }
        while self.order.len() > GOSSIP_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.waiting.remove(&oldest);
            }
        }
    }

    pub(crate) fn take(&mut self, message: &GossipId) -> Option<(PeerId, Topic)> {
        let found = self.waiting.remove(message);
        // Verdicts mostly come in order, so that the front clears itself.
        while self
            .order
            .front()
            .is_some_and(|front| !self.waiting.contains_key(front))
        {
            self.order.pop_front();
        }
        found
    }
}

/// Requests of peers that wait for the caller.
#[derive(Debug, Default)]
pub(crate) struct PendingInbound {
    next: u64,
    channels: BTreeMap<u64, (InboundRequestId, ResponseChannel<Reply>)>,
    numbers: BTreeMap<InboundRequestId, u64>,
}

impl PendingInbound {
    /// Takes a request in and returns its number, or the channel back at the bound.
    pub(crate) fn insert(
        &mut self,
        id: InboundRequestId,
        channel: ResponseChannel<Reply>,
    ) -> Result<u64, ResponseChannel<Reply>> {
        if self.channels.len() >= INBOUND_MAX {
            return Err(channel);
        }
        let number = self.next;
        self.next += 1;
        self.channels.insert(number, (id, channel));
        self.numbers.insert(id, number);
        Ok(number)
    }

    pub(crate) fn take(&mut self, number: u64) -> Option<ResponseChannel<Reply>> {
        let (id, channel) = self.channels.remove(&number)?;
        self.numbers.remove(&id);
        Some(channel)
    }

    /// The request failed or ended without the caller.
    pub(crate) fn forget(&mut self, id: &InboundRequestId) {
        if let Some(number) = self.numbers.remove(id) {
            self.channels.remove(&number);
        }
    }
}

/// Requests to peers that wait for their responses, with the caller's numbers.
#[derive(Debug, Default)]
pub(crate) struct PendingOutbound {
    numbers: BTreeMap<OutboundRequestId, u64>,
}

impl PendingOutbound {
    pub(crate) fn is_full(&self) -> bool {
        self.numbers.len() >= OUTBOUND_MAX
    }

    pub(crate) fn insert(&mut self, id: OutboundRequestId, request: u64) {
        self.numbers.insert(id, request);
    }

    pub(crate) fn take(&mut self, id: &OutboundRequestId) -> Option<u64> {
        self.numbers.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> GossipId {
        GossipId::of("/t", &number.to_le_bytes())
    }

    #[test]
    fn the_oldest_gossip_is_forgotten_at_the_bound() {
        let mut pending = PendingGossip::default();
        for number in 0..=GOSSIP_MAX {
            pending.insert(id(number), PeerId::random(), Topic::Heads);
        }
        assert!(pending.take(&id(0)).is_none());
        assert!(pending.take(&id(1)).is_some());
    }

    #[test]
    fn verdicts_in_any_order_leave_nothing_behind() {
        let mut pending = PendingGossip::default();
        for number in 0..100 {
            pending.insert(id(number), PeerId::random(), Topic::Heads);
        }
        for number in (0..100).rev() {
            assert!(pending.take(&id(number)).is_some());
        }
        assert!(pending.order.is_empty() && pending.waiting.is_empty());
    }
}
