//! The knobs of the network shell, each with its default, its bound and what it costs.

use std::fmt;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::error::NetError;

/// Most bootstrap addresses that are dialled.
pub const BOOTSTRAP_MAX: usize = 64;
/// Most addresses that are listened on.
pub const LISTEN_MAX: usize = 16;
/// Longest name of a network, in bytes.
const NETWORK_NAME_MAX: usize = 32;
/// Largest value of [`Limits::rpc_bytes_max`]: the length prefix and the memory of a small node.
const RPC_BYTES_CEILING: usize = 64 << 20;

/// What a node's network is started with.
#[derive(Clone)]
pub struct NetConfig {
    /// The node's Ed25519 secret key.
    pub node_key: [u8; 32],
    /// Name of the network, part of every protocol name: 1 to 32 of `a-z`, `0-9`, `-`. Nodes of different
    /// networks do not talk to each other.
    pub network: String,
    /// Addresses to listen on, at most [`LISTEN_MAX`]; port 0 takes a free one. Default: none.
    pub listen: Vec<Multiaddr>,
    /// Addresses dialled at start and again after a loss, at most [`BOOTSTRAP_MAX`]. Default: none.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to find peers on the local network by multicast DNS. Default: no, for it shows the node to
    /// everyone on the LAN.
    pub mdns: bool,
    /// Whether to answer Kademlia queries of others. Default: no; right for a node whose listening
    /// addresses its peers can reach.
    pub server: bool,
    /// Bounds on connections, messages and queues.
    pub limits: Limits,
}

impl NetConfig {
    /// A configuration that listens nowhere and knows nobody.
    #[must_use]
    pub fn new(node_key: [u8; 32], network: impl Into<String>) -> Self {
        Self {
            node_key,
            network: network.into(),
            listen: Vec::new(),
            bootstrap: Vec::new(),
            mdns: false,
            server: false,
            limits: Limits::default(),
        }
    }

    /// Checks every bound.
    pub(crate) fn check(&self) -> Result<(), NetError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=NETWORK_NAME_MAX).contains(&self.network.len()) || !self.network.bytes().all(letter) {
            return Err(NetError::BadNetworkName {
                network: self.network.clone(),
            });
        }
        at_most("listen", self.listen.len(), LISTEN_MAX)?;
        at_most("bootstrap", self.bootstrap.len(), BOOTSTRAP_MAX)?;
        if let Some(addr) = self.bootstrap.iter().find(|addr| !has_transport(addr)) {
            return Err(NetError::NoTransport { addr: addr.clone() });
        }
        at_most(
            "limits.rpc_bytes_max",
            self.limits.rpc_bytes_max,
            RPC_BYTES_CEILING,
        )
    }
}

/// Whether an address says how its machine is reached, or where that is written: an address of a machine alone could
/// never be dialled.
fn has_transport(addr: &Multiaddr) -> bool {
    let known = |part| {
        matches!(
            part,
            Protocol::Tcp(_) | Protocol::QuicV1 | Protocol::Dnsaddr(_) | Protocol::P2pCircuit
        )
    };
    addr.iter().any(known)
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetConfig")
            .field("network", &self.network)
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("mdns", &self.mdns)
            .field("server", &self.server)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds on what peers can make this node hold or do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Established connections in all. Default 110: 100 peers and a tenth for turnover.
    pub connections_max: u32,
    /// Established connections that others opened. Default 88, which leaves a fifth to those that this
    /// node chose itself (an eclipse needs both).
    pub connections_in_max: u32,
    /// Connections per peer. Default 2: one each way when both dial at once.
    pub connections_per_peer_max: u32,
    /// Connections being accepted. Default 16; each costs a handshake.
    pub pending_in_max: u32,
    /// Connections being dialled. Default 16.
    pub pending_out_max: u32,
    /// Inbound connections from one IP address. Default 8. Loopback is exempt.
    pub connections_per_ip_max: u32,
    /// Inbound connections from one /24 (IPv4) or /48 (IPv6). Default 24. Loopback and private ranges
    /// are exempt: a company's whole LAN may be one prefix.
    pub connections_per_subnet_max: u32,
    /// Bytes of one request or response, without the frame. Default 4 MiB, at most 64 MiB.
    pub rpc_bytes_max: usize,
    /// Requests open at once on one connection, both ways together. Default 32: a peer can make this
    /// node hold that many times `rpc_bytes_max`.
    pub rpc_streams_max: usize,
    /// Time in which a request must be answered, on both sides. Default 10 s.
    pub request_timeout: Duration,
    /// Capacity of the command channel. Default 1024.
    pub commands_max: usize,
    /// Capacity of the event channel. Default 1024.
    pub events_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 110,
            connections_in_max: 88,
            connections_per_peer_max: 2,
            pending_in_max: 16,
            pending_out_max: 16,
            connections_per_ip_max: 8,
            connections_per_subnet_max: 24,
            rpc_bytes_max: 4 << 20,
            rpc_streams_max: 32,
            request_timeout: Duration::from_secs(10),
            commands_max: 1024,
            events_max: 1024,
        }
    }
}

fn at_most(field: &'static str, found: usize, bound: usize) -> Result<(), NetError> {
    if found > bound {
        Err(NetError::OverBound { field, found, bound })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_name_must_fit_into_a_protocol_name() {
        for name in ["", "Main", "a/b", "ä", &"x".repeat(33)] {
            assert!(NetConfig::new([1; 32], name).check().is_err(), "{name:?}");
        }
        assert!(NetConfig::new([1; 32], "test-7").check().is_ok());
    }

    #[test]
    fn too_many_bootstrap_addresses_are_refused() {
        let mut config = NetConfig::new([1; 32], "main");
        config.bootstrap = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap(); BOOTSTRAP_MAX + 1];
        assert!(config.check().unwrap_err().to_string().contains("bootstrap"));
    }

    #[test]
    fn a_bootstrap_address_without_a_port_is_refused() {
        let check = |addr: &str| {
            let mut config = NetConfig::new([1; 32], "main");
            config.bootstrap = vec![addr.parse().unwrap()];
            config.check()
        };
        for addr in ["/ip4/192.0.2.1", "/dns4/node.example", "/ip4/192.0.2.1/udp/4600"] {
            assert!(check(addr).unwrap_err().to_string().contains(addr), "{addr}");
        }
        for addr in [
            "/ip4/192.0.2.1/tcp/4600",
            "/ip6/2001:db8::1/udp/4600/quic-v1",
            "/dnsaddr/node.example",
        ] {
            check(addr).unwrap();
        }
    }

    #[test]
    fn the_secret_key_is_not_printed() {
        assert!(!format!("{:?}", NetConfig::new([0xab; 32], "main")).contains("171"));
    }
}
