//! Bounded decoding of bytes from peers, disks and users.

use prost::Message;

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than this kind of message may be.
    #[error("{what} has {found} bytes, at most {limit} are taken")]
    TooLong {
        /// The kind of message.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not protobuf of this schema.
    #[error("{what} does not decode")]
    Malformed {
        /// The kind of message.
        what: &'static str,
        /// What prost said.
        #[source]
        source: prost::DecodeError,
    },
    /// Decodes, but another encoding of the same value exists and was used.
    #[error("{what} is not in its canonical encoding")]
    NotCanonical {
        /// The kind of message.
        what: &'static str,
    },
}

/// Decodes at most `limit` bytes.
///
/// # Errors
/// [`DecodeError::TooLong`] and [`DecodeError::Malformed`].
pub fn bounded<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<M, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong {
            what,
            limit,
            found: bytes.len(),
        });
    }
    M::decode(bytes).map_err(|source| DecodeError::Malformed { what, source })
}

/// Decodes at most `limit` bytes that must be exactly what encoding the result gives: no unknown
/// fields, no defaults on the wire, no second spelling of a number.
///
/// # Errors
/// As [`bounded`], and [`DecodeError::NotCanonical`].
pub fn canonical<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<M, DecodeError> {
    let message: M = bounded(what, bytes, limit)?;
    if message.encode_to_vec() != bytes {
        return Err(DecodeError::NotCanonical { what });
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_proto::v1::Profile;

    #[test]
    fn an_unknown_field_is_taken_by_bounded_and_refused_by_canonical() {
        let mut bytes = Profile {
            name: "a".into(),
            about: String::new(),
        }
        .encode_to_vec();
        bytes.extend([0x78, 1]); // field 15, varint 1
        assert!(bounded::<Profile>("profile", &bytes, 100).is_ok());
        assert!(matches!(
            canonical::<Profile>("profile", &bytes, 100),
            Err(DecodeError::NotCanonical { .. })
        ));
    }

    #[test]
    fn a_long_message_is_refused_before_it_is_read() {
        assert!(matches!(
            bounded::<Profile>("profile", &[0; 11], 10),
            Err(DecodeError::TooLong {
                limit: 10,
                found: 11,
                ..
            })
        ));
    }
}
