//! Leaders that tell helpers what is not so: that the batch is concluded, that another verification key
//! holds, that another set of reports was accepted.

use fieldmark_node_core::io::Output;
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::aggregation::RejectionReason;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::wire;
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use prost::Message;

use super::{Adversary, Scene, further, of_request, request};

/// Concludes with the first receipt it signs, and invents rejections to make up the number.
#[derive(Debug)]
pub(super) struct ConcludesEarly;

impl Adversary for ConcludesEarly {
    fn says(&mut self, scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        let Output::Respond { data, .. } = &output else {
            return vec![output];
        };
        let response = wire::RpcResponse::decode(data.as_slice())
            .ok()
            .and_then(|r| r.body);
        let Some(rpc_response::Body::Receipt(receipt)) = response else {
            return vec![output];
        };
        let invented = |number: u8| wire::Verdict {
            report_id: vec![number; 16],
            rejection: RejectionReason::Proof.number(),
        };
        let conclusion = wire::Conclude {
            task: receipt.task.clone(),
            window: receipt.window,
            report_ids: vec![receipt.report_id.clone()],
            rejected: (1..20).map(invented).collect(),
        };
        let mut said = vec![output];
        for (number, helper) in (1..).zip(helpers(scene.task(&receipt.task).as_ref())) {
            said.push(further(
                helper,
                number,
                rpc_request::Body::Conclude(conclusion.clone()),
            ));
        }
        said
    }
}

/// Asks to verify the same reports again under a key of its own making.
#[derive(Debug)]
pub(super) struct SecondKey;

impl Adversary for SecondKey {
    fn says(&mut self, _scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        let Output::Send { peer, data, .. } = &output else {
            return vec![output];
        };
        let Some(rpc_request::Body::VerifyInit(mut init)) = request(data) else {
            return vec![output];
        };
        init.verify_key = vec![0x5e; 32];
        if let Some(own) = init.key_shares.first_mut() {
            *own = vec![0x5e; 32];
        }
        let again = further(*peer, 0, rpc_request::Body::VerifyInit(init));
        vec![again, output]
    }
}

/// Tells the helper in the last seat that one report less was accepted.
#[derive(Debug)]
pub(super) struct TwoStories;

impl Adversary for TwoStories {
    fn says(&mut self, scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        let Output::Send {
            peer,
            request: id,
            data,
        } = &output
        else {
            return vec![output];
        };
        let Some(rpc_request::Body::Conclude(mut conclusion)) = request(data) else {
            return vec![output];
        };
        let last = helpers(scene.task(&conclusion.task).as_ref()).pop();
        if last != Some(*peer) {
            return vec![output];
        }
        if let Some(report_id) = conclusion.report_ids.pop() {
            let rejection = RejectionReason::Proof.number();
            conclusion.rejected.push(wire::Verdict { report_id, rejection });
        }
        vec![Output::Send {
            peer: *peer,
            request: *id,
            data: of_request(rpc_request::Body::Conclude(conclusion)),
        }]
    }
}

/// Node keys of the helpers of a task, in committee order.
fn helpers(task: Option<&Task>) -> Vec<PublicKey> {
    let committee = task.map(|task| task.committee.as_slice()).unwrap_or_default();
    committee.iter().skip(1).map(|seat| seat.node_key).collect()
}
