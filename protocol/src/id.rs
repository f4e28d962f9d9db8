//! Ids: BLAKE3 hashes of what they name, and the random ids of reports. All print as lower-case hex.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string or byte slice that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The number of bytes differs.
    #[error("an id of {expected} bytes was expected, {found} bytes were found")]
    Length {
        /// Bytes the id has.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The text is not hexadecimal.
    #[error("'{0}' is not a hexadecimal id")]
    Hex(String),
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $len]);

        impl $name {
            /// Wraps the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Takes a slice of exactly the right length.
            ///
            /// # Errors
            /// [`IdError::Length`] for any other length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                let array = <[u8; $len]>::try_from(bytes)
                    .map_err(|_| IdError::Length { expected: $len, found: bytes.len() })?;
                Ok(Self(array))
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The bytes, owned.
            #[must_use]
            pub fn to_vec(self) -> Vec<u8> {
                self.0.to_vec()
            }

            /// The first ten hex digits, for people to tell ids apart.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(10);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = hex::decode(text).map_err(|_| IdError::Hex(text.to_owned()))?;
                Self::from_slice(&bytes)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// An Ed25519 public key. Names identities and nodes.
    PublicKey,
    32
);
id!(
    /// BLAKE3 of a record's signed header bytes.
    RecordId,
    32
);
id!(
    /// BLAKE3 of some content that is not a record header: a payload, a blob, a digest.
    ContentHash,
    32
);
id!(
    /// A report's random id, which is also the nonce of its proof.
    ReportId,
    16
);
id!(
    /// The random id of a prediction that a node served. It never leaves the node but to who asked.
    ServedId,
    16
);

impl ContentHash {
    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::new(*blake3::hash(bytes).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = RecordId::new([7; 32]);
        assert_eq!(id.to_string().parse::<RecordId>().unwrap(), id);
    }

    #[test]
    fn a_short_or_foreign_text_is_refused() {
        assert_eq!(
            "ab".parse::<RecordId>(),
            Err(IdError::Length {
                expected: 32,
                found: 1
            })
        );
        assert!(matches!("zz".parse::<RecordId>(), Err(IdError::Hex(_))));
    }
}
