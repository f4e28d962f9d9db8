//! Payloads that have no checked type elsewhere (profiles, revocations, withdrawals), and the one
//! place where a record's payload is decoded by its kind.
//!
//! A payload that does not decode is no error here: the record is stored and forwarded, and no view
//! shows it.

use fieldmark_protocol::address::NodeCertificate;
use fieldmark_protocol::aggregation::{
    Abort, Aggregate, AggregateShare, BatchId, ShareCommitment, Transcript,
};
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::decode::{self, DecodeError};
use fieldmark_protocol::endorsement::Endorsement;
use fieldmark_protocol::id::IdError;
use fieldmark_protocol::issue::{Comment, Issue};
use fieldmark_protocol::record::PAYLOAD_BYTES_MAX;
use fieldmark_protocol::release::Release;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::text::{self, TextError};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, wire};
use prost::Message;

/// Longest name of an identity, in bytes.
pub const PROFILE_NAME_BYTES_MAX: usize = 128;
/// Longest text about an identity, in bytes.
pub const PROFILE_ABOUT_BYTES_MAX: usize = 4096;
/// Longest reason of a revocation or withdrawal, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// A payload that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A text is too long or cannot be shown.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A key or id has the wrong length.
    #[error("{field} is not an id")]
    Id {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: IdError,
    },
}

/// What an identity says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name: 1 to [`PROFILE_NAME_BYTES_MAX`] bytes, one line. Not unique.
    pub name: String,
    /// Free text.
    pub about: String,
}

impl Profile {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`PayloadError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let wire: wire::Profile = decode::bounded("a profile", payload, PAYLOAD_BYTES_MAX)?;
        let what = "the profile's name";
        text::free(what, &wire.name, PROFILE_NAME_BYTES_MAX)?;
        if wire.name.trim().is_empty() {
            return Err(TextError::Empty { what }.into());
        }
        if wire.name.contains(['\n', '\t']) {
            return Err(TextError::Control { what }.into());
        }
        text::free("the profile's text", &wire.about, PROFILE_ABOUT_BYTES_MAX)?;
        Ok(Self {
            name: wire.name,
            about: wire.about,
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Profile {
            name: self.name.clone(),
            about: self.about.clone(),
        }
        .encode_to_vec()
    }
}

/// The end of a node's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRevocation {
    /// The node.
    pub node_key: PublicKey,
    /// Words for people.
    pub reason: String,
    /// How many records of the node's log stand: those with a lower seq.
    pub records: u64,
}

impl NodeRevocation {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`PayloadError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let wire: wire::NodeRevocation = decode::bounded("a revocation", payload, PAYLOAD_BYTES_MAX)?;
        text::free("the revocation's reason", &wire.reason, REASON_BYTES_MAX)?;
        let key = |source| PayloadError::Id {
            field: "the revoked node key",
            source,
        };
        let node_key = PublicKey::from_slice(&wire.node_key).map_err(key)?;
        Ok(Self {
            node_key,
            reason: wire.reason,
            records: wire.records,
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (node_key, reason) = (self.node_key.to_vec(), self.reason.clone());
        wire::NodeRevocation {
            node_key,
            reason,
            records: self.records,
        }
        .encode_to_vec()
    }
}

/// An author's word that a release should not be used any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The release.
    pub release: RecordId,
    /// Words for people.
    pub reason: String,
}

