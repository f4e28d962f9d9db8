//! The fixed gossip topics and the ids of messages on them.

use std::fmt;

use libp2p::gossipsub::{IdentTopic, Message, MessageId, TopicHash};

/// A gossip topic. Payloads are records or hashes; weights, reports and updates never ride gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// New releases: at most 16 KiB.
    Releases,
    /// New heads of logs: at most 4 KiB.
    Heads,
    /// New tasks: at most 16 KiB.
    Tasks,
    /// Aggregates: at most 32 KiB.
    Aggregates,
    /// Proofs of equivocation: at most 4 KiB.
    Fraud,
}

impl Topic {
    /// Every topic, in the order of their positions.
    pub const ALL: [Self; 5] = [
        Self::Releases,
        Self::Heads,
        Self::Tasks,
        Self::Aggregates,
        Self::Fraud,
    ];

    /// The last part of the topic's string.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Releases => "releases",
            Self::Heads => "heads",
            Self::Tasks => "tasks",
            Self::Aggregates => "aggregates",
            Self::Fraud => "fraud",
        }
    }

    /// Most bytes of a message's data.
    #[must_use]
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Releases | Self::Tasks => 16 << 10,
            Self::Heads | Self::Fraud => 4 << 10,
            Self::Aggregates => 32 << 10,
        }
    }

    /// The topic's string on a network.
    #[must_use]
    pub fn string(self, network: &str) -> String {
        format!("/fieldmark/{network}/v1/{}", self.name())
    }

    /// The topic as gossipsub knows it.
    pub(crate) fn ident(self, network: &str) -> IdentTopic {
        IdentTopic::new(self.string(network))
    }

    /// The topic of a hash; `None` for a topic that is not ours.
    pub(crate) fn of_hash(hash: &TopicHash, network: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|topic| topic.ident(network).hash() == *hash)
    }
}

/// The id of a gossip message: the same bytes on the same topic have the same id everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId(pub [u8; 32]);

impl GossipId {
    /// BLAKE3 over the length of the topic's string (8 bytes, little endian), the string and the data.
    #[must_use]
    pub fn of(topic: &str, data: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&u64::try_from(topic.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(topic.as_bytes());
        hasher.update(data);
        Self(*hasher.finalize().as_bytes())
    }

    /// The id for gossipsub.
    pub(crate) fn to_message_id(self) -> MessageId {
        MessageId::new(&self.0)
    }
}

impl fmt::Debug for GossipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GossipId({})", crate::identity::hex(&self.0))
    }
}

/// The id function that gossipsub is given.
pub(crate) fn message_id(message: &Message) -> MessageId {
    GossipId::of(message.topic.as_str(), &message.data).to_message_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_found_by_its_hash() {
        for topic in Topic::ALL {
            assert_eq!(Topic::of_hash(&topic.ident("main").hash(), "main"), Some(topic));
            assert_eq!(Topic::of_hash(&topic.ident("main").hash(), "test"), None);
        }
    }

    #[test]
    fn a_message_id_depends_on_topic_and_data_and_on_where_they_meet() {
        let id = GossipId::of("/a", b"bc");
        assert_eq!(id, GossipId::of("/a", b"bc"));
        assert_ne!(id, GossipId::of("/a", b"bd"));
        assert_ne!(id, GossipId::of("/ab", b"c"));
    }

    #[test]
    fn the_id_of_a_known_message_is_fixed() {
        let id = GossipId::of(&Topic::Heads.string("main"), b"hello");
        let mut bytes = 24_u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"/fieldmark/main/v1/headshello");
        assert_eq!(id.0, *blake3::hash(&bytes).as_bytes());
    }
}
