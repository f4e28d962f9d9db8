//! Sealing a share to its aggregator: HPKE (RFC 9180) in base mode with DHKEM(X25519,
//! HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! A sealed share is `enc (32 bytes) ‖ ciphertext ‖ tag (16 bytes)`. The caller chooses `info`
//! (protocol version and recipient's index) and `aad` (what the share belongs to); a share opens
//! only under the same two. Randomness arrives as a seed, which must never serve twice: the same
//! seed with the same key and info repeats the cipher's key.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes that sealing adds: the encapsulated key and the tag.
pub const OVERHEAD_BYTES: usize = ENCAPSULATED_BYTES + 16;
/// Longest `info` that is accepted.
pub const INFO_BYTES_MAX: usize = 1024;

const ENCAPSULATED_BYTES: usize = 32;

/// Why a share cannot be sealed or opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The recipient's public key is not a usable point.
    #[error("the recipient's public key is invalid")]
    PublicKey(#[source] HpkeError),
    /// The secret key is not valid.
    #[error("the secret key is invalid")]
    SecretKey(#[source] HpkeError),
    /// `info` is too long.
    #[error("info has {found} bytes, the most is {INFO_BYTES_MAX}")]
    Info {
        /// Length given.
        found: usize,
    },
    /// Too short to be a sealed share.
    #[error("a sealed share has at least {OVERHEAD_BYTES} bytes, found {found}")]
    TooShort {
        /// Length given.
        found: usize,
    },
    /// Sealed to another key, under other info or associated data, or altered.
    #[error("the sealed share does not open: wrong key, wrong context or altered bytes")]
    Open(#[source] HpkeError),
    /// Encryption failed.
    #[error("sealing failed")]
    Seal(#[source] HpkeError),
}

/// An aggregator's decryption key; wiped when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its 32 bytes, for the key file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// The matching public key.
    ///
    /// # Errors
    /// The bytes are not a key.
    pub fn public_key(&self) -> Result<[u8; 32], SealError> {
        Ok(bytes_of(&X25519HkdfSha256::sk_to_pk(&self.parsed()?)))
    }

    fn parsed(&self) -> Result<<X25519HkdfSha256 as Kem>::PrivateKey, SealError> {
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(self.0.as_slice()).map_err(SealError::SecretKey)
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

/// Derives a key pair from a seed (RFC 9180, DeriveKeyPair).
pub fn keypair(seed: &[u8; 32]) -> (SecretKey, [u8; 32]) {
    let (secret, public) = X25519HkdfSha256::derive_keypair(seed);
    (SecretKey::from_bytes(bytes_of(&secret)), bytes_of(&public))
}

/// Seals bytes to a public key; deterministic in the seed.
///
/// # Errors
/// The key is not usable or `info` is too long.
pub fn seal(
    public_key: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    seed: &[u8; 32],
) -> Result<Vec<u8>, SealError> {
    check_info(info)?;
    let recipient =
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public_key).map_err(SealError::PublicKey)?;
    let mut rng = ChaCha20Rng::from_seed(*seed);
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &recipient, info, plaintext, aad, &mut rng)
    .map_err(SealError::Seal)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

/// Opens a sealed share.
///
/// # Errors
/// Too short, or not sealed to this key under this `info` and `aad`.
pub fn open(secret: &SecretKey, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    check_info(info)?;
    if sealed.len() < OVERHEAD_BYTES {
        return Err(SealError::TooShort { found: sealed.len() });
    }
    let (encapsulated, ciphertext) = sealed.split_at(ENCAPSULATED_BYTES);
    let encapsulated =
        <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(SealError::Open)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret.parsed()?,
        &encapsulated,
        info,
        ciphertext,
        aad,
    )
    .map_err(SealError::Open)
}

fn check_info(info: &[u8]) -> Result<(), SealError> {
    if info.len() > INFO_BYTES_MAX {
        Err(SealError::Info { found: info.len() })
    } else {
        Ok(())
    }
}

fn bytes_of<T: Serializable<OutputSize = hpke::hybrid_array::sizes::U32>>(key: &T) -> [u8; 32] {
    key.to_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn the_published_vector_opens() {
        // RFC 9180, appendix A.2.1, sequence number 0, its recipient's key derived from ikmR.
        let seed = unhex("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df");
        let (secret, public) = keypair(&seed);
        let expected = unhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        assert_eq!(public, expected);
        let sealed: [u8; 77] = unhex(concat!(
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db",
            "21993c62ce81883d2dd1b51a28",
        ));
        let opened = open(&secret, b"Ode on a Grecian Urn", b"Count-0", &sealed).unwrap();
        assert_eq!(opened, b"Beauty is truth, truth beauty");
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_own_context() {
        let (secret, public) = keypair(&[1; 32]);
        let sealed = seal(&public, b"info", b"aad", b"share", &[2; 32]).unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(open(&secret, b"info", b"aad", &sealed).unwrap(), b"share");
        assert!(open(&secret, b"other", b"aad", &sealed).is_err());
        assert!(open(&secret, b"info", b"other", &sealed).is_err());
        let (stranger, _) = keypair(&[3; 32]);
        assert!(open(&stranger, b"info", b"aad", &sealed).is_err());
    }

    #[test]
    fn sealing_repeats_with_its_seed_and_keys_survive_their_bytes() {
        let (secret, public) = keypair(&[1; 32]);
        let again = SecretKey::from_bytes(*secret.to_bytes());
        assert_eq!(again.public_key().unwrap(), public);
        let one = seal(&public, b"i", b"a", b"share", &[2; 32]).unwrap();
        assert_eq!(one, seal(&public, b"i", b"a", b"share", &[2; 32]).unwrap());
        assert_ne!(one, seal(&public, b"i", b"a", b"share", &[4; 32]).unwrap());
        assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    }

    #[test]
    fn unusable_keys_and_long_infos_are_errors() {
        assert!(seal(&[0; 32], b"i", b"a", b"share", &[2; 32]).is_err());
        let (secret, public) = keypair(&[1; 32]);
        let long = vec![0; INFO_BYTES_MAX + 1];
        assert!(matches!(
            seal(&public, &long, b"", b"", &[2; 32]),
            Err(SealError::Info { .. })
        ));
        assert!(matches!(
            open(&secret, b"", b"", &[0; 47]),
            Err(SealError::TooShort { found: 47 })
        ));
    }

    proptest! {
        #[test]
        fn altered_bytes_do_not_open(at in 0usize..101, bit in 0u8..8) {
            let (secret, public) = keypair(&[1; 32]);
            let mut sealed = seal(&public, b"i", b"a", &[7; 53], &[2; 32]).unwrap();
            sealed[at] ^= 1 << bit;
            // X25519 ignores the top bit of a public value, but HPKE binds its exact bytes.
            prop_assert!(open(&secret, b"i", b"a", &sealed).is_err());
        }

        #[test]
        fn garbage_does_not_open(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (secret, _) = keypair(&[1; 32]);
            prop_assert!(open(&secret, b"i", b"a", &bytes).is_err());
        }
    }
}
