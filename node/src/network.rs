//! Translates between the machines and the libp2p shell. Decides nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use fieldmark_net::{Command as NetCommand, Event as NetEvent, GossipId};
use fieldmark_node_core::io::{Input, Output, Verdict};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::machine::Topic;
use tokio::sync::mpsc;

use crate::handle::{Counters, NodeHandle};

/// The net's name for a topic.
fn net_topic(topic: Topic) -> fieldmark_net::Topic {
    match topic {
        Topic::Heads => fieldmark_net::Topic::Heads,
        Topic::Tasks => fieldmark_net::Topic::Tasks,
        Topic::Aggregates => fieldmark_net::Topic::Aggregates,
        Topic::Fraud => fieldmark_net::Topic::Fraud,
        _ => fieldmark_net::Topic::Releases,
    }
}

fn topic(topic: fieldmark_net::Topic) -> Topic {
    match topic {
        fieldmark_net::Topic::Heads => Topic::Heads,
        fieldmark_net::Topic::Tasks => Topic::Tasks,
        fieldmark_net::Topic::Aggregates => Topic::Aggregates,
        fieldmark_net::Topic::Fraud => Topic::Fraud,
        fieldmark_net::Topic::Releases => Topic::Releases,
    }
}

/// The command for the net that an output asks for; the output itself where it is not the net's.
pub(crate) fn command(output: Output, counters: &Counters) -> Result<Option<NetCommand>, Output> {
    let sent = |bytes: usize| {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        counters.message_bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    };
    Ok(Some(match output {
        Output::Send { peer, request, data } => {
            sent(data.len());
            NetCommand::Request {
                peer: *peer.as_bytes(),
                request,
                data,
            }
        }
        Output::Respond { inbound, data } => {
            sent(data.len());
            NetCommand::Respond { inbound, data }
        }
        Output::Broadcast { topic, data } => {
            sent(data.len());
            NetCommand::Publish {
                topic: net_topic(topic),
                data,
            }
        }
        Output::Verdict { message, verdict } => NetCommand::Verdict {
            message: GossipId(message),
            verdict: match verdict {
                Verdict::Accept => fieldmark_net::Verdict::Accept,
                Verdict::Ignore => fieldmark_net::Verdict::Ignore,
                Verdict::Reject => fieldmark_net::Verdict::Reject,
            },
        },
        Output::Score { peer, score } => NetCommand::Score {
            peer: *peer.as_bytes(),
            score: f64::from(score),
        },
        // An address that does not parse cannot be dialled; its owner has others or none.
        Output::Dial { multiaddr } => match multiaddr.parse() {
            Ok(addr) => NetCommand::Dial { addr },
            Err(_) => return Ok(None),
        },
        other => return Err(other),
    }))
}

/// What a net event is to the machines, if anything.
fn input(event: NetEvent, counters: &Counters) -> Option<Input> {
    let peers = || counters.peers.lock().unwrap_or_else(PoisonError::into_inner);
    Some(match event {
        NetEvent::Connected { peer, .. } => {
            let peer = PublicKey::new(peer);
            peers().insert(peer);
            Input::Connected { peer }
        }
        NetEvent::Disconnected { peer } => {
            let peer = PublicKey::new(peer);
            peers().remove(&peer);
            Input::Disconnected { peer }
        }
        NetEvent::Gossip {
            message,
            topic: on,
            from,
            data,
        } => Input::Gossip {
            message: message.0,
            topic: topic(on),
            from: PublicKey::new(from),
            data,
        },
        NetEvent::Request { peer, inbound, data } => Input::Request {
            peer: PublicKey::new(peer),
            inbound,
            data,
        },
        NetEvent::Response { request, result } => Input::Response {
            request,
            result: result.map_err(|e| e.to_string()),
        },
        _ => return None,
    })
}

/// Hands one event to the machines before the pump runs.
pub(crate) async fn early(event: NetEvent, handle: &NodeHandle) {
    if let Some(input) = input(event, &handle.counters) {
        // The machines' queue is read as soon as their thread starts.
        let _ = handle.inputs.send(input).await;
    }
}

/// Hands the net's events to the machines until either ends.
pub(crate) async fn pump(
    mut events: mpsc::Receiver<NetEvent>,
    inputs: mpsc::Sender<Input>,
    counters: Arc<Counters>,
    blobs: String,
    mut listening: Vec<String>,
) {
    while let Some(event) = events.recv().await {
        let input = match event {
            NetEvent::Listening { addr } => {
                listening.push(addr.to_string());
                let multiaddrs = listening.clone();
                Some(Input::Listening {
                    multiaddrs,
                    blobs: Some(blobs.clone()),
                })
            }
            NetEvent::PublishFailed { topic, failure } => {
                tracing::debug!(
                    ?topic,
                    ?failure,
                    "gossip was not published; the next exchange carries it"
                );
                None
            }
            NetEvent::DialFailed { addr, cause, .. } => {
                tracing::debug!(?addr, cause, "dial failed");
                None
            }
            event => input(event, &counters),
        };
        if let Some(input) = input
            && inputs.send(input).await.is_err()
        {
            return;
        }
    }
}
