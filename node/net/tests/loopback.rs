//! Nodes on loopback, with real sockets: connections, gossip over a line, requests, losses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use fieldmark_net::{
    Command, Event, Handle, Multiaddr, NetConfig, NetError, NodeKey, PeerId, PublishFailure, RequestFailure,
    Topic, Verdict, peer_id_of,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TCP: &str = "/ip4/127.0.0.1/tcp/0";
/// Long enough for a slow machine; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    handle: Handle,
    events: mpsc::Receiver<Event>,
    addr: Multiaddr,
}

impl Node {
    async fn start(seed: u8, listen: &str, bootstrap: Vec<Multiaddr>) -> Self {
        Self::start_with(config(seed, listen, bootstrap)).await
    }

    async fn start_with(config: NetConfig) -> Self {
        let (handle, mut events) = fieldmark_net::start(config).await.unwrap();
        let listening = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        let Event::Listening { addr } = listening else {
            panic!("first {listening:?}")
        };
        let addr = addr.with_p2p(peer_id_of(&handle.local).unwrap()).unwrap();
        Self { handle, events, addr }
    }

    fn key(&self) -> NodeKey {
        self.handle.local
    }

    async fn order(&self, command: Command) {
        self.handle.commands.send(command).await.unwrap();
    }

    /// The first event that is wanted; others are dropped, gossip is accepted on the way.
    async fn wait<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("the event comes in time")
    }

    async fn connected_to(&mut self, other: NodeKey) {
        self.wait(|event| matches!(event, Event::Connected { peer, .. } if peer == other).then_some(()))
            .await;
    }

    async fn response_to(&mut self, number: u64) -> Result<Vec<u8>, RequestFailure> {
        self.wait(|event| match event {
            Event::Response { request, result } if request == number => Some(result),
            _ => None,
        })
        .await
    }

    /// Accepts gossip until one message comes; returns it.
    async fn gossip(&mut self, verdict: Verdict) -> (Vec<u8>, NodeKey) {
        let (message, data, from) = self
            .wait(|event| match event {
                Event::Gossip {
                    message, data, from, ..
                } => Some((message, data, from)),
                _ => None,
            })
            .await;
        self.order(Command::Verdict { message, verdict }).await;
        (data, from)
    }

    /// Publishes until a neighbour follows the topic.
    async fn publish(&mut self, data: &[u8]) {
        for _ in 0..60 {
            self.order(Command::Publish {
                topic: Topic::Heads,
                data: data.to_vec(),
            })
            .await;
            let quiet = timeout(Duration::from_millis(500), async {
                self.wait(|event| matches!(event, Event::PublishFailed { .. }).then_some(()))
                    .await;
            });
            if quiet.await.is_err() {
                return;
            }
        }
        panic!("nobody follows the topic");
    }
}

fn config(seed: u8, listen: &str, bootstrap: Vec<Multiaddr>) -> NetConfig {
    let mut config = NetConfig::new([seed; 32], "test");
    config.listen = vec![listen.parse().unwrap()];
    config.bootstrap = bootstrap;
    config.server = true;
    config
}

#[tokio::test]
async fn gossip_crosses_a_line_of_three_nodes_only_with_a_verdict() {
    let mut b = Node::start(2, QUIC, vec![]).await;
    let mut a = Node::start(1, QUIC, vec![b.addr.clone()]).await;
    let mut c = Node::start(3, TCP, vec![]).await;
    // Kademlia would close the triangle; a ban keeps A and C apart.
    a.order(Command::Ban { peer: c.key() }).await;
    c.order(Command::Ban { peer: a.key() }).await;
    b.order(Command::Dial { addr: c.addr.clone() }).await;
    a.connected_to(b.key()).await;
    c.connected_to(b.key()).await;

    a.publish(b"ignored").await;
    assert_eq!(b.gossip(Verdict::Ignore).await, (b"ignored".to_vec(), a.key()));
    a.publish(b"passed on").await;
    assert_eq!(b.gossip(Verdict::Accept).await, (b"passed on".to_vec(), a.key()));
    assert_eq!(c.gossip(Verdict::Accept).await, (b"passed on".to_vec(), b.key()));
}

#[tokio::test]
async fn a_request_gets_its_response_over_either_transport() {
    for listen in [QUIC, TCP] {
        let mut server = Node::start(11, listen, vec![]).await;
        let mut client = Node::start(12, listen, vec![server.addr.clone()]).await;
        client.connected_to(server.key()).await;
        client
            .order(Command::Request {
                peer: server.key(),
                request: 5,
                data: vec![9; 1 << 20],
            })
            .await;
        let (peer, inbound, data) = server
            .wait(|event| match event {
                Event::Request { peer, inbound, data } => Some((peer, inbound, data)),
                _ => None,
            })
            .await;
        assert_eq!((peer, data.len()), (client.key(), 1 << 20));
        server
            .order(Command::Respond {
                inbound,
                data: vec![7; 2 << 20],
            })
            .await;
        assert_eq!(client.response_to(5).await, Ok(vec![7; 2 << 20]));

        client
            .order(Command::Request {
                peer: server.key(),
                request: 6,
                data: vec![],
            })
            .await;
        let inbound = server
            .wait(|event| match event {
                Event::Request { inbound, .. } => Some(inbound),
                _ => None,
            })
            .await;
        server.order(Command::Refuse { inbound }).await;
        assert_eq!(client.response_to(6).await, Err(RequestFailure::Refused));
    }
}

