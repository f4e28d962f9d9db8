//! The leader that signs a receipt for a report and leaves the report out: its node never sees it.

use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::report::{Receipt, Report};
use fieldmark_protocol::wire;
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use prost::Message;

use super::{Adversary, Scene, request};

#[derive(Debug, Default)]
pub(super) struct DropsAccepted {
    victim: Option<PublicKey>,
}

impl Adversary for DropsAccepted {
    fn hears(&mut self, scene: &mut Scene<'_>, input: Input) -> (Option<Input>, Vec<Output>) {
        let Input::Request { inbound, data, .. } = &input else {
            return (Some(input), Vec::new());
        };
        let Some(rpc_request::Body::Upload(report)) = request(data) else {
            return (Some(input), Vec::new());
        };
        let Ok(report) = Report::check(report) else {
            return (Some(input), Vec::new());
        };
        let metadata = report.metadata;
        let victim = *self.victim.get_or_insert(metadata.contributor);
        let task = scene.task(metadata.batch.task.as_bytes());
        let open = task.is_some_and(|task| scene.now < task.closes_at_ms);
        if victim != metadata.contributor || !open {
            return (Some(input), Vec::new());
        }
        let receipt = Receipt::sign(&scene.keys.node, metadata.batch, metadata.report_id, scene.now);
        let response = wire::RpcResponse {
            body: Some(rpc_response::Body::Receipt(receipt.to_wire())),
        };
        let answer = Output::Respond {
            inbound: *inbound,
            data: response.encode_to_vec(),
        };
        (None, vec![answer])
    }
}
