//! The task that owns the swarm.
//!
//! It reads commands and libp2p's events, and writes our events to a bounded queue of its own, from which
//! the event channel is fed. While that queue is long the swarm is not polled (peers feel back-pressure),
//! but commands are still taken, so that a caller blocked on the command channel and this task cannot wait
//! for each other: a command adds at most one event, and the queue has room for [`COMMAND_EVENTS_MAX`].
//! The task ends when every sender of commands, or the receiver of events, is dropped; connections close
//! with it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::behaviour::{self, Parts, PartsEvent};
use crate::bootstrap::Bootstrap;
use crate::config::{Limits, NetConfig};
use crate::error::NetError;
use crate::identity::{NodeKey, node_key_of, public_key_of};
use crate::message::{Command, Event};
use crate::pending::{PendingGossip, PendingInbound, PendingOutbound};
use crate::scoring::RateMeter;

mod commands;
mod events;

/// Events that commands may add to the queue while the caller does not drain it.
pub const COMMAND_EVENTS_MAX: usize = 4096;
/// Events in the queue from which on the swarm is not polled.
const SWARM_EVENTS_MAX: usize = 256;
/// Dials whose failure is reported.
const DIALS_MAX: usize = 256;
/// How often bootstrap addresses are looked at.
const TICK: Duration = Duration::from_millis(500);

/// The caller's end. When every clone is dropped the network stops.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Orders; the channel is bounded, so sending waits while the network is busy.
    pub commands: mpsc::Sender<Command>,
    /// This node's own key.
    pub local: NodeKey,
}

/// Starts the network: listens on every address, then spawns the task on the current tokio runtime.
///
/// # Errors
/// A [`NetError`] names the setting or address at fault; nothing runs then.
///
/// It is `async` to say that it needs a running tokio runtime.
pub async fn start(config: NetConfig) -> Result<(Handle, mpsc::Receiver<Event>), NetError> {
    config.check()?;
    if std::env::var_os("SSLKEYLOGFILE").is_some() {
        return Err(NetError::KeyLog);
    }
    let mut swarm = behaviour::build(&config)?;
    for addr in &config.listen {
        listen(&mut swarm, addr)?;
    }
    let local = public_key_of(&config.node_key)?;
    let (commands, commands_in) = mpsc::channel(config.limits.commands_max.max(1));
    let (events_out, events) = mpsc::channel(config.limits.events_max.max(1));
    let shell = Shell::new(swarm, config);
    tokio::spawn(shell.run(commands_in, events_out));
    Ok((Handle { commands, local }, events))
}

/// The task's state.
struct Shell {
    swarm: Swarm<Parts>,
    network: String,
    limits: Limits,
    outbox: VecDeque<Event>,
    gossip: PendingGossip,
    inbound: PendingInbound,
    outbound: PendingOutbound,
    bootstrap: Bootstrap,
    dials: BTreeMap<ConnectionId, Multiaddr>,
    banned: VecDeque<PeerId>,
    rates: RateMeter,
}

impl Shell {
    fn new(swarm: Swarm<Parts>, config: NetConfig) -> Self {
        Self {
            swarm,
            network: config.network,
            limits: config.limits,
            outbox: VecDeque::new(),
            gossip: PendingGossip::default(),
            inbound: PendingInbound::default(),
            outbound: PendingOutbound::default(),
            bootstrap: Bootstrap::new(config.bootstrap, Instant::now()),
            dials: BTreeMap::new(),
            banned: VecDeque::new(),
            rates: RateMeter::new(),
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>, events: mpsc::Sender<Event>) {
        let mut tick = interval(TICK);
        let mut window = interval(RateMeter::WINDOW);
        loop {
            tokio::select! {
                command = commands.recv(), if self.outbox.len() < COMMAND_EVENTS_MAX => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                permit = events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => if let Some(event) = self.outbox.pop_front() { permit.send(event) },
                    Err(_) => break,
                },
                event = self.swarm.select_next_some(), if self.outbox.len() < SWARM_EVENTS_MAX => {
                    self.translate(event);
                }
                _ = tick.tick() => self.dial_bootstrap(),
                _ = window.tick() => self.retune(),
            }
        }
        tracing::debug!("the network stopped");
    }

    fn emit(&mut self, event: Event) {
        self.outbox.push_back(event);
    }

    /// Whether the node has no peer at all.
    fn is_alone(&self) -> bool {
        self.swarm.connected_peers().next().is_none()
    }

