//! Why the network did not start.

use std::io;

use libp2p::Multiaddr;

use crate::identity::KeyError;

/// A reason for which the network did not start; nothing runs after one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The name cannot be part of a protocol name.
    #[error("network name {network:?}: use 1 to 32 of the letters a-z, digits and '-'")]
    BadNetworkName {
        /// The name as configured.
        network: String,
    },
    /// A value is over its bound.
    #[error("{field} is {found}, the most allowed is {bound}")]
    OverBound {
        /// The configuration field.
        field: &'static str,
        /// Its value or number of entries.
        found: usize,
        /// The bound.
        bound: usize,
    },
    /// The address says which machine, but not how it is reached.
    #[error(
        "cannot dial bootstrap address {addr}: it lacks a port; use /ip4/<address>/udp/<port>/quic-v1 or \
             /ip4/<address>/tcp/<port>"
    )]
    NoTransport {
        /// The address.
        addr: Multiaddr,
    },
    /// The node's key does not work.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another program holds the port.
    #[error("{addr} is in use by another program: stop it, or listen on another port")]
    AddressInUse {
        /// The address.
        addr: Multiaddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: use /ip4/<address>/udp/<port>/quic-v1 or /ip4/<address>/tcp/<port>")]
    AddressUnsupported {
        /// The address.
        addr: Multiaddr,
    },
    /// The system refused the address.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: Multiaddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Multicast DNS could not be started.
    #[error("multicast DNS did not start: check that the machine has a network interface, or turn mdns off")]
    Mdns(#[source] io::Error),
    /// A libp2p part refused its settings; a fault of this program.
    #[error("{part} refused its settings: {cause}")]
    Settings {
        /// The part.
        part: &'static str,
        /// Its words.
        cause: String,
    },
    /// The environment would make the QUIC library write connection secrets to a file.
    #[error("SSLKEYLOGFILE is set, which would write connection secrets to a file: unset it")]
    KeyLog,
}
