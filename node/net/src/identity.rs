//! Names of peers: Ed25519 public keys, and libp2p's peer ids that wrap them.
//!
//! A libp2p peer id of an Ed25519 key is an identity multihash of the protobuf-encoded key, so the key can
//! be read back from it. Peers with any other kind of key have no [`NodeKey`] and are refused.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};

/// The bytes of a node's Ed25519 public key.
pub type NodeKey = [u8; 32];

/// The code of the identity multihash: the digest is the encoded key itself.
const MULTIHASH_IDENTITY: u64 = 0;

/// Why 32 bytes are not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are no point on the curve.
    #[error("{key} is not an Ed25519 public key")]
    NotAPoint {
        /// The bytes, in hexadecimal.
        key: String,
    },
    /// The bytes cannot be a secret key.
    #[error("the node key file does not hold an Ed25519 secret key")]
    BadSecret,
}

/// The peer id of a node key.
///
/// # Errors
/// [`KeyError::NotAPoint`] when the bytes are no Ed25519 public key.
pub fn peer_id_of(key: &NodeKey) -> Result<PeerId, KeyError> {
    let key = ed25519::PublicKey::try_from_bytes(key).map_err(|_| KeyError::NotAPoint { key: hex(key) })?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The node key inside a peer id; `None` when the peer's identity is not an Ed25519 key.
#[must_use]
pub fn node_key_of(peer: &PeerId) -> Option<NodeKey> {
    let hash = peer.as_ref();
    if hash.code() != MULTIHASH_IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}

/// libp2p's key pair of an Ed25519 secret key.
///
/// # Errors
/// [`KeyError::BadSecret`] when libp2p refuses the bytes.
pub fn keypair_of(secret: &[u8; 32]) -> Result<Keypair, KeyError> {
    // The library wipes the buffer that it is given.
    let mut bytes = *secret;
    Keypair::ed25519_from_bytes(&mut bytes).map_err(|_| KeyError::BadSecret)
}

/// The public key of an Ed25519 secret key.
///
/// # Errors
/// [`KeyError::BadSecret`] when libp2p refuses the bytes.
pub fn public_key_of(secret: &[u8; 32]) -> Result<NodeKey, KeyError> {
    let pair = keypair_of(secret)?
        .try_into_ed25519()
        .map_err(|_| KeyError::BadSecret)?;
    Ok(pair.public().to_bytes())
}

/// A node key in hexadecimal, as log lines and errors show it.
#[must_use]
pub fn hex(key: &NodeKey) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in key {
        // Writing into a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_key_survives_the_way_through_a_peer_id() {
        let key = public_key_of(&[3; 32]).unwrap();
        let peer = peer_id_of(&key).unwrap();
        assert_eq!(node_key_of(&peer), Some(key));
        assert_eq!(keypair_of(&[3; 32]).unwrap().public().to_peer_id(), peer);
    }

    #[test]
    fn a_peer_id_without_an_ed25519_key_has_no_node_key() {
        assert_eq!(node_key_of(&PeerId::random()), None);
    }

    #[test]
    fn bytes_that_are_no_point_are_refused_by_name() {
        let not_a_point = (0..=255_u8)
            .map(|byte| [byte; 32])
            .find(|key| peer_id_of(key).is_err());
        let error = peer_id_of(&not_a_point.expect("half of all strings are no points")).unwrap_err();
        assert!(error.to_string().contains("is not an Ed25519 public key"));
    }
}
