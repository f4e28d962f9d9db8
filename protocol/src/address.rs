//! Node certificates, revocations and addresses: which node keys an identity answers for, and where
//! they are reached.

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::IdError;
use crate::key::{BadSignature, Domain};
use crate::{PublicKey, SecretKey, wire};

/// Most bytes of an encoded node address.
pub const ADDRESS_BYTES_MAX: usize = 2048;
/// Most addresses one node announces.
pub const MULTIADDRS_MAX: usize = 16;

/// A certificate or address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A key has the wrong length.
    #[error("{field} is not a key")]
    Key {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: IdError,
    },
    /// More addresses than [`MULTIADDRS_MAX`], or one that is too long or not text.
    #[error("a node address lists something that is not a short address")]
    Multiaddrs,
    /// The signature does not verify.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// What a node does, as its certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(pub u32);

impl Roles {
    /// May sit on committees.
    pub const AGGREGATOR: u32 = 1;
    /// Contributes reports.
    pub const CONTRIBUTOR: u32 = 2;
    /// Serves blobs.
    pub const PROVIDER: u32 = 4;

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

/// A checked NodeCertificate payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    /// The certified node key, also the node's libp2p identity.
    pub node_key: PublicKey,
    /// X25519 public key that shares are sealed to.
    pub hpke_key: PublicKey,
    /// What the node does.
    pub roles: Roles,
    possession: Vec<u8>,
}

impl NodeCertificate {
    /// A certificate by `identity` that the node key agrees to.
    #[must_use]
    pub fn new(identity: PublicKey, node: &SecretKey, hpke_key: PublicKey, roles: Roles) -> Self {
        let node_key = node.public();
        let possession = node
            .sign(
                Domain::Possession,
                &possession_bytes(identity, node_key, hpke_key, roles),
            )
            .to_vec();
        Self {
            node_key,
            hpke_key,
            roles,
            possession,
        }
    }

    /// Decodes a payload signed by `identity`.
    ///
    /// # Errors
    /// [`AddressError`]; also when the node key did not agree to this identity.
    pub fn decode(identity: PublicKey, payload: &[u8]) -> Result<Self, AddressError> {
        let wire: wire::NodeCertificate = decode::bounded("a node certificate", payload, ADDRESS_BYTES_MAX)?;
        let key = |field| move |source| AddressError::Key { field, source };
        let certificate = Self {
            node_key: PublicKey::from_slice(&wire.node_key).map_err(key("the node key"))?,
            hpke_key: PublicKey::from_slice(&wire.hpke_key).map_err(key("the HPKE key"))?,
            roles: Roles(wire.roles),
            possession: wire.possession,
        };
        let agreed = possession_bytes(
            identity,
            certificate.node_key,
            certificate.hpke_key,
            certificate.roles,
        );
        certificate
            .node_key
            .verify(Domain::Possession, &agreed, &certificate.possession)?;
        Ok(certificate)
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::NodeCertificate {
            node_key: self.node_key.to_vec(),
            hpke_key: self.hpke_key.to_vec(),
            roles: self.roles.0,
            possession: self.possession.clone(),
        }
        .encode_to_vec()
    }
}

fn possession_bytes(identity: PublicKey, node: PublicKey, hpke: PublicKey, roles: Roles) -> Vec<u8> {
    [
        identity.as_bytes().as_slice(),
        node.as_bytes(),
        hpke.as_bytes(),
        &roles.0.to_be_bytes(),
    ]
    .concat()
}

/// Where a node is reached, signed by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// The node.
    pub node_key: PublicKey,
    /// libp2p multiaddresses, as text.
    pub multiaddrs: Vec<String>,
    /// Socket address of its blob plane, if it provides blobs.
    pub blobs: Option<String>,
    /// The node's clock; of two addresses the later holds.
    pub issued_at_ms: u64,
    signature: Vec<u8>,
}

impl NodeAddress {
    /// Signs an address.
    #[must_use]
    pub fn sign(node: &SecretKey, multiaddrs: Vec<String>, blobs: Option<String>, issued_at_ms: u64) -> Self {
        let mut address = Self {
            node_key: node.public(),
            multiaddrs,
            blobs,
            issued_at_ms,
            signature: Vec::new(),
        };
        address.signature = node.sign(Domain::Address, &address.signed_bytes()).to_vec();
        address
    }

    fn signed_bytes(&self) -> Vec<u8> {
        wire::NodeAddress {
            signature: Vec::new(),
            ..self.to_wire()
        }
        .encode_to_vec()
    }

    /// Checks an address from the wire.
    ///
    /// # Errors
    /// [`AddressError`] naming what is wrong.
    pub fn check(wire: wire::NodeAddress) -> Result<Self, AddressError> {
        let key = |source| AddressError::Key {
            field: "the node key",
            source,
        };
        let short = |text: &String| text.len() <= 256 && text.chars().all(|c| c.is_ascii_graphic());
        if wire.multiaddrs.len() > MULTIADDRS_MAX || !wire.multiaddrs.iter().all(short) || !short(&wire.blobs)
        {
            return Err(AddressError::Multiaddrs);
        }
        let address = Self {
            node_key: PublicKey::from_slice(&wire.node_key).map_err(key)?,
            multiaddrs: wire.multiaddrs,
            blobs: (!wire.blobs.is_empty()).then_some(wire.blobs),
            issued_at_ms: wire.issued_at_ms,
            signature: wire.signature,
        };
        address
            .node_key
            .verify(Domain::Address, &address.signed_bytes(), &address.signature)?;
        Ok(address)
    }

    /// Decodes and checks an encoded address.
    ///
    /// # Errors
    /// [`AddressError`] naming what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        Self::check(decode::bounded("a node address", bytes, ADDRESS_BYTES_MAX)?)
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::NodeAddress {
        wire::NodeAddress {
            node_key: self.node_key.to_vec(),
            multiaddrs: self.multiaddrs.clone(),
            blobs: self.blobs.clone().unwrap_or_default(),
            issued_at_ms: self.issued_at_ms,
            signature: self.signature.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_moved_to_another_identity_is_refused() {
        let (identity, node) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let certificate = NodeCertificate::new(
            identity.public(),
            &node,
            PublicKey::new([5; 32]),
            Roles(Roles::AGGREGATOR),
        );
        let payload = certificate.encode();
        assert_eq!(
            NodeCertificate::decode(identity.public(), &payload).unwrap(),
            certificate
        );
        assert!(matches!(
            NodeCertificate::decode(node.public(), &payload),
            Err(AddressError::Signature(_))
        ));
    }

    #[test]
    fn a_changed_address_is_refused() {
        let node = SecretKey::from_seed(&[2; 32]);
        let address = NodeAddress::sign(&node, vec!["/ip4/127.0.0.1/tcp/1".into()], None, 7);
        assert_eq!(NodeAddress::check(address.to_wire()).unwrap(), address);
        let mut wire = address.to_wire();
        wire.issued_at_ms = 8;
        assert!(NodeAddress::check(wire).is_err());
    }
}
