//! The libp2p shell of a node (design, section 5): one task owns the swarm and translates between it
//! and two bounded channels.
//!
//! It owns connections, gossip, request streams, discovery and their limits. It decides nothing: what a
//! message means, whether it is valid, who is asked and who is banned comes in as a [`Command`]; all that
//! happens goes out as an [`Event`]. Blobs do not pass here (see `fieldmark-blobs`).
//!
//! Rooms: [`mod@identity`] names peers by their Ed25519 keys, `topic` lists the gossip topics, `codec` is
//! the byte layout of requests, `scoring` the gossip score, `admission` who may connect, `bootstrap` when
//! to dial again, `behaviour` puts libp2p's parts together and `shell` runs them.
//!
//! ```no_run
//! # async fn example() -> Result<(), fieldmark_net::NetError> {
//! use fieldmark_net::{Command, Event, NetConfig, Topic};
//!
//! let mut config = NetConfig::new([7; 32], "main");
//! config.listen = vec!["/ip4/0.0.0.0/udp/4600/quic-v1".parse().expect("an address")];
//! let (handle, mut events) = fieldmark_net::start(config).await?;
//! let publish = Command::Publish { topic: Topic::Heads, data: b"a head".to_vec() };
//! handle.commands.send(publish).await.ok();
//! while let Some(event) = events.recv().await {
//!     if let Event::Connected { peer, .. } = event {
//!         println!("connected to {}", fieldmark_net::identity::hex(&peer));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod admission;
mod behaviour;
mod bootstrap;
mod codec;
mod config;
#[doc(hidden)]
pub mod decoders;
mod error;
pub mod identity;
mod message;
mod pending;
pub mod scoring;
mod shell;
mod topic;

pub use config::{BOOTSTRAP_MAX, LISTEN_MAX, Limits, NetConfig};
pub use error::NetError;
pub use identity::{KeyError, NodeKey, keypair_of, node_key_of, peer_id_of, public_key_of};
pub use libp2p::{Multiaddr, PeerId};
pub use message::{Command, Event, PublishFailure, RequestFailure, Verdict};
pub use shell::{COMMAND_EVENTS_MAX, Handle, start};
pub use topic::{GossipId, Topic};