    fn dial_bootstrap(&mut self) {
        let now = Instant::now();
        while let Some(addr) = self.bootstrap.due(now) {
            if peer_of(&addr).is_some_and(|peer| self.is_self_or_connected(&peer)) {
                let alone = self.is_alone();
                self.bootstrap.postpone(&addr, now, alone);
                continue;
            }
            let options = DialOpts::from(addr.clone());
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => self.bootstrap.dialling(&addr, connection),
                Err(error) => {
                    self.tell_unreachable(&addr, &error);
                    let alone = self.is_alone();
                    self.bootstrap.postpone(&addr, now, alone);
                    continue;
                }
            }
            if self.dials.len() < DIALS_MAX {
                self.dials.insert(connection, addr);
            }
        }
    }

    /// Says once that a bootstrap address cannot be reached.
    fn tell_unreachable(&mut self, addr: &Multiaddr, error: &dyn std::fmt::Display) {
        if self.bootstrap.is_news(addr) {
            // The library spreads its causes over lines.
            let cause = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            tracing::warn!(
                %addr,
                cause,
                "a bootstrap address cannot be reached: see that its node runs and is reachable there; it is tried on"
            );
        }
    }

    fn is_self_or_connected(&self, peer: &PeerId) -> bool {
        self.swarm.local_peer_id() == peer || self.swarm.is_connected(peer)
    }

    /// Lets the gossip score follow the traffic.
    fn retune(&mut self) {
        for (topic, params) in self.rates.tick() {
            let ident = topic.ident(&self.network);
            if let Err(cause) = self.swarm.behaviour_mut().gossip.set_topic_params(ident, params) {
                tracing::warn!(
                    topic = topic.name(),
                    cause,
                    "the gossip score keeps its parameters"
                );
            }
        }
    }

    fn translate(&mut self, event: SwarmEvent<PartsEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.emit(Event::Listening { addr: address });
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                let first = num_established.get() == 1;
                self.connected(peer_id, connection_id, endpoint.get_remote_address(), first);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                self.closed(peer_id, connection_id, num_established == 0);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id,
                connection_id,
                error,
                ..
            } => {
                self.dial_failed(peer_id, connection_id, &error);
            }
            SwarmEvent::Behaviour(event) => self.translate_part(event),
            _ => {}
        }
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, addr: &Multiaddr, first: bool) {
        self.bootstrap.connected(connection);
        self.dials.remove(&connection);
        // Admission has refused every peer without such a key.
        let Some(key) = node_key_of(&peer) else { return };
        if first {
            self.emit(Event::Connected {
                peer: key,
                addr: addr.clone(),
            });
        }
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId, last: bool) {
        let now = Instant::now();
        let alone = self.is_alone();
        self.bootstrap.lost(connection, now, alone);
        if alone {
            self.bootstrap.alone(now);
        }
        if let (true, Some(key)) = (last, node_key_of(&peer)) {
            self.emit(Event::Disconnected { peer: key });
        }
    }

    fn dial_failed(&mut self, peer: Option<PeerId>, connection: ConnectionId, error: &dyn std::fmt::Display) {
        let alone = self.is_alone();
        self.bootstrap.lost(connection, Instant::now(), alone);
        // Dials that Kademlia makes on its own concern nobody.
        if let Some(addr) = self.dials.remove(&connection) {
            self.tell_unreachable(&addr, error);
            let peer = peer.as_ref().and_then(node_key_of);
            self.emit(Event::DialFailed {
                peer,
                addr: Some(addr),
                cause: error.to_string(),
            });
        }
    }
}

/// The peer id at the end of an address.
fn peer_of(addr: &Multiaddr) -> Option<PeerId> {
    match addr.iter().last()? {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn listen(swarm: &mut Swarm<Parts>, addr: &Multiaddr) -> Result<(), NetError> {
    probe(addr)?;
    match swarm.listen_on(addr.clone()) {
        Ok(_) => Ok(()),
        Err(TransportError::MultiaddrNotSupported(addr)) => Err(NetError::AddressUnsupported { addr }),
        Err(TransportError::Other(source)) => Err(NetError::Listen {
            addr: addr.clone(),
            source,
        }),
    }
}

/// Binds and releases the port. libp2p listens on TCP with SO_REUSEPORT, by which a second node of the
/// same user would share the first one's port instead of failing.
fn probe(addr: &Multiaddr) -> Result<(), NetError> {
    let result = match socket_of(addr) {
        Some((true, socket)) => TcpListener::bind(socket).map(drop),
        Some((false, socket)) => UdpSocket::bind(socket).map(drop),
        None => Ok(()),
    };
    result.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => NetError::AddressInUse { addr: addr.clone() },
        _ => NetError::Listen {
            addr: addr.clone(),
            source,
        },
    })
}

/// Whether an address is TCP, and its socket address; `None` without a fixed port.
fn socket_of(addr: &Multiaddr) -> Option<(bool, SocketAddr)> {
    let mut parts = addr.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) if port != 0 => Some((true, SocketAddr::new(ip, port))),
        Protocol::Udp(port) if port != 0 => Some((false, SocketAddr::new(ip, port))),
        _ => None,
    }
}
