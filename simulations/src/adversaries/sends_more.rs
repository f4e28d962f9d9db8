//! Contributors that send more than the one report they may: two different ones under one identity, or one
//! each for ten identities in one body.

use fieldmark_node_core::compute::{Job, JobResult};
use fieldmark_node_core::io::Output;
use fieldmark_protocol::wire;
use fieldmark_protocol::wire::rpc_request;

use super::craft::{self, Order};
use super::{Adversary, Scene, further, request};
use crate::draws::Draws;

#[derive(Debug)]
pub(super) struct SendsMore {
    sybils: bool,
    draws: Draws,
    more: Vec<wire::Report>,
}

impl SendsMore {
    pub(super) fn two_reports(draws: Draws) -> Self {
        Self {
            sybils: false,
            draws,
            more: Vec::new(),
        }
    }

    pub(super) fn sybils(draws: Draws) -> Self {
        Self {
            sybils: true,
            ..Self::two_reports(draws)
        }
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        for byte in &mut id {
            *byte = u8::try_from(self.draws.below(256)).unwrap_or(0);
        }
        id
    }
}

impl Adversary for SendsMore {
    /// The reports are made when the node makes its own.
    fn works(&mut self, scene: &mut Scene<'_>, job: &Job, result: JobResult) -> JobResult {
        let Some(order) = Order::of(job) else {
            return result;
        };
        self.more.clear();
        scene.sent.push((order.metadata.report_id, order.values.clone()));
        let senders = if self.sybils {
            craft::accomplices().into_iter().map(|part| part.keys).collect()
        } else {
            vec![scene.keys.clone()]
        };
        for keys in senders {
            let values = if self.sybils {
                order.values.clone()
            } else {
                vec![0; order.values.len()]
            };
            let another = order.another(&keys, self.id(), values);
            if let Some(report) = another.report(&keys) {
                scene.sent.push((another.metadata.report_id, another.values));
                self.more.push(report.to_wire());
            }
        }
        result
    }

    /// They leave with its own, before or after it.
    fn says(&mut self, _scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        let leader = match &output {
            Output::Send { peer, data, .. } => {
                matches!(request(data), Some(rpc_request::Body::Upload(_))).then_some(*peer)
            }
            _ => None,
        };
        let Some(leader) = leader else {
            return vec![output];
        };
        let upload = |(number, report): (u64, &wire::Report)| {
            further(leader, number, rpc_request::Body::Upload(report.clone()))
        };
        let mut said: Vec<Output> = (0..).zip(&self.more).map(upload).collect();
        if self.draws.percent(50) {
            said.push(output);
        } else {
            said.insert(0, output);
        }
        said
    }
}
