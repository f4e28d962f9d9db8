//! Equivocation proofs: two different headers that one key signed for the same place in its log.

use crate::decode::{self, DecodeError};
use crate::record::{Record, RecordError, SignedHeader};
use crate::{PublicKey, wire};

/// Most bytes of an encoded proof.
pub const PROOF_BYTES_MAX: usize = 1024;

/// Two headers that prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A header is missing from the message.
    #[error("an equivocation proof lacks a header")]
    Missing,
    /// One of the headers is not valid.
    #[error("a header of an equivocation proof is not valid")]
    Header(#[from] RecordError),
    /// The headers are of different places, or are the same.
    #[error("the two headers do not contradict each other")]
    NoConflict,
}

/// A checked equivocation proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquivocationProof {
    first: SignedHeader,
    second: SignedHeader,
}

impl EquivocationProof {
    /// The proof that two records contradict each other.
    ///
    /// # Errors
    /// [`ForkError::NoConflict`] when they do not.
    pub fn of(a: &Record, b: &Record) -> Result<Self, ForkError> {
        Self::new(a.signed_header().clone(), b.signed_header().clone())
    }

    fn new(a: SignedHeader, b: SignedHeader) -> Result<Self, ForkError> {
        let place = |s: &SignedHeader| (s.header().log, s.header().seq);
        if place(&a) != place(&b) || a.id() == b.id() {
            return Err(ForkError::NoConflict);
        }
        let (first, second) = if a.id() < b.id() { (a, b) } else { (b, a) };
        Ok(Self { first, second })
    }

    /// Checks a proof from the wire.
    ///
    /// # Errors
    /// [`ForkError`] naming what is wrong.
    pub fn check(proof: wire::EquivocationProof) -> Result<Self, ForkError> {
        let side = |side: Option<wire::SignedHeader>| {
            let side = side.ok_or(ForkError::Missing)?;
            Ok::<_, ForkError>(SignedHeader::check(side.header, side.signature)?)
        };
        Self::new(side(proof.first)?, side(proof.second)?)
    }

    /// Checks an encoded proof.
    ///
    /// # Errors
    /// [`ForkError`] naming what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, ForkError> {
        Self::check(decode::bounded("an equivocation proof", bytes, PROOF_BYTES_MAX)?)
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::EquivocationProof {
        wire::EquivocationProof {
            first: Some(self.first.to_wire()),
            second: Some(self.second.to_wire()),
        }
    }

    /// The log that forked. Authorship is the key's: a key that signs for two authors at one place
    /// equivocates as well.
    #[must_use]
    pub fn log(&self) -> PublicKey {
        self.first.header().log
    }

    /// The position both headers claim.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.first.header().seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, SecretKey};
    use prost::Message;

    fn record(payload: &[u8]) -> Record {
        let key = SecretKey::from_seed(&[3; 32]);
        Record::sign(&key, key.public(), None, Kind::Profile, payload.to_vec(), 5)
    }

    #[test]
    fn two_records_at_one_place_prove_a_fork_in_either_order() {
        let (a, b) = (record(b"a"), record(b"b"));
        let proof = EquivocationProof::of(&a, &b).unwrap();
        assert_eq!(proof, EquivocationProof::of(&b, &a).unwrap());
        assert_eq!(
            EquivocationProof::decode(&proof.to_wire().encode_to_vec()).unwrap(),
            proof
        );
        assert_eq!((proof.log(), proof.seq()), (a.header().log, 0));
    }

    #[test]
    fn a_record_does_not_contradict_itself() {
        assert_eq!(
            EquivocationProof::of(&record(b"a"), &record(b"a")),
            Err(ForkError::NoConflict)
        );
    }
}
