//! Signed, chained records (design §4). The received header bytes are kept and hashed, never
//! re-encoded; a header that is not in its canonical encoding is refused.

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::{ContentHash, IdError};
use crate::key::{BadSignature, Domain, SIGNATURE_BYTES};
use crate::wire;
use crate::{PublicKey, RecordId, SecretKey};

/// Most bytes of a header.
pub const HEADER_BYTES_MAX: usize = 256;
/// Most bytes of a payload: what the widest gossip topic carries, less the header.
pub const PAYLOAD_BYTES_MAX: usize = 31 * 1024;
/// Most bytes of a whole signed record on the wire.
pub const RECORD_BYTES_MAX: usize = 32 * 1024;

/// What a record says. Unknown kinds are stored and forwarded, not interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each kind is a payload message documented in its schema"
)]
pub enum Kind {
    Profile,
    NodeCertificate,
    NodeRevocation,
    Release,
    Withdrawal,
    Task,
    Challenge,
    Campaign,
    Transcript,
    ShareCommitment,
    AggregateShare,
    Aggregate,
    Abort,
    Issue,
    Comment,
    Endorsement,
    Checkpoint,
    Unknown(u32),
}

/// The kinds with their numbers on the wire, which never change.
const KINDS: [(u32, Kind, &str); 17] = [
    (1, Kind::Profile, "profile"),
    (2, Kind::NodeCertificate, "node-certificate"),
    (3, Kind::NodeRevocation, "node-revocation"),
    (4, Kind::Release, "release"),
    (5, Kind::Withdrawal, "withdrawal"),
    (6, Kind::Task, "task"),
    (7, Kind::Challenge, "challenge"),
    (8, Kind::Campaign, "campaign"),
    (9, Kind::Transcript, "transcript"),
    (10, Kind::ShareCommitment, "share-commitment"),
    (11, Kind::AggregateShare, "aggregate-share"),
    (12, Kind::Aggregate, "aggregate"),
    (13, Kind::Abort, "abort"),
    (14, Kind::Issue, "issue"),
    (15, Kind::Comment, "comment"),
    (16, Kind::Endorsement, "endorsement"),
    (17, Kind::Checkpoint, "checkpoint"),
];

impl Kind {
    /// The kind with this number; [`Kind::Unknown`] for one this version does not know.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        KINDS
            .iter()
            .find(|(n, ..)| *n == number)
            .map_or(Self::Unknown(number), |(_, kind, _)| *kind)
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        if let Self::Unknown(number) = self {
            return number;
        }
        KINDS
            .iter()
            .find(|(_, kind, _)| *kind == self)
            .map_or(0, |(number, ..)| *number)
    }

    /// Its name in output, e.g. `share-commitment`.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, kind, _)| *kind == self)
            .map_or("unknown", |(.., name)| name)
    }
}

/// What a signer puts into a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The identity that answers for the record.
    pub author: PublicKey,
    /// The key that signed it.
    pub log: PublicKey,
    /// Position in the log, from 0.
    pub seq: u64,
    /// The record before; `None` exactly at seq 0.
    pub prev: Option<RecordId>,
    /// What the payload is.
    pub kind: Kind,
    /// BLAKE3 of the payload.
    pub payload_hash: ContentHash,
    /// The author's clock when it signed, in milliseconds since 1970. Not trusted.
    pub created_at_ms: u64,
}

/// Bytes that are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Header or record bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A key or id in the header has the wrong length.
    #[error("the header's {field} is not an id")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// Seq 0 with a predecessor, or a later seq without one.
    #[error("the header at seq {seq} {}", if *seq == 0 { "names a record before it" } else { "names no record before it" })]
    Chain {
        /// The header's position.
        seq: u64,
    },
    /// Payload bytes other than those signed for.
    #[error("the payload hashes to {found}, the header was signed for {expected}")]
    Payload {
        /// Hash in the header.
        expected: ContentHash,
        /// Hash of the bytes.
        found: ContentHash,
    },
    /// The signature does not verify.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// A header whose signature verified, with the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    header: Header,
    bytes: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedHeader {
    /// Checks header bytes and signature.
    ///
    /// # Errors
    /// [`RecordError`] for anything but a canonical header correctly signed by its log's key.
    pub fn check(bytes: Vec<u8>, signature: Vec<u8>) -> Result<Self, RecordError> {
        let header = parse(&bytes)?;
        header.log.verify(Domain::Record, &bytes, &signature)?;
        Ok(Self {
            header,
            bytes,
            signature,
        })
    }

    /// The header's fields.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// BLAKE3 of the signed bytes.
    #[must_use]
    pub fn id(&self) -> RecordId {
        RecordId::new(*blake3::hash(&self.bytes).as_bytes())
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::SignedHeader {
        wire::SignedHeader {
            header: self.bytes.clone(),
            signature: self.signature.clone(),
        }
    }
}

/// A record whose header, signature and payload hash were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    signed: SignedHeader,
    payload: Vec<u8>,
}

