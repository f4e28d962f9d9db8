//! Where a blob is offered.

use std::fmt;
use std::net::SocketAddr;

use fieldmark_net::NodeKey;

/// Where a blob is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Provider {
    /// The key that the node there must prove.
    pub node_key: NodeKey,
    /// Its UDP address.
    pub addr: SocketAddr,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {}", hex::encode(self.node_key), self.addr)
    }
}
