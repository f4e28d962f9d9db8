//! Ed25519 keys: identities and node keys. Signatures are over a domain-separated byte string and are
//! verified strictly (no small-order keys, no malleable signatures).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

pub use crate::id::PublicKey;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What a signature is for; a signature of one domain never verifies in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Domain {
    /// A record header.
    Record,
    /// A contributor's report.
    Report,
    /// A leader's receipt.
    Receipt,
    /// A node's addresses.
    Address,
    /// A node key agreeing to its certificate.
    Possession,
    /// A message of a node to a webhook.
    Webhook,
}

impl Domain {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Record => b"fieldmark/v1/record\0",
            Self::Report => b"fieldmark/v1/report\0",
            Self::Receipt => b"fieldmark/v1/receipt\0",
            Self::Address => b"fieldmark/v1/address\0",
            Self::Possession => b"fieldmark/v1/possession\0",
            Self::Webhook => b"fieldmark/v1/webhook\0",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.prefix(), bytes].concat()
    }
}

/// A signature that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under key {key}")]
pub struct BadSignature {
    /// The key it was checked against.
    pub key: PublicKey,
}

impl PublicKey {
    /// Checks `signature` over `bytes` in `domain`.
    ///
    /// # Errors
    /// [`BadSignature`] when the key is not a point, the signature is malformed, or it does not verify.
    pub fn verify(&self, domain: Domain, bytes: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let refused = BadSignature { key: *self };
        let key = VerifyingKey::from_bytes(self.as_bytes()).map_err(|_| refused)?;
        let signature = Signature::from_slice(signature).map_err(|_| refused)?;
        key.verify_strict(&domain.message(bytes), &signature)
            .map_err(|_| refused)
    }
}

/// An Ed25519 secret key. Erased from memory when dropped; never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key whose 32 secret bytes are `seed`. The caller draws them from the operating system.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key().to_bytes())
    }

    /// The secret bytes, for a key file and for libp2p; erased when dropped.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Signs `bytes` in `domain`. Deterministic.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&domain.message(bytes)).to_bytes()
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey(of {})", self.public().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_of_one_domain_fails_in_another() {
        let key = SecretKey::from_seed(&[1; 32]);
        let signature = key.sign(Domain::Record, b"bytes");
        assert!(key.public().verify(Domain::Record, b"bytes", &signature).is_ok());
        assert!(key.public().verify(Domain::Report, b"bytes", &signature).is_err());
        assert!(key.public().verify(Domain::Record, b"other", &signature).is_err());
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        let weak = PublicKey::new([0; 32]);
        assert!(weak.verify(Domain::Record, b"x", &[0; 64]).is_err());
    }

    #[test]
    fn a_secret_key_is_not_printed() {
        let key = SecretKey::from_seed(&[9; 32]);
        assert!(!format!("{key:?}").contains("0909"));
    }
}