impl Record {
    /// Signs the next record of `key`'s log.
    ///
    /// `author` is the identity it is signed for, `prev` the last id of the log with its seq.
    #[must_use]
    pub fn sign(
        key: &SecretKey,
        author: PublicKey,
        prev: Option<(u64, RecordId)>,
        kind: Kind,
        payload: Vec<u8>,
        created_at_ms: u64,
    ) -> Self {
        let header = Header {
            author,
            log: key.public(),
            seq: prev.map_or(0, |(seq, _)| seq + 1),
            prev: prev.map(|(_, id)| id),
            kind,
            payload_hash: ContentHash::of(&payload),
            created_at_ms,
        };
        let bytes = encode(&header);
        let signature = key.sign(Domain::Record, &bytes).to_vec();
        Self {
            signed: SignedHeader {
                header,
                bytes,
                signature,
            },
            payload,
        }
    }

    /// Checks a record from the wire.
    ///
    /// # Errors
    /// [`RecordError`] naming what is wrong.
    pub fn check(record: wire::SignedRecord) -> Result<Self, RecordError> {
        let found = record.payload.len();
        if found > PAYLOAD_BYTES_MAX {
            let what = "a record's payload";
            return Err(DecodeError::TooLong {
                what,
                limit: PAYLOAD_BYTES_MAX,
                found,
            }
            .into());
        }
        let signed = SignedHeader::check(record.header, record.signature)?;
        let found = ContentHash::of(&record.payload);
        let expected = signed.header.payload_hash;
        if found != expected {
            return Err(RecordError::Payload { expected, found });
        }
        Ok(Self {
            signed,
            payload: record.payload,
        })
    }

    /// Checks the encoded form of [`wire::SignedRecord`].
    ///
    /// # Errors
    /// [`RecordError`] naming what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::check(decode::bounded("a record", bytes, RECORD_BYTES_MAX)?)
    }

    /// Takes stored bytes that were checked before they were written; only damage is looked for.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes changed since.
    pub fn decode_stored(bytes: &[u8]) -> Result<Self, RecordError> {
        let wire: wire::SignedRecord = decode::bounded("a stored record", bytes, RECORD_BYTES_MAX)?;
        let header = parse(&wire.header)?;
        let found = ContentHash::of(&wire.payload);
        if found != header.payload_hash {
            return Err(RecordError::Payload {
                expected: header.payload_hash,
                found,
            });
        }
        Ok(Self {
            signed: SignedHeader {
                header,
                bytes: wire.header,
                signature: wire.signature,
            },
            payload: wire.payload,
        })
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::SignedRecord {
        wire::SignedRecord {
            header: self.signed.bytes.clone(),
            signature: self.signed.signature.clone(),
            payload: self.payload.clone(),
        }
    }

    /// The encoded wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// BLAKE3 of the signed header bytes.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.signed.id()
    }

    /// The header's fields.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.signed.header()
    }

    /// The signed header, for an equivocation proof.
    #[must_use]
    pub fn signed_header(&self) -> &SignedHeader {
        &self.signed
    }

    /// The payload bytes, not interpreted.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

fn encode(header: &Header) -> Vec<u8> {
    wire::RecordHeader {
        author: header.author.to_vec(),
        log: header.log.to_vec(),
        seq: header.seq,
        prev: header.prev.map(RecordId::to_vec).unwrap_or_default(),
        kind: header.kind.number(),
        payload_hash: header.payload_hash.to_vec(),
        created_at_ms: header.created_at_ms,
    }
    .encode_to_vec()
}

fn parse(bytes: &[u8]) -> Result<Header, RecordError> {
    let wire: wire::RecordHeader = decode::canonical("a record header", bytes, HEADER_BYTES_MAX)?;
    let field = |field| move |source| RecordError::Field { field, source };
    let prev = if wire.prev.is_empty() {
        None
    } else {
        Some(RecordId::from_slice(&wire.prev).map_err(field("prev"))?)
    };
    if prev.is_none() != (wire.seq == 0) {
        return Err(RecordError::Chain { seq: wire.seq });
    }
    Ok(Header {
        author: PublicKey::from_slice(&wire.author).map_err(field("author"))?,
        log: PublicKey::from_slice(&wire.log).map_err(field("log"))?,
        seq: wire.seq,
        prev,
        kind: Kind::from_number(wire.kind),
        payload_hash: ContentHash::from_slice(&wire.payload_hash).map_err(field("payload hash"))?,
        created_at_ms: wire.created_at_ms,
    })
}

// A signature of any other length is refused by the verifier; the constant ties the two together.
const _: () = assert!(SIGNATURE_BYTES == 64);

#[cfg(test)]
mod tests;
