//! What can go wrong, split by whose fault it is: the store's and the disk's ([`BlobError`]), the
//! endpoint's start ([`PlaneError`]), a provider's or the line's ([`FetchError`]).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::geometry::BlobHash;
use crate::provider::Provider;

/// A failure of the store. The store stays consistent after each of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The disk, or the user's share of it, is full.
    #[error("no space left while writing {}: free space on that disk or move the store; nothing was added", path.display())]
    DiskFull {
        /// The file being written.
        path: PathBuf,
    },
    /// The store's own limit.
    #[error(
        "{needed} bytes do not fit: {used} of the store's quota of {quota} bytes are in use; raise the quota, unpin or remove blobs"
    )]
    QuotaExceeded {
        /// Bytes to be added.
        needed: u64,
        /// Bytes in use.
        used: u64,
        /// The limit.
        quota: u64,
    },
    /// The store does not have the blob.
    #[error("blob {hash} is not in the store")]
    NotFound {
        /// The blob.
        hash: BlobHash,
    },
    /// A stored file is not what its name says.
    #[error("blob {hash} is damaged in group {group} of {}: remove it and fetch it again", path.display())]
    Damaged {
        /// The blob.
        hash: BlobHash,
        /// Its file.
        path: PathBuf,
        /// The first group that does not verify.
        group: u32,
    },
    /// The announced size is not the blob's.
    #[error("blob {hash} has {stored} bytes, {announced} were announced")]
    SizeConflict {
        /// The blob.
        hash: BlobHash,
        /// The proven size.
        stored: u64,
        /// The announced one.
        announced: u64,
    },
    /// A blob was announced as empty, and its hash is not that of nothing.
    #[error("blob {hash} was announced with 0 bytes, and is not the empty blob")]
    NotEmpty {
        /// The blob.
        hash: BlobHash,
    },
    /// The blob is over a bound.
    #[error("{size} bytes are too large, the most allowed is {size_max}")]
    TooLarge {
        /// The blob's size.
        size: u64,
        /// The bound.
        size_max: u64,
    },
    /// The blob is being downloaded.
    #[error("blob {hash} is being downloaded")]
    InUse {
        /// The blob.
        hash: BlobHash,
    },
    /// Another process has the store open.
    #[error("the blob store {} is open in another process: stop that one first", dir.display())]
    Locked {
        /// The store's folder.
        dir: PathBuf,
    },
    /// A file grew or shrank while it was imported.
    #[error("{} changed while it was read: import it again when nothing writes to it", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// Any other failure of the file system.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl BlobError {
    /// Names the step and file of an IO error, and tells a full disk from the rest.
    pub(crate) fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { step, path, source },
        }
    }
}

/// Why the blob endpoint did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaneError {
    /// Another program holds the port.
    #[error("udp {addr} is in use by another program: stop it, or choose another blob port")]
    AddressInUse {
        /// The address.
        addr: SocketAddr,
    },
    /// The system refused the address.
    #[error("cannot bind udp {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The node's key does not work.
    #[error(transparent)]
    Key(#[from] fieldmark_net::KeyError),
    /// The certificate could not be made from the key; a fault of this program.
    #[error("no certificate could be made from the node key: {cause}")]
    Certificate {
        /// The library's words.
        cause: String,
    },
}

/// Why a blob was not fetched. What had been verified before stays and is not fetched again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The provider sent bytes that are not the blob's. Nothing of them was written.
    #[error("{provider} sent wrong bytes for group {group} of blob {hash}")]
    BadGroup {
        /// Who sent them.
        provider: Provider,
        /// The blob.
        hash: BlobHash,
        /// The group.
        group: u32,
    },
    /// Another node answers at the address.
    #[error("{provider} is not there: the node at that address has the key {found}")]
    WrongPeer {
        /// Who was expected.
        provider: Provider,
        /// The key that the other side proved, in hexadecimal, or why there is none.
        found: String,
    },
    /// The provider does not have the blob, or does not give it to this node.
    #[error("{provider} does not offer blob {hash}")]
    NotOffered {
        /// The provider.
        provider: Provider,
        /// The blob.
        hash: BlobHash,
    },
    /// The announced size is not what the provider has.
    #[error("blob {hash} was announced with {announced} bytes, {provider} has {actual}")]
    SizeMismatch {
        /// The provider.
        provider: Provider,
        /// The blob.
        hash: BlobHash,
        /// The announced size.
        announced: u64,
        /// The provider's.
        actual: u64,
    },
    /// The provider refused the request as malformed: another version.
    #[error("{provider} does not understand the request")]
    Refused {
        /// The provider.
        provider: Provider,
    },
    /// The provider's own copy is damaged, or it is overloaded.
    #[error("{provider} cannot serve blob {hash} at the moment")]
    Unavailable {
        /// The provider.
        provider: Provider,
        /// The blob.
        hash: BlobHash,
    },
    /// The provider broke the protocol.
    #[error("{provider} broke the protocol: {what}")]
    Protocol {
        /// The provider.
        provider: Provider,
        /// How.
        what: &'static str,
    },
    /// The provider could not be reached.
    #[error("cannot connect to {provider}: {cause}")]
    Connect {
        /// The provider.
        provider: Provider,
        /// Why.
        cause: String,
    },
    /// The connection was lost.
    #[error("lost the connection to {provider}: {cause}")]
    Lost {
        /// The provider.
        provider: Provider,
        /// Why.
        cause: String,
    },
    /// Nothing arrived for too long.
    #[error("nothing came from {provider} for {} s", waited.as_secs())]
    NoProgress {
        /// The provider.
        provider: Provider,
        /// How long was waited.
        waited: Duration,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] BlobError),
}
