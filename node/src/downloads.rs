//! The `Fetch` port of the machines: verified downloads over the blob plane.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use fieldmark_blobs::{BlobEndpoint, BlobHash, Provider};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::id::ContentHash;

use crate::handle::Counters;

/// Fetches one blob; a killed fetch goes on where it was.
pub(crate) async fn fetch(
    endpoint: &BlobEndpoint,
    counters: &Counters,
    blob: ContentHash,
    size: u64,
    provider: PublicKey,
    address: &str,
) -> Result<(), String> {
    let addr: SocketAddr = address
        .parse()
        .map_err(|_| format!("'{address}' is not a socket address"))?;
    let provider = Provider {
        node_key: *provider.as_bytes(),
        addr,
    };
    let report = endpoint
        .fetch(&provider, BlobHash(*blob.as_bytes()), size, None)
        .await;
    let report = report.map_err(|e| e.to_string())?;
    counters
        .blob_bytes_fetched
        .fetch_add(report.bytes, Ordering::Relaxed);
    Ok(())
}
