//! The leader that passes a report on more than once: under another id, in another window, as another
//! contributor's, and as it is.

use fieldmark_node_core::io::Output;
use fieldmark_protocol::wire::rpc_request;

use super::{Adversary, Scene, of_request, request};

#[derive(Debug)]
pub(super) struct Replays;

impl Adversary for Replays {
    fn says(&mut self, _scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        let Output::Send {
            peer,
            request: id,
            data,
        } = &output
        else {
            return vec![output];
        };
        let Some(rpc_request::Body::VerifyInit(mut init)) = request(data) else {
            return vec![output];
        };
        let Some(first) = init.reports.first().cloned() else {
            return vec![output];
        };
        let other = init.reports.last().and_then(|last| last.metadata.clone());
        let changes: [&dyn Fn(&mut fieldmark_protocol::wire::ReportMetadata); 3] = [
            &|metadata| metadata.report_id = vec![0xee; 16],
            &|metadata| metadata.window += 1,
            &|metadata| {
                if let Some(other) = &other {
                    metadata.contributor.clone_from(&other.contributor);
                }
            },
        ];
        for change in changes {
            let mut again = first.clone();
            if let Some(metadata) = &mut again.metadata {
                change(metadata);
            }
            init.reports.push(again);
        }
        init.reports.push(first);
        vec![Output::Send {
            peer: *peer,
            request: *id,
            data: of_request(rpc_request::Body::VerifyInit(init)),
        }]
    }
}
