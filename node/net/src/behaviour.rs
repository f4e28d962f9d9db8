//! libp2p's parts, put together and given their settings.

use std::collections::HashSet;
use std::time::Duration;

use libp2p::gossipsub::{self, MessageAuthenticity, ValidationMode, WhitelistSubscriptionFilter};
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::kad::{self, Mode, StoreInserts};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, allow_block_list, connection_limits, identify, identity,
    mdns, noise, ping, tcp, yamux,
};

use crate::admission::Admission;
use crate::codec::RpcCodec;
use crate::config::NetConfig;
use crate::error::NetError;
use crate::identity::keypair_of;
use crate::scoring;
use crate::topic::{Topic, message_id};

/// How long a message's id is remembered, so that it is not handled twice.
const DUPLICATE_CACHE_TIME: Duration = Duration::from_secs(15 * 60);
/// Heartbeats (seconds) for which a message waits for its verdict.
const HISTORY_HEARTBEATS: usize = 30;
/// Messages that wait for one neighbour.
const GOSSIP_QUEUE_MAX: usize = 512;
/// Messages in one packet of a neighbour.
const GOSSIP_PACKET_MESSAGES_MAX: usize = 256;
/// Room for topic and framing beside a message's data.
const GOSSIP_FRAME_BYTES: usize = 256;
/// Connections without traffic are kept, for requests use them; the count is bounded elsewhere.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Addresses of other peers that identify remembers.
const IDENTIFY_CACHE_MAX: usize = 100;
const AGENT: &str = concat!("fieldmark/", env!("CARGO_PKG_VERSION"));

/// Gossipsub that takes part in our topics only.
pub(crate) type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

/// All parts. Those that refuse connections come first.
#[derive(NetworkBehaviour)]
pub(crate) struct Parts {
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) admission: Admission,
    pub(crate) bans: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) rpc: request_response::Behaviour<RpcCodec>,
    pub(crate) gossip: Gossip,
}

/// The name that identify announces; peers that announce another are on another network.
pub(crate) fn network_protocol(network: &str) -> String {
    format!("/fieldmark/{network}/v1")
}

/// The protocol name of Kademlia.
pub(crate) fn kad_protocol(network: &str) -> Result<StreamProtocol, NetError> {
    stream_protocol(network, "kad")
}

/// Builds a swarm that listens nowhere yet.
pub(crate) fn build(config: &NetConfig) -> Result<Swarm<Parts>, NetError> {
    let keypair = keypair_of(&config.node_key)?;
    let parts = parts(config, &keypair)?;
    let transports = || {
        SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )
            .map(|builder| builder.with_quic())
            .map_err(|error| settings("noise", error))
    };
    let idle = |swarm: libp2p::swarm::Config| swarm.with_idle_connection_timeout(IDLE_TIMEOUT);
    match transports()?.with_dns() {
        Ok(builder) => {
            let Ok(builder) = builder.with_behaviour(|_| parts);
            Ok(builder.with_swarm_config(idle).build())
        }
        Err(error) => {
            // Offline machines may have no resolver; addresses with numbers still work.
            tracing::warn!(%error, "no DNS resolver: only addresses with IP numbers can be dialled");
            let Ok(builder) = transports()?.with_behaviour(|_| parts);
            Ok(builder.with_swarm_config(idle).build())
        }
    }
}

fn parts(config: &NetConfig, keypair: &identity::Keypair) -> Result<Parts, NetError> {
    let local = keypair.public().to_peer_id();
    let identify = identify::Config::new(network_protocol(&config.network), keypair.public())
        .with_agent_version(AGENT.to_owned())
        .with_cache_size(IDENTIFY_CACHE_MAX);
    Ok(Parts {
        limits: connection_limits::Behaviour::new(connection_limits(config)),
        admission: Admission::new(
            config.limits.connections_per_ip_max,
            config.limits.connections_per_subnet_max,
        ),
        bans: allow_block_list::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
        kad: kad(config, local)?,
        mdns: mdns(config, local)?,
        rpc: rpc(config)?,
        gossip: gossip(&config.network)?,
    })
}

