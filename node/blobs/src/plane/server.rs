//! The serving side: bounded connections, bounded requests, verified groups.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fieldmark_net::NodeKey;
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Access, PlaneLimits, proved_key};
use crate::error::BlobError;
use crate::store::{BlobReader, BlobStore};
use crate::wire::{REQUEST_BYTES, Request, Status};

/// Time for a request's 49 bytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) store: BlobStore,
    pub(super) access: Access,
    pub(super) limits: PlaneLimits,
}

/// How long a connection may ask for nothing.
const IDLE_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections per address; as many entries as there are connections.
type PerIp = Arc<Mutex<BTreeMap<IpAddr, usize>>>;
/// The connections of each key, oldest first; no more than there are connections.
type PerPeer = Arc<Mutex<BTreeMap<NodeKey, VecDeque<Connection>>>>;

/// Why an answer ended early.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the peer went away or stopped reading")]
    Peer,
    #[error(transparent)]
    Store(#[from] BlobError),
}

impl Server {
    /// Accepts connections until the endpoint is closed.
    pub(super) async fn run(self, endpoint: quinn::Endpoint) {
        let server = Arc::new(self);
        let connections = Arc::new(Semaphore::new(server.limits.connections_max));
        let (per_peer, per_ip) = (PerPeer::default(), PerIp::default());
        while let Some(incoming) = endpoint.accept().await {
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            // Once half the places are taken, an address has to prove itself before it costs a handshake.
            let is_busy = connections.available_permits() < server.limits.connections_max / 2;
            if is_busy && !incoming.remote_address_validated() {
                // An error says that it has been validated after all; the peer tries again.
                let _ = incoming.retry();
                continue;
            }
            let ip = incoming.remote_address().ip().to_canonical();
            let most = if ip.is_loopback() {
                usize::MAX
            } else {
                server.limits.connections_per_ip_max
            };
            let Some(place) = Place::take(&per_ip, ip, most) else {
                incoming.refuse();
                continue;
            };
            let (server, per_peer) = (Arc::clone(&server), Arc::clone(&per_peer));
            tokio::spawn(async move {
                server.connection(incoming, per_peer).await;
                drop((permit, place));
            });
        }
    }

