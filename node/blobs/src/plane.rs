//! The blob plane: one QUIC endpoint that serves and fetches.
//!
//! Both ends show certificates made from their node keys (the scheme of libp2p), so that each knows the
//! other's key before a byte of a blob moves. Nothing of a connection is written to key logs, and sessions
//! are not resumed, so that the proof is made each time.
//!
//! The accepting task ends when the last [`BlobEndpoint`] is dropped or [`BlobEndpoint::close`] is called.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use fieldmark_net::{NodeKey, keypair_of, node_key_of};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use crate::error::PlaneError;
use crate::geometry::BlobHash;
use crate::store::BlobStore;

mod client;
mod server;

pub use client::{FetchReport, Progress};

/// The protocol both ends must name.
const ALPN: &[u8] = b"fieldmark-blob/1";
/// A connection without any packet for so long is dead.
const IDLE_TIMEOUT_MS: u32 = 20_000;
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Who may have which blob: called for each request with the key that the peer has proved. It should be
/// quick, for it runs on the network's threads.
pub type Access = Arc<dyn Fn(&NodeKey, &BlobHash) -> bool + Send + Sync>;

/// Bounds of the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneLimits {
    /// Connections served at once. Default 64.
    pub connections_max: usize,
    /// Connections served per peer; one more closes the peer's oldest. Default 8.
    pub connections_per_peer_max: usize,
    /// Connections served per IP address. Default 16. Loopback is exempt.
    pub connections_per_ip_max: usize,
    /// Requests served at once on a connection. Default 16; each reads one group ahead.
    pub streams_per_connection_max: u32,
    /// Blobs fetched at once; further fetches wait. Default 4, at least 1; fewer than the
    /// `connections_per_peer_max` of others, for each fetch opens a connection.
    pub fetches_max: usize,
    /// Streams that a fetch stripes over. Default 4, at least 1.
    pub fetch_streams: u32,
    /// Bytes that a served connection may have under way. Default 16 MiB: 2 Gb/s at 63 ms round trip, and
    /// with `connections_max` 1 GiB of memory at the worst.
    pub send_window_bytes: u32,
    /// Bytes that a fetch takes in ahead on one stream. Default 64 MB.
    pub stream_window_bytes: u32,
    /// The same for a connection. Default 128 MB.
    pub connection_window_bytes: u32,
    /// How long either side waits for the next bytes to move. Default 20 s.
    pub no_progress_timeout: Duration,
    /// Time for a handshake. Default 10 s.
    pub connect_timeout: Duration,
}

impl Default for PlaneLimits {
    fn default() -> Self {
        Self {
            connections_max: 64,
            connections_per_peer_max: 8,
            connections_per_ip_max: 16,
            streams_per_connection_max: 16,
            fetches_max: 4,
            fetch_streams: 4,
            send_window_bytes: 16 << 20,
            stream_window_bytes: 64_000_000,
            connection_window_bytes: 128_000_000,
            no_progress_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// Starts the plane.
#[derive(Debug)]
pub struct BlobServer;

impl BlobServer {
    /// Serves a store at an address (port 0 takes a free one) and returns the endpoint, which also fetches,
    /// with the address in use. Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`PlaneError`] names the address or key at fault.
    pub fn start(
        store: BlobStore,
        node_key: &[u8; 32],
        bind: SocketAddr,
        access: Access,
    ) -> Result<(BlobEndpoint, SocketAddr), PlaneError> {
        Self::start_with(store, node_key, bind, access, PlaneLimits::default())
    }

    /// [`Self::start`] with bounds of one's own.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        store: BlobStore,
        node_key: &[u8; 32],
        bind: SocketAddr,
        access: Access,
        limits: PlaneLimits,
    ) -> Result<(BlobEndpoint, SocketAddr), PlaneError> {
        let (endpoint, client) = endpoint(node_key, bind, &limits)?;
        let addr = endpoint
            .local_addr()
            .map_err(|source| PlaneError::Bind { addr: bind, source })?;
        let server = server::Server {
            store: store.clone(),
            access,
            limits: limits.clone(),
        };
        tokio::spawn(server.run(endpoint.clone()));
        let fetches = Semaphore::new(limits.fetches_max.max(1));
        let inner = Inner {
            endpoint,
            client,
            store,
            limits,
            addr,
            fetches,
        };
        Ok((
            BlobEndpoint {
                inner: Arc::new(inner),
            },
            addr,
        ))
    }
}

/// A running endpoint; clones share it.
#[derive(Debug, Clone)]
pub struct BlobEndpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: quinn::Endpoint,
    client: quinn::ClientConfig,
    store: BlobStore,
    limits: PlaneLimits,
    addr: SocketAddr,
    fetches: Semaphore,
}

impl BlobEndpoint {
    /// The address in use.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// Ends all transfers and waits until the other sides were told.
    pub async fn close(&self) {
        self.inner.endpoint.close(VarInt::from_u32(0), b"shutting down");
        self.inner.endpoint.wait_idle().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(0), b"shutting down");
    }
}

/// Binds an endpoint that accepts, and makes the configuration with which it connects.
fn endpoint(
    node_key: &[u8; 32],
    bind: SocketAddr,
    limits: &PlaneLimits,
) -> Result<(quinn::Endpoint, quinn::ClientConfig), PlaneError> {
    let keypair = keypair_of(node_key)?;
    let mut tls = libp2p_tls::make_server_config(&keypair).map_err(certificate)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.key_log = Arc::new(rustls::NoKeyLog);
    tls.send_tls13_tickets = 0;
    let mut server =
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).map_err(certificate)?));
    server.transport_config(Arc::new(server_transport(limits)));

    let mut tls = libp2p_tls::make_client_config(&keypair, None).map_err(certificate)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.key_log = Arc::new(rustls::NoKeyLog);
    tls.resumption = rustls::client::Resumption::disabled();
    let mut client =
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(certificate)?));
    client.transport_config(Arc::new(client_transport(limits)));

    let socket = UdpSocket::bind(bind).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => PlaneError::AddressInUse { addr: bind },
        _ => PlaneError::Bind { addr: bind, source },
    })?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = quinn::Endpoint::new(quinn::EndpointConfig::default(), Some(server), socket, runtime)
        .map_err(|source| PlaneError::Bind { addr: bind, source })?;
    Ok((endpoint, client))
}

/// A server takes in requests of 49 bytes and nothing more.
fn server_transport(limits: &PlaneLimits) -> TransportConfig {
    let mut transport = base_transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_per_connection_max))
        .stream_receive_window(VarInt::from_u32(4 << 10))
        .receive_window(VarInt::from_u32(64 << 10))
        .send_window(u64::from(limits.send_window_bytes));
    transport
}

fn client_transport(limits: &PlaneLimits) -> TransportConfig {
    let mut transport = base_transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits.stream_window_bytes))
        .receive_window(VarInt::from_u32(limits.connection_window_bytes))
        .keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

fn base_transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))));
    transport
}

/// The key that the other end has proved.
fn proved_key(connection: &quinn::Connection) -> Option<NodeKey> {
    let certificates = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    let parsed = libp2p_tls::certificate::parse(certificates.first()?).ok()?;
    node_key_of(&parsed.peer_id())
}

fn certificate(cause: impl fmt::Display) -> PlaneError {
    PlaneError::Certificate {
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests;
