//! How a node signs what it posts to a webhook, and how a receiver checks it.
//!
//! The node key signs `fieldmark/v1/webhook`, a zero byte, the timestamp in decimal digits, a full stop,
//! and the body's bytes as sent. A receiver that does not use this package checks, in this order:
//! 1. [`HEADER_KEY`] is the key of the node that it expects messages from (`fieldmark status` prints it);
//! 2. [`HEADER_TIMESTAMP`] is within its tolerance of its own clock, so that an old message is not replayed;
//! 3. [`HEADER_SIGNATURE`] is a valid Ed25519 signature (RFC 8032) of those bytes;
//! 4. the event's id, in [`HEADER_EVENT`] and in the body, is new to it: messages are sent until one is
//!    acknowledged, so the same event may come twice.

use crate::key::{Domain, SIGNATURE_BYTES};
use crate::{PublicKey, SecretKey};

/// Header with the sender's node key, in hex.
pub const HEADER_KEY: &str = "Fieldmark-Key";
/// Header with the time of sending, in milliseconds since 1970, in decimal digits.
pub const HEADER_TIMESTAMP: &str = "Fieldmark-Timestamp";
/// Header with the signature, in hex.
pub const HEADER_SIGNATURE: &str = "Fieldmark-Signature";
/// Header with the event's id.
pub const HEADER_EVENT: &str = "Fieldmark-Event";

/// A message that is not what the node sent, or not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The signature is not hex of the right length.
    #[error("the signature is not {SIGNATURE_BYTES} bytes in hex")]
    Malformed,
    /// The signature does not verify for this key, timestamp and body.
    #[error("the signature does not verify: another key, another body or another timestamp was signed")]
    Signature,
    /// The timestamp is too far from the receiver's clock.
    #[error("the message was signed {away_ms} ms away from now, at most {allowed_ms} ms are allowed")]
    Stale {
        /// Milliseconds between the timestamp and now.
        away_ms: u64,
        /// Milliseconds allowed.
        allowed_ms: u64,
    },
}

fn message(timestamp_ms: u64, body: &[u8]) -> Vec<u8> {
    [timestamp_ms.to_string().as_bytes(), b".", body].concat()
}

/// The signature in hex, for [`HEADER_SIGNATURE`].
#[must_use]
pub fn sign(key: &SecretKey, timestamp_ms: u64, body: &[u8]) -> String {
    hex::encode(key.sign(Domain::Webhook, &message(timestamp_ms, body)))
}

/// A received message to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Key of the node that messages are expected from.
    pub key: PublicKey,
    /// The timestamp header.
    pub timestamp_ms: u64,
    /// The signature header.
    pub signature: &'a str,
    /// The body's bytes as received.
    pub body: &'a [u8],
}

impl Received<'_> {
    /// Checks signature and age; `now_ms` is the receiver's clock.
    ///
    /// # Errors
    /// [`WebhookError`] saying which of the two fails.
    pub fn check(&self, now_ms: u64, allowed_ms: u64) -> Result<(), WebhookError> {
        let signature = hex::decode(self.signature.trim()).map_err(|_| WebhookError::Malformed)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(WebhookError::Malformed);
        }
        let message = message(self.timestamp_ms, self.body);
        self.key
            .verify(Domain::Webhook, &message, &signature)
            .map_err(|_| WebhookError::Signature)?;
        let away_ms = now_ms.abs_diff(self.timestamp_ms);
        if away_ms > allowed_ms {
            return Err(WebhookError::Stale { away_ms, allowed_ms });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"00"}"#;

    fn received(signature: &str) -> Received<'_> {
        Received {
            key: SecretKey::from_seed(&[1; 32]).public(),
            timestamp_ms: 1_700_000_000_000,
            signature,
            body: BODY,
        }
    }

    #[test]
    fn a_message_is_what_the_node_signed_and_nothing_else() {
        let signature = sign(&SecretKey::from_seed(&[1; 32]), 1_700_000_000_000, BODY);
        let good = received(&signature);
        let check = |message: Received<'_>| message.check(1_700_000_001_000, 5_000);
        assert_eq!(check(good), Ok(()));
        let other = Received { body: b"{}", ..good };
        assert_eq!(check(other), Err(WebhookError::Signature));
        let later = Received {
            timestamp_ms: 1_700_000_000_001,
            ..good
        };
        assert_eq!(check(later), Err(WebhookError::Signature));
        let stranger = Received {
            key: SecretKey::from_seed(&[2; 32]).public(),
            ..good
        };
        assert_eq!(check(stranger), Err(WebhookError::Signature));
        assert_eq!(
            good.check(1_700_000_010_000, 5_000),
            Err(WebhookError::Stale {
                away_ms: 10_000,
                allowed_ms: 5_000
            })
        );
        for bad in ["", "zz", &signature[2..]] {
            assert_eq!(check(received(bad)), Err(WebhookError::Malformed));
        }
    }

    /// What receivers in other languages check against.
    #[test]
    fn golden_signature_of_a_message() {
        let signature = sign(&SecretKey::from_seed(&[1; 32]), 1_700_000_000_000, BODY);
        assert_eq!(signature, include_str!("golden_webhook.hex").trim());
    }
}