    async fn connection(self: Arc<Self>, incoming: Incoming, per_peer: PerPeer) {
        let from = incoming.remote_address();
        let connection = match timeout(self.limits.connect_timeout, incoming).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return tracing::debug!(%from, %error, "a handshake failed"),
            Err(_) => return tracing::debug!(%from, "a handshake took too long"),
        };
        let Some(peer) = proved_key(&connection) else {
            return connection.close(VarInt::from_u32(1), b"no Ed25519 key");
        };
        let _place = Newest::enter(&per_peer, peer, &connection, self.limits.connections_per_peer_max);
        let serving = Arc::new(());
        loop {
            // The transport bounds how many streams can be open, hence how many tasks there are.
            let (send, receive) = match timeout(IDLE_REQUEST_TIMEOUT, connection.accept_bi()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return,
                Err(_) if Arc::strong_count(&serving) > 1 => continue,
                Err(_) => return connection.close(VarInt::from_u32(5), b"idle"),
            };
            let (server, serving) = (Arc::clone(&self), Arc::clone(&serving));
            tokio::spawn(async move {
                if let Err(error) = server.stream(&peer, send, receive).await {
                    tracing::debug!(%from, %error, "an answer ended early");
                }
                drop(serving);
            });
        }
    }

    async fn stream(
        &self,
        peer: &NodeKey,
        mut send: SendStream,
        mut receive: RecvStream,
    ) -> Result<(), ServeError> {
        let bytes = timeout(REQUEST_TIMEOUT, receive.read_to_end(REQUEST_BYTES)).await;
        let request = match bytes {
            Ok(Ok(bytes)) => Request::decode(&bytes).ok(),
            _ => None,
        };
        let Some(request) = request else {
            return self.finish(send, &[Status::Malformed.byte()]).await;
        };
        if !(self.access)(peer, &request.hash) {
            return self.finish(send, &[Status::NotOffered.byte()]).await;
        }
        let reader = match self.store.reader(&request.hash) {
            Ok(reader) => Arc::new(reader),
            Err(BlobError::NotFound { .. }) => {
                return self.finish(send, &[Status::NotOffered.byte()]).await;
            }
            Err(error) => {
                tracing::error!(%error, "a blob cannot be served");
                return self.finish(send, &[Status::Unavailable.byte()]).await;
            }
        };
        if reader.size() != request.size {
            let mut answer = vec![Status::OtherSize.byte()];
            answer.extend_from_slice(&reader.size().to_be_bytes());
            return self.finish(send, &answer).await;
        }
        self.write(&mut send, &[Status::Groups.byte()]).await?;
        self.groups(&mut send, reader, &request).await?;
        self.finish(send, &[]).await
    }

    async fn groups(
        &self,
        send: &mut SendStream,
        reader: Arc<BlobReader>,
        request: &Request,
    ) -> Result<(), ServeError> {
        for group in request.first..request.first.saturating_add(request.count) {
            let reader = Arc::clone(&reader);
            let frame = tokio::task::spawn_blocking(move || reader.frame(group)).await;
            let frame = match frame {
                Ok(Ok(frame)) => frame,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a blob cannot be served");
                    self.write(send, &[0; 4]).await?;
                    return Err(error.into());
                }
                // The runtime is shutting down.
                Err(_) => return Err(ServeError::Peer),
            };
            let length = u32::try_from(frame.len()).map_err(|_| ServeError::Peer)?;
            self.write(send, &length.to_be_bytes()).await?;
            self.write(send, &frame).await?;
        }
        Ok(())
    }

    /// Writes everything, as long as it moves.
    async fn write(&self, send: &mut SendStream, mut bytes: &[u8]) -> Result<(), ServeError> {
        while !bytes.is_empty() {
            let written = timeout(self.limits.no_progress_timeout, send.write(bytes)).await;
            let Ok(Ok(written)) = written else {
                return Err(ServeError::Peer);
            };
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    async fn finish(&self, mut send: SendStream, bytes: &[u8]) -> Result<(), ServeError> {
        self.write(&mut send, bytes).await?;
        // An error says that the stream is closed already.
        let _ = send.finish();
        Ok(())
    }
}

/// One of the connections from an address.
struct Place {
    per_ip: PerIp,
    ip: IpAddr,
}

impl Place {
    fn take(per_ip: &PerIp, ip: IpAddr, most: usize) -> Option<Self> {
        let mut counts = per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self {
            per_ip: Arc::clone(per_ip),
            ip,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// One of the connections of a key. The key is proved, so that one too many closes the key's own oldest:
/// a node that was killed and is back need not wait until its dead connections time out.
struct Newest {
    per_peer: PerPeer,
    peer: NodeKey,
    id: usize,
}

impl Newest {
    fn enter(per_peer: &PerPeer, peer: NodeKey, connection: &Connection, most: usize) -> Self {
        let mut connections = per_peer.lock().unwrap_or_else(PoisonError::into_inner);
        let own = connections.entry(peer).or_default();
        own.push_back(connection.clone());
        while own.len() > most.max(1) {
            if let Some(oldest) = own.pop_front() {
                oldest.close(
                    VarInt::from_u32(2),
                    b"newer connections of the same node took its place",
                );
            }
        }
        Self {
            per_peer: Arc::clone(per_peer),
            peer,
            id: connection.stable_id(),
        }
    }
}

impl Drop for Newest {
    fn drop(&mut self) {
        let mut connections = self.per_peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = connections.get_mut(&self.peer) {
            own.retain(|connection| connection.stable_id() != self.id);
            if own.is_empty() {
                connections.remove(&self.peer);
            }
        }
    }
}
