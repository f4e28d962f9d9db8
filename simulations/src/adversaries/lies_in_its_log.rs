//! Aggregators that publish other records than their own node signed: a transcript with more reports, a sum
//! that is none, a share that was not committed to.
//!
//! The world sees one consistent log. From the first lie on every record of the node's log is signed anew,
//! because each names the one before; what the node hears of its own log is put back into what it knows, so
//! that it does not take itself for forked.

use std::collections::BTreeMap;

use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::aggregation::{Aggregate, AggregateShare, Transcript};
use fieldmark_protocol::wire::{announcement, rpc_request, rpc_response};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, SecretKey, wire};
use prost::Message;

use super::{Adversary, Scene};
use crate::part::Part;

/// The lie: the payload to show in the place of this one.
type Lie = fn(Kind, &[u8]) -> Option<Vec<u8>>;

#[derive(Debug)]
pub(super) struct LiesInItsLog {
    key: SecretKey,
    lie: Lie,
    /// Own and shown records by seq.
    records: BTreeMap<u64, (RecordId, Record)>,
}

impl LiesInItsLog {
    fn new(part: &Part, lie: Lie) -> Self {
        Self {
            key: part.keys.node.clone(),
            lie,
            records: BTreeMap::new(),
        }
    }

    pub(super) fn inflates(part: &Part) -> Self {
        Self::new(part, |kind, payload| {
            let transcript = Transcript::decode(payload)
                .ok()
                .filter(|_| kind == Kind::Transcript)?;
            let count = transcript.count + 3;
            Some(Transcript { count, ..transcript }.encode())
        })
    }

    pub(super) fn false_sum(part: &Part) -> Self {
        Self::new(part, |kind, payload| {
            let mut aggregate = Aggregate::decode(payload)
                .ok()
                .filter(|_| kind == Kind::Aggregate)?;
            *aggregate.values.first_mut()? += 1_000_000;
            Some(aggregate.encode())
        })
    }

    pub(super) fn opens_otherwise(part: &Part) -> Self {
        Self::new(part, |kind, payload| {
            let mut share = AggregateShare::decode(payload)
                .ok()
                .filter(|_| kind == Kind::AggregateShare)?;
            *share.share.first_mut()? ^= 1;
            Some(share.encode())
        })
    }

    fn log(&self) -> PublicKey {
        self.key.public()
    }

    /// The record that the world sees in the place of one of its own.
    fn shown(&mut self, own: &Record) -> Record {
        let header = own.header();
        if let Some((_, shown)) = self.records.get(&header.seq) {
            return shown.clone();
        }
        let before = header.seq.checked_sub(1).and_then(|seq| self.records.get(&seq));
        let prev = before.map(|(_, shown)| (shown.header().seq, shown.id()));
        let payload = (self.lie)(header.kind, own.payload()).unwrap_or_else(|| own.payload().to_vec());
        let shown = Record::sign(
            &self.key,
            header.author,
            prev,
            header.kind,
            payload,
            header.created_at_ms,
        );
        self.records.insert(header.seq, (own.id(), shown.clone()));
        shown
    }

    fn show(&mut self, record: &mut wire::SignedRecord) {
        if let Ok(own) = Record::check(record.clone())
            && own.header().log == self.log()
        {
            *record = self.shown(&own).to_wire();
        }
    }

    /// Its own head as the world sees it, or the other way round.
    fn turn(&self, frontier: &mut wire::Frontier, outwards: bool) {
        let log = self.log().to_vec();
        for head in frontier.heads.iter_mut().filter(|head| head.log == log) {
            let last = head.next.checked_sub(1).and_then(|seq| self.records.get(&seq));
            if let Some((own, shown)) = last {
                head.head = if outwards {
                    shown.id().to_vec()
                } else {
                    own.to_vec()
                };
            }
        }
    }

    fn is_own(&self, record: &wire::SignedRecord) -> bool {
        Record::check(record.clone()).is_ok_and(|record| record.header().log == self.log())
    }

    /// A response as the world sees it.
    fn response(&mut self, data: Vec<u8>) -> Vec<u8> {
        let Ok(mut response) = wire::RpcResponse::decode(data.as_slice()) else {
            return data;
        };
        match &mut response.body {
            Some(rpc_response::Body::Records(records)) => {
                for record in &mut records.records {
                    self.show(record);
                }
            }
            Some(rpc_response::Body::Frontier(frontier)) => self.turn(frontier, true),
            _ => return data,
        }
        response.encode_to_vec()
    }

    /// A response as its node may hear it.
    fn heard(&self, data: Vec<u8>) -> Vec<u8> {
        let Ok(mut response) = wire::RpcResponse::decode(data.as_slice()) else {
            return data;
        };
        match &mut response.body {
            Some(rpc_response::Body::Records(records)) => {
                records.records.retain(|record| !self.is_own(record));
            }
            Some(rpc_response::Body::Frontier(frontier)) => self.turn(frontier, false),
            _ => return data,
        }
        response.encode_to_vec()
    }

    /// A request with its own head turned round, if it is a frontier.
    fn frontier(&self, data: Vec<u8>, outwards: bool) -> Vec<u8> {
        let Ok(mut request) = wire::RpcRequest::decode(data.as_slice()) else {
            return data;
        };
        let Some(rpc_request::Body::Frontier(frontier)) = &mut request.body else {
            return data;
        };
        self.turn(frontier, outwards);
        request.encode_to_vec()
    }
}

impl Adversary for LiesInItsLog {
    fn hears(&mut self, _scene: &mut Scene<'_>, input: Input) -> (Option<Input>, Vec<Output>) {
        let heard = match input {
            Input::Gossip { ref data, .. } => {
                let announced = wire::Announcement::decode(data.as_slice())
                    .ok()
                    .and_then(|a| a.body);
                let own =
                    matches!(announced, Some(announcement::Body::Record(record)) if self.is_own(&record));
                if own {
                    return (None, Vec::new());
                }
                input
            }
            Input::Request { peer, inbound, data } => Input::Request {
                peer,
                inbound,
                data: self.frontier(data, false),
            },
            Input::Response { request, result } => Input::Response {
                request,
                result: result.map(|data| self.heard(data)),
            },
            other => other,
        };
        (Some(heard), Vec::new())
    }

    fn says(&mut self, _scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        let said = match output {
            Output::Broadcast { topic, data } => {
                let mut announced = wire::Announcement::decode(data.as_slice()).unwrap_or_default();
                match &mut announced.body {
                    Some(announcement::Body::Record(record)) => {
                        self.show(record);
                        let data = announced.encode_to_vec();
                        Output::Broadcast { topic, data }
                    }
                    _ => Output::Broadcast { topic, data },
                }
            }
            Output::Respond { inbound, data } => Output::Respond {
                inbound,
                data: self.response(data),
            },
            Output::Send { peer, request, data } => Output::Send {
                peer,
                request,
                data: self.frontier(data, true),
            },
            other => other,
        };
        vec![said]
    }
}