impl Withdrawal {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`PayloadError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let wire: wire::Withdrawal = decode::bounded("a withdrawal", payload, PAYLOAD_BYTES_MAX)?;
        text::free("the withdrawal's reason", &wire.reason, REASON_BYTES_MAX)?;
        let id = |source| PayloadError::Id {
            field: "the withdrawn release",
            source,
        };
        Ok(Self {
            release: RecordId::from_slice(&wire.release).map_err(id)?,
            reason: wire.reason,
        })
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Withdrawal {
            release: self.release.to_vec(),
            reason: self.reason.clone(),
        }
        .encode_to_vec()
    }
}

/// A payload that some view understands.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is named after the type it holds")]
pub enum Body {
    Profile(Profile),
    Certificate(NodeCertificate),
    Revocation(NodeRevocation),
    Release(Box<Release>),
    Withdrawal(Withdrawal),
    Task(Box<Task>),
    Challenge(Box<Challenge>),
    Transcript(Transcript),
    Commitment(ShareCommitment),
    Share(AggregateShare),
    Aggregate(Aggregate),
    Abort(Abort),
    Issue(Box<Issue>),
    Comment(Comment),
    Endorsement(Endorsement),
}

impl Body {
    /// The decoded payload; `None` for kinds that no view reads and for payloads that are not valid.
    ///
    /// Certificates, revocations and endorsements are read from the identity's own log only: a node key cannot vouch
    /// for another one.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let (header, payload) = (record.header(), record.payload());
        let own_log = header.log == header.author;
        match header.kind {
            Kind::Profile => Profile::decode(payload).ok().map(Self::Profile),
            Kind::NodeCertificate if own_log => NodeCertificate::decode(header.author, payload)
                .ok()
                .map(Self::Certificate),
            Kind::NodeRevocation if own_log => NodeRevocation::decode(payload).ok().map(Self::Revocation),
            Kind::Release => Release::decode(payload).ok().map(|r| Self::Release(Box::new(r))),
            Kind::Withdrawal => Withdrawal::decode(payload).ok().map(Self::Withdrawal),
            Kind::Task => Task::decode(payload).ok().map(|t| Self::Task(Box::new(t))),
            Kind::Challenge => Challenge::decode(payload)
                .ok()
                .map(|c| Self::Challenge(Box::new(c))),
            Kind::Transcript => Transcript::decode(payload).ok().map(Self::Transcript),
            Kind::ShareCommitment => ShareCommitment::decode(payload).ok().map(Self::Commitment),
            Kind::AggregateShare => AggregateShare::decode(payload).ok().map(Self::Share),
            Kind::Aggregate => Aggregate::decode(payload).ok().map(Self::Aggregate),
            Kind::Abort => Abort::decode(payload).ok().map(Self::Abort),
            Kind::Issue => Issue::decode(payload).ok().map(|i| Self::Issue(Box::new(i))),
            Kind::Comment => Comment::decode(payload).ok().map(Self::Comment),
            Kind::Endorsement if own_log => Endorsement::decode(payload).ok().map(Self::Endorsement),
            _ => None,
        }
    }

    /// The batch that a committee record or an abort is about.
    #[must_use]
    pub fn batch(&self) -> Option<BatchId> {
        match self {
            Self::Transcript(t) => Some(t.batch),
            Self::Commitment(c) => Some(c.batch),
            Self::Share(s) => Some(s.batch),
            Self::Aggregate(a) => Some(a.batch),
            Self::Abort(a) => Some(a.batch),
            _ => None,
        }
    }

    /// Ids of the records this one is about: a committee record's or challenge's task, a task's
    /// releases, a withdrawal's release, a release's parent, an issue's release, a comment's issue.
    #[must_use]
    pub fn cites(&self) -> Vec<RecordId> {
        match self {
            Self::Task(task) => task.statistics.releases.clone(),
            Self::Challenge(challenge) => vec![challenge.task],
            Self::Withdrawal(withdrawal) => vec![withdrawal.release],
            Self::Release(release) => release.parent.into_iter().collect(),
            Self::Issue(issue) => vec![issue.release],
            Self::Comment(comment) => vec![comment.issue],
            _ => self.batch().map(|batch| batch.task).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_survive_their_encoding() {
        let profile = Profile {
            name: "Ada's Lab".into(),
            about: "Models\nfor the field.".into(),
        };
        assert_eq!(Profile::decode(&profile.encode()).unwrap(), profile);
        let revocation = NodeRevocation {
            node_key: PublicKey::new([3; 32]),
            reason: "stolen".into(),
            records: 7,
        };
        assert_eq!(NodeRevocation::decode(&revocation.encode()).unwrap(), revocation);
        let withdrawal = Withdrawal {
            release: RecordId::new([4; 32]),
            reason: "broken".into(),
        };
        assert_eq!(Withdrawal::decode(&withdrawal.encode()).unwrap(), withdrawal);
    }

    #[test]
    fn a_name_that_would_move_the_cursor_is_refused() {
        for name in ["", "  ", "a\nb", "\u{1b}[2J"] {
            let profile = Profile {
                name: name.into(),
                about: String::new(),
            };
            assert!(
                matches!(Profile::decode(&profile.encode()), Err(PayloadError::Text(_))),
                "{name:?}"
            );
        }
    }
}
