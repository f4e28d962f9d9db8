//! When to dial the bootstrap addresses: at start, and after a loss, with growing pauses.
//!
//! Pure: time is passed in, the shell dials and reports back. An address is dialled while it has no
//! connection; the pause doubles from [`BACKOFF_MIN`] to [`BACKOFF_MAX`], or to [`BACKOFF_ALONE_MAX`]
//! while the node has no peer at all.

use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

pub(crate) const BACKOFF_MIN: Duration = Duration::from_secs(1);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(600);
pub(crate) const BACKOFF_ALONE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum State {
    /// To be dialled at this time.
    Waiting(Instant),
    /// Dialling or connected.
    Busy(ConnectionId),
}

#[derive(Debug)]
struct Address {
    addr: Multiaddr,
    state: State,
    pause: Duration,
    /// Whether it was said that it cannot be reached.
    told: bool,
}

/// The bootstrap addresses; as many as were configured.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    addresses: Vec<Address>,
}

impl Bootstrap {
    pub(crate) fn new(addresses: Vec<Multiaddr>, now: Instant) -> Self {
        let address = |addr| Address {
            addr,
            state: State::Waiting(now),
            pause: BACKOFF_MIN,
            told: false,
        };
        Self {
            addresses: addresses.into_iter().map(address).collect(),
        }
    }

    /// The next address to dial, if one is due; the caller reports with [`Self::dialling`] or
    /// [`Self::postpone`].
    pub(crate) fn due(&self, now: Instant) -> Option<Multiaddr> {
        self.addresses
            .iter()
            .find(|address| matches!(address.state, State::Waiting(at) if at <= now))
            .map(|address| address.addr.clone())
    }

    /// A dial of this address is under way.
    pub(crate) fn dialling(&mut self, addr: &Multiaddr, connection: ConnectionId) {
        if let Some(address) = self.addresses.iter_mut().find(|address| address.addr == *addr) {
            address.state = State::Busy(connection);
        }
    }

    /// The address could not even be dialled, or its peer is connected already.
    pub(crate) fn postpone(&mut self, addr: &Multiaddr, now: Instant, alone: bool) {
        if let Some(address) = self.addresses.iter_mut().find(|address| address.addr == *addr) {
            address.back_off(now, alone);
        }
    }

    /// A connection was made; its next loss starts with a short pause again.
    pub(crate) fn connected(&mut self, connection: ConnectionId) {
        if let Some(address) = self.by_connection(connection) {
            address.pause = BACKOFF_MIN;
            address.told = false;
        }
    }

    /// Whether somebody is to be told that a dial of this address failed: it is one of these, and none was told since
    /// it was last connected.
    pub(crate) fn is_news(&mut self, addr: &Multiaddr) -> bool {
        let address = self.addresses.iter_mut().find(|address| address.addr == *addr);
        address.is_some_and(|address| !std::mem::replace(&mut address.told, true))
    }

    /// A dial failed or a connection was lost.
    pub(crate) fn lost(&mut self, connection: ConnectionId, now: Instant, alone: bool) {
        if let Some(address) = self.by_connection(connection) {
            address.back_off(now, alone);
        }
    }

    /// The node lost its last peer: long pauses are cut short.
    pub(crate) fn alone(&mut self, now: Instant) {
        for address in &mut self.addresses {
            if let State::Waiting(at) = &mut address.state {
                *at = (*at).min(now + BACKOFF_MIN);
                address.pause = BACKOFF_MIN;
            }
        }
    }

    fn by_connection(&mut self, connection: ConnectionId) -> Option<&mut Address> {
        self.addresses
            .iter_mut()
            .find(|address| matches!(address.state, State::Busy(id) if id == connection))
    }
}

impl Address {
    fn back_off(&mut self, now: Instant, alone: bool) {
        let longest = if alone { BACKOFF_ALONE_MAX } else { BACKOFF_MAX };
        self.pause = self.pause.min(longest);
        self.state = State::Waiting(now + self.pause);
        self.pause = (self.pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_address(now: Instant) -> (Bootstrap, Multiaddr) {
        let addr: Multiaddr = "/ip4/192.0.2.1/tcp/4600".parse().unwrap();
        (Bootstrap::new(vec![addr.clone()], now), addr)
    }

    #[test]
    fn a_failure_is_told_once_until_the_address_was_connected() {
        let now = Instant::now();
        let (mut bootstrap, addr) = one_address(now);
        let other: Multiaddr = "/ip4/127.0.0.1/udp/9/quic-v1".parse().unwrap();
        assert!(bootstrap.is_news(&addr) && !bootstrap.is_news(&addr) && !bootstrap.is_news(&other));
        let connection = ConnectionId::new_unchecked(1);
        bootstrap.dialling(&addr, connection);
        bootstrap.connected(connection);
        assert!(bootstrap.is_news(&addr));
    }

    #[test]
    fn an_address_is_dialled_at_once_and_then_left_alone_while_connected() {
        let now = Instant::now();
        let (mut bootstrap, addr) = one_address(now);
        assert_eq!(bootstrap.due(now), Some(addr.clone()));
        bootstrap.dialling(&addr, ConnectionId::new_unchecked(1));
        bootstrap.connected(ConnectionId::new_unchecked(1));
        assert_eq!(bootstrap.due(now + Duration::from_secs(9_999)), None);
    }

    #[test]
    fn failures_double_the_pause_up_to_its_bound() {
        let mut now = Instant::now();
        let (mut bootstrap, addr) = one_address(now);
        let mut pauses = Vec::new();
        for index in 0..8 {
            let connection = ConnectionId::new_unchecked(index);
            bootstrap.dialling(&addr, connection);
            bootstrap.lost(connection, now, true);
            let pause = (0..)
                .find(|s| bootstrap.due(now + Duration::from_secs(*s)).is_some())
                .unwrap();
            pauses.push(pause);
            now += Duration::from_secs(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_lost_connection_is_dialled_again_soon() {
        let now = Instant::now();
        let (mut bootstrap, addr) = one_address(now);
        for index in 0..12 {
            bootstrap.dialling(&addr, ConnectionId::new_unchecked(index));
            bootstrap.lost(ConnectionId::new_unchecked(index), now, false);
        }
        bootstrap.dialling(&addr, ConnectionId::new_unchecked(20));
        bootstrap.connected(ConnectionId::new_unchecked(20));
        bootstrap.lost(ConnectionId::new_unchecked(20), now, false);
        assert!(bootstrap.due(now + BACKOFF_MIN).is_some());
    }

    #[test]
    fn losing_the_last_peer_cuts_a_long_pause_short() {
        let now = Instant::now();
        let (mut bootstrap, addr) = one_address(now);
        for index in 0..12 {
            bootstrap.dialling(&addr, ConnectionId::new_unchecked(index));
            bootstrap.lost(ConnectionId::new_unchecked(index), now, false);
        }
        assert!(bootstrap.due(now + Duration::from_secs(60)).is_none());
        bootstrap.alone(now);
        assert!(bootstrap.due(now + BACKOFF_MIN).is_some());
    }
}
