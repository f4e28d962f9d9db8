//! Who may connect, beyond libp2p's own counts: a bound per IP address and per subnet, and Ed25519 keys
//! only.
//!
//! The bounds concern inbound connections, for those are what an attacker with one machine or one prefix
//! can open at will. Loopback is exempt from both, private ranges from the bound per subnet.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::identity::node_key_of;

/// Why a connection was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("{ip} has {bound} connections, the most allowed")]
    TooManyFromIp { ip: IpAddr, bound: u32 },
    #[error("the network of {ip} has {bound} connections, the most allowed")]
    TooManyFromSubnet { ip: IpAddr, bound: u32 },
    #[error("the peer's identity is not an Ed25519 key")]
    NotEd25519,
}

/// The bounds and the connections that count against them; at most as many entries as there are
/// established connections.
#[derive(Debug)]
pub(crate) struct Admission {
    per_ip_max: u32,
    per_subnet_max: u32,
    inbound: BTreeMap<ConnectionId, IpAddr>,
    per_ip: BTreeMap<IpAddr, u32>,
    per_subnet: BTreeMap<IpAddr, u32>,
}

impl Admission {
    pub(crate) fn new(per_ip_max: u32, per_subnet_max: u32) -> Self {
        Self {
            per_ip_max,
            per_subnet_max,
            inbound: BTreeMap::new(),
            per_ip: BTreeMap::new(),
            per_subnet: BTreeMap::new(),
        }
    }

    /// Whether one more inbound connection from an address is within the bounds.
    fn check(&self, ip: IpAddr) -> Result<(), Denied> {
        let ip = canonical(ip);
        if ip.is_loopback() {
            return Ok(());
        }
        if count(&self.per_ip, ip) >= self.per_ip_max {
            return Err(Denied::TooManyFromIp {
                ip,
                bound: self.per_ip_max,
            });
        }
        if !is_private(ip) && count(&self.per_subnet, subnet(ip)) >= self.per_subnet_max {
            return Err(Denied::TooManyFromSubnet {
                ip,
                bound: self.per_subnet_max,
            });
        }
        Ok(())
    }

    fn opened(&mut self, connection: ConnectionId, ip: IpAddr) {
        let ip = canonical(ip);
        if self.inbound.insert(connection, ip).is_none() {
            *self.per_ip.entry(ip).or_default() += 1;
            *self.per_subnet.entry(subnet(ip)).or_default() += 1;
        }
    }

    fn closed(&mut self, connection: ConnectionId) {
        if let Some(ip) = self.inbound.remove(&connection) {
            decrement(&mut self.per_ip, ip);
            decrement(&mut self.per_subnet, subnet(ip));
        }
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        ip_of(remote)
            .map_or(Ok(()), |ip| self.check(ip))
            .map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        ed25519(&peer)?;
        ip_of(remote)
            .map_or(Ok(()), |ip| self.check(ip))
            .map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        ed25519(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) if established.endpoint.is_listener() => {
                if let Some(ip) = ip_of(established.endpoint.get_remote_address()) {
                    self.opened(established.connection_id, ip);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => self.closed(connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

fn ed25519(peer: &PeerId) -> Result<(), ConnectionDenied> {
    node_key_of(peer)
        .map(|_| ())
        .ok_or_else(|| ConnectionDenied::new(Denied::NotEd25519))
}

/// The IP address at the front of a multiaddress.
fn ip_of(addr: &Multiaddr) -> Option<IpAddr> {
    match addr.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    }
}

/// IPv4 addresses that arrive in IPv6 form count as IPv4.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The first address of the /24 or /48.
fn subnet(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 80))),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

fn count(counts: &BTreeMap<IpAddr, u32>, key: IpAddr) -> u32 {
    counts.get(&key).copied().unwrap_or(0)
}

fn decrement(counts: &mut BTreeMap<IpAddr, u32>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission_with(addresses: &[&str]) -> Admission {
        let mut admission = Admission::new(2, 3);
        for (index, address) in addresses.iter().enumerate() {
            admission.opened(ConnectionId::new_unchecked(index), ip(address));
        }
        admission
    }

    #[test]
    fn a_third_connection_from_one_address_is_refused_until_one_closes() {
        let mut admission = admission_with(&["192.0.2.1", "192.0.2.1"]);
        let refused = Err(Denied::TooManyFromIp {
            ip: ip("192.0.2.1"),
            bound: 2,
        });
        assert_eq!(admission.check(ip("192.0.2.1")), refused);
        assert_eq!(admission.check(ip("::ffff:192.0.2.1")), refused);
        admission.closed(ConnectionId::new_unchecked(0));
        assert_eq!(admission.check(ip("192.0.2.1")), Ok(()));
    }

    #[test]
    fn a_subnet_is_bounded_across_its_addresses() {
        let admission = admission_with(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        assert!(matches!(
            admission.check(ip("192.0.2.4")),
            Err(Denied::TooManyFromSubnet { .. })
        ));
        assert_eq!(admission.check(ip("192.0.3.4")), Ok(()));
        let admission = admission_with(&["2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1"]);
        assert!(admission.check(ip("2001:db8:1:4::1")).is_err());
    }

    #[test]
    fn loopback_is_exempt_and_private_ranges_have_no_subnet_bound() {
        let admission = admission_with(&["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]);
        assert_eq!(admission.check(ip("127.0.0.1")), Ok(()));
        let admission = admission_with(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.3"]);
        assert_eq!(admission.check(ip("10.0.0.4")), Ok(()));
        assert!(admission.check(ip("10.0.0.3")).is_err());
    }

    #[test]
    fn closing_everything_leaves_no_entries() {
        let mut admission = admission_with(&["192.0.2.1", "2001:db8::1"]);
        for index in 0..2 {
            admission.closed(ConnectionId::new_unchecked(index));
        }
        assert!(
            admission.inbound.is_empty() && admission.per_ip.is_empty() && admission.per_subnet.is_empty()
        );
    }
}
