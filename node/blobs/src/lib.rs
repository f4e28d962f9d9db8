//! Blobs of a node (design, section 5): a store on the file system, and a plane that moves blobs between
//! nodes over QUIC, verified 64 KiB at a time.
//!
//! A blob is bytes named by their BLAKE3 hash. It owns files, quotas, pins and transfers; it does not
//! know what a blob is for, who may have it (the caller passes an [`Access`] rule) or where to find it
//! (the caller passes a [`Provider`]).
//!
//! Rooms: `geometry` has hashes and group arithmetic, `store` the files, `wire` the
//! bytes between two nodes, `plane` the endpoint with its server and client.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let store = fieldmark_blobs::BlobStore::open(folder.path())?;
//! let imported = store.import_bytes(b"weights")?;
//! assert_eq!(store.read(&imported.hash, 1 << 20)?, b"weights");
//! assert!(store.import_bytes(b"weights")?.already_stored);
//! # Ok(())
//! # }
//! ```

#[doc(hidden)]
pub mod decoders;
mod error;
mod geometry;
mod plane;
mod provider;
mod store;
mod wire;

pub use error::{BlobError, FetchError, PlaneError};
pub use geometry::{BLOB_BYTES_MAX, BlobHash, GROUP_BYTES, ParseHashError, groups};
pub use plane::{Access, BlobEndpoint, BlobServer, FetchReport, PlaneLimits, Progress};
pub use provider::Provider;
pub use store::{BlobStore, Collected, Imported, StoreConfig, Usage};