fn connection_limits(config: &NetConfig) -> connection_limits::ConnectionLimits {
    let limits = &config.limits;
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending_in_max))
        .with_max_pending_outgoing(Some(limits.pending_out_max))
        .with_max_established_incoming(Some(limits.connections_in_max))
        .with_max_established(Some(limits.connections_max))
        .with_max_established_per_peer(Some(limits.connections_per_peer_max))
}

/// Kademlia for peer routing alone: it stores no records.
fn kad(config: &NetConfig, local: PeerId) -> Result<kad::Behaviour<MemoryStore>, NetError> {
    let store = MemoryStore::with_config(
        local,
        MemoryStoreConfig {
            max_records: 0,
            max_provided_keys: 0,
            ..MemoryStoreConfig::default()
        },
    );
    let mut settings = kad::Config::new(kad_protocol(&config.network)?);
    settings
        .set_record_filtering(StoreInserts::FilterBoth)
        .disjoint_query_paths(true);
    let mut kad = kad::Behaviour::with_config(local, store, settings);
    kad.set_mode(Some(if config.server { Mode::Server } else { Mode::Client }));
    Ok(kad)
}

fn mdns(config: &NetConfig, local: PeerId) -> Result<Toggle<mdns::tokio::Behaviour>, NetError> {
    if !config.mdns {
        return Ok(Toggle::from(None));
    }
    let mdns = mdns::tokio::Behaviour::new(mdns::Config::default(), local).map_err(NetError::Mdns)?;
    Ok(Toggle::from(Some(mdns)))
}

fn rpc(config: &NetConfig) -> Result<request_response::Behaviour<RpcCodec>, NetError> {
    let settings = request_response::Config::default()
        .with_request_timeout(config.limits.request_timeout)
        .with_max_concurrent_streams(config.limits.rpc_streams_max);
    let protocol = stream_protocol(&config.network, "rpc")?;
    let codec = RpcCodec {
        bytes_max: config.limits.rpc_bytes_max,
    };
    Ok(request_response::Behaviour::with_codec(
        codec,
        [(protocol, ProtocolSupport::Full)],
        settings,
    ))
}

fn gossip(network: &str) -> Result<Gossip, NetError> {
    let whitelist: HashSet<_> = Topic::ALL
        .into_iter()
        .map(|topic| topic.ident(network).hash())
        .collect();
    let mut gossip = Gossip::new_with_subscription_filter(
        // Authorship is inside the records; the neighbour that sends a message is known anyway.
        MessageAuthenticity::Anonymous,
        gossip_config(network)?,
        WhitelistSubscriptionFilter(whitelist),
    )
    .map_err(|cause| settings("gossipsub", cause))?;
    gossip
        .with_peer_score(scoring::params(network), scoring::thresholds())
        .map_err(|cause| settings("the gossip score", cause))?;
    for topic in Topic::ALL {
        gossip
            .subscribe(&topic.ident(network))
            .map_err(|cause| settings("gossipsub", cause))?;
    }
    Ok(gossip)
}

fn gossip_config(network: &str) -> Result<gossipsub::Config, NetError> {
    let mut config = gossipsub::ConfigBuilder::default();
    config
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .duplicate_cache_time(DUPLICATE_CACHE_TIME)
        .history_length(HISTORY_HEARTBEATS)
        .flood_publish(false)
        .mesh_n(scoring::MESH_N)
        .mesh_n_low(scoring::MESH_N_LOW)
        .mesh_n_high(scoring::MESH_N_HIGH)
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .max_publish_messages(GOSSIP_PACKET_MESSAGES_MAX)
        .max_transmit_size(Topic::Aggregates.bytes_max() + GOSSIP_FRAME_BYTES);
    for topic in Topic::ALL {
        let bytes_max = topic.bytes_max() + GOSSIP_FRAME_BYTES;
        config.max_transmit_size_for_topic(bytes_max, topic.ident(network).hash());
    }
    config.build().map_err(|cause| settings("gossipsub", cause))
}

fn stream_protocol(network: &str, name: &str) -> Result<StreamProtocol, NetError> {
    StreamProtocol::try_from_owned(format!("/fieldmark/{network}/v1/{name}"))
        .map_err(|cause| settings("the protocol name", cause))
}

fn settings(part: &'static str, cause: impl std::fmt::Display) -> NetError {
    NetError::Settings {
        part,
        cause: cause.to_string(),
    }
}
