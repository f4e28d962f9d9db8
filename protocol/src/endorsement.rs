//! Endorsements: one identity's signed word on another, in a role, until it expires or is taken back.
//!
//! What an endorsement is good for is said where it is used: a task that names endorsers takes reports of
//! whom they endorsed as `contributor` ([`crate::task::CONTRIBUTOR_ROLE`]).

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::IdError;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::text::{self, TextError};
use crate::{PublicKey, wire};

/// An Endorsement payload that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndorsementError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The role is not a name.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The subject is not a key.
    #[error("the endorsed identity is not a key")]
    Subject(#[source] IdError),
}

/// A checked Endorsement payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsement {
    /// Who is endorsed.
    pub subject: PublicKey,
    /// As what: a name of 1 to 64 bytes, e.g. `contributor`.
    pub role: String,
    /// When it ends, by the author's clock, in milliseconds since 1970; 0: never.
    pub expires_at_ms: u64,
    /// Takes earlier endorsements of the same subject and role back.
    pub revoked: bool,
}

impl Endorsement {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`EndorsementError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, EndorsementError> {
        let wire: wire::Endorsement = decode::bounded("an endorsement", payload, PAYLOAD_BYTES_MAX)?;
        let endorsement = Self {
            subject: PublicKey::from_slice(&wire.subject).map_err(EndorsementError::Subject)?,
            role: wire.role,
            expires_at_ms: wire.expires_at_ms,
            revoked: wire.revoked,
        };
        endorsement.check()?;
        Ok(endorsement)
    }

    /// Checks the role.
    ///
    /// # Errors
    /// [`EndorsementError::Text`].
    pub fn check(&self) -> Result<(), EndorsementError> {
        Ok(text::name("the role of an endorsement", &self.role)?)
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Endorsement {
            subject: self.subject.to_vec(),
            role: self.role.clone(),
            expires_at_ms: self.expires_at_ms,
            revoked: self.revoked,
        }
        .encode_to_vec()
    }

    /// Whether it holds up to a time, in milliseconds since 1970.
    #[must_use]
    pub fn holds_until(&self, at_ms: u64) -> bool {
        !self.revoked && (self.expires_at_ms == 0 || self.expires_at_ms >= at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Endorsement {
        Endorsement {
            subject: PublicKey::new([7; 32]),
            role: "contributor".into(),
            expires_at_ms: 9,
            revoked: false,
        }
    }

    #[test]
    fn golden_bytes_of_an_endorsement() {
        let golden = format!("0a20{}120b636f6e7472696275746f721809", "07".repeat(32));
        assert_eq!(hex::encode(sample().encode()), golden);
        assert_eq!(Endorsement::decode(&sample().encode()).unwrap(), sample());
    }

    #[test]
    fn it_holds_until_it_expires_or_is_taken_back() {
        assert!(sample().holds_until(9) && !sample().holds_until(10));
        let mut endless = sample();
        endless.expires_at_ms = 0;
        assert!(endless.holds_until(u64::MAX));
        endless.revoked = true;
        assert!(!endless.holds_until(0));
    }

    #[test]
    fn a_role_that_is_no_name_and_a_short_key_are_refused() {
        let mut odd = sample();
        odd.role = "Any Thing".into();
        assert!(matches!(
            Endorsement::decode(&odd.encode()),
            Err(EndorsementError::Text(_))
        ));
        assert!(matches!(
            Endorsement::decode(&[0x0a, 1, 1]),
            Err(EndorsementError::Subject(_))
        ));
    }
}