#[tokio::test]
async fn requests_that_cannot_be_sent_fail_at_once_and_by_name() {
    let mut a = Node::start(21, QUIC, vec![]).await;
    let stranger = fieldmark_net::public_key_of(&[99; 32]).unwrap();
    a.order(Command::Request {
        peer: stranger,
        request: 1,
        data: vec![],
    })
    .await;
    assert_eq!(a.response_to(1).await, Err(RequestFailure::NotConnected));
    a.order(Command::Request {
        peer: stranger,
        request: 2,
        data: vec![0; (4 << 20) + 1],
    })
    .await;
    let too_large = RequestFailure::TooLarge {
        bytes: (4 << 20) + 1,
        bytes_max: 4 << 20,
    };
    assert_eq!(a.response_to(2).await, Err(too_large));
    a.order(Command::Publish {
        topic: Topic::Fraud,
        data: vec![0; 5000],
    })
    .await;
    let failure = a
        .wait(|event| match event {
            Event::PublishFailed { failure, .. } => Some(failure),
            _ => None,
        })
        .await;
    assert_eq!(
        failure,
        PublishFailure::TooLarge {
            bytes: 5000,
            bytes_max: 4096
        }
    );
}

#[tokio::test]
async fn a_peer_that_sends_more_than_the_bound_gets_no_answer() {
    let server = Node::start(31, QUIC, vec![]).await;
    let mut config = config(32, QUIC, vec![server.addr.clone()]);
    config.limits.rpc_bytes_max = 16 << 20;
    let mut oversender = Node::start_with(config).await;
    oversender.connected_to(server.key()).await;
    oversender
        .order(Command::Request {
            peer: server.key(),
            request: 1,
            data: vec![0; 8 << 20],
        })
        .await;
    let failure = oversender.response_to(1).await.unwrap_err();
    assert!(
        matches!(failure, RequestFailure::Stream | RequestFailure::ConnectionClosed),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_request_without_an_answer_times_out() {
    let mut server = Node::start(41, QUIC, vec![]).await;
    let mut config = config(42, QUIC, vec![server.addr.clone()]);
    config.limits.request_timeout = Duration::from_millis(500);
    let mut client = Node::start_with(config).await;
    client.connected_to(server.key()).await;
    client
        .order(Command::Request {
            peer: server.key(),
            request: 1,
            data: vec![1],
        })
        .await;
    server
        .wait(|event| matches!(event, Event::Request { .. }).then_some(()))
        .await;
    assert_eq!(client.response_to(1).await, Err(RequestFailure::Timeout));
}

#[tokio::test]
async fn a_lost_peer_is_reported_and_a_bootstrap_peer_that_returns_is_found_again() {
    let server = Node::start(51, TCP, vec![]).await;
    let (key, addr) = (server.key(), server.addr.clone());
    let mut client = Node::start(52, TCP, vec![addr.clone()]).await;
    client.connected_to(key).await;
    drop(server);
    client
        .wait(|event| matches!(event, Event::Disconnected { peer } if peer == key).then_some(()))
        .await;

    let listen: Multiaddr = addr
        .iter()
        .filter(|part| !part.to_string().starts_with("/p2p"))
        .collect();
    let _returned = Node::start(51, &listen.to_string(), vec![]).await;
    client.connected_to(key).await;
}

#[tokio::test]
async fn a_banned_peer_is_disconnected_and_stays_out() {
    let mut a = Node::start(61, QUIC, vec![]).await;
    let mut b = Node::start(62, QUIC, vec![a.addr.clone()]).await;
    a.connected_to(b.key()).await;
    b.connected_to(a.key()).await;
    a.order(Command::Ban { peer: b.key() }).await;
    let banned = b.key();
    a.wait(|event| matches!(event, Event::Disconnected { peer } if peer == banned).then_some(()))
        .await;
    // B dials again and again; none of it becomes a connection.
    let back = timeout(Duration::from_secs(3), a.connected_to(banned)).await;
    assert!(back.is_err());
}

#[tokio::test]
async fn nodes_of_another_network_part_again() {
    let mut a = Node::start(71, QUIC, vec![]).await;
    let mut other = config(72, QUIC, vec![a.addr.clone()]);
    other.network = "other".to_owned();
    let b = Node::start_with(other).await;
    let stranger = b.key();
    a.wait(|event| matches!(event, Event::Disconnected { peer } if peer == stranger).then_some(()))
        .await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    for (listen, name) in [(QUIC, "udp"), (TCP, "tcp")] {
        let first = Node::start(81, listen, vec![]).await;
        let taken: Multiaddr = first
            .addr
            .iter()
            .filter(|part| !part.to_string().starts_with("/p2p"))
            .collect();
        let error = fieldmark_net::start(config(82, &taken.to_string(), vec![]))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, NetError::AddressInUse { addr } if *addr == taken),
            "{error:?}"
        );
        assert!(error.to_string().contains(name) && error.to_string().contains("another port"));
    }
}

#[tokio::test]
async fn an_address_that_answers_with_another_key_is_not_connected_to() {
    let a = Node::start(91, QUIC, vec![]).await;
    let mut b = Node::start(92, QUIC, vec![]).await;
    let other: PeerId = peer_id_of(&fieldmark_net::public_key_of(&[93; 32]).unwrap()).unwrap();
    let mut addr = a.addr.clone();
    addr.pop();
    let addr = addr.with_p2p(other).unwrap();
    b.order(Command::Dial { addr: addr.clone() }).await;
    let failed = b
        .wait(|event| match event {
            Event::DialFailed {
                addr: Some(failed), ..
            } => Some(failed),
            _ => None,
        })
        .await;
    assert_eq!(failed, addr);
}
