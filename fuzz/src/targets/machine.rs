//! A whole node without its shells, given bytes as a peer sends them.

use fieldmark_fl::seal;
use fieldmark_ledger::store::MemoryStore;
use fieldmark_node_core::context::{Keys, Policy};
use fieldmark_node_core::driver::Driver;
use fieldmark_node_core::io::{Input, Output};
use fieldmark_node_core::{NodeCore, NodeOptions};
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::machine::Topic;
use fieldmark_protocol::{PublicKey, SecretKey};

use super::samples;

fn node() -> Driver<MemoryStore> {
    let (hpke, hpke_public) = seal::keypair(&[3; 32]);
    let core = NodeCore::new(NodeOptions {
        keys: Keys {
            identity: SecretKey::from_seed(&[1; 32]),
            node: SecretKey::from_seed(&[2; 32]),
            hpke,
            hpke_public,
        },
        name: "fuzzed".into(),
        roles: Roles(Roles::AGGREGATOR | Roles::CONTRIBUTOR),
        policy: Policy::default(),
        seed: [4; 32],
    });
    Driver::new(core, MemoryStore::new())
}

/// The first byte says how the rest arrives: on a topic, as a request, or as the response to a request.
pub(super) fn run(bytes: &[u8]) {
    let Some((way, data)) = bytes.split_first() else {
        return;
    };
    let (data, peer) = (data.to_vec(), PublicKey::new([9; 32]));
    let mut node = node();
    let Ok(outputs) = node.step([(1_000, Input::Start), (1_000, Input::Connected { peer })]) else {
        return;
    };
    let asked = outputs.iter().find_map(|output| match output {
        Output::Send { request, .. } => Some(*request),
        _ => None,
    });
    let input = match (usize::from(*way), asked) {
        (way @ 0..5, _) => Input::Gossip {
            message: [1; 32],
            topic: Topic::ALL.get(way).copied().unwrap_or(Topic::Releases),
            from: peer,
            data,
        },
        (5, Some(request)) => Input::Response {
            request,
            result: Ok(data),
        },
        _ => Input::Request {
            peer,
            inbound: 1,
            data,
        },
    };
    let stepped = node.step([(1_001, input), (10_000, Input::Timer)]);
    assert!(stepped.is_ok(), "what a peer sends damaged the store");
}

pub(super) fn known() -> Vec<Vec<u8>> {
    let as_sent =
        |way: u8, inputs: Vec<Vec<u8>>| inputs.into_iter().map(move |input| [vec![way], input].concat());
    as_sent(9, samples::requests())
        .chain(as_sent(0, samples::announcements()))
        .chain(as_sent(1, samples::announcements()))
        .chain(as_sent(5, samples::responses()))
        .chain(as_sent(5, samples::requests()))
        .collect()
}
