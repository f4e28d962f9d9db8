//! Who is to be told what happens to a model.

use fieldmark_ledger::catalogue::Model;
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::id::ContentHash;
use serde::{Deserialize, Serialize};

/// Where news goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "kebab-case")]
pub enum Channel {
    /// A reader on this machine fetches and confirms it.
    Reader,
    /// A signed POST to an address.
    Webhook {
        /// http or https.
        url: String,
        /// Whether an address of this machine or of a private network is allowed.
        allow_private: bool,
    },
}

/// A subscription to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Made of model and channel: the same wish is the same subscription.
    pub id: ContentHash,
    /// Name of the model.
    pub model: String,
    /// The model's owner.
    pub owner: PublicKey,
    /// Where its news goes.
    pub channel: Channel,
    /// When it was made.
    pub created_at_ms: u64,
}

impl Subscription {
    /// A subscription to `model`.
    #[must_use]
    pub fn new(model: &Model, channel: Channel, created_at_ms: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"fieldmark/v1/subscription\0");
        hasher.update(model.owner.as_bytes());
        hasher.update(&(model.name.len() as u64).to_be_bytes());
        hasher.update(model.name.as_bytes());
        if let Channel::Webhook { url, .. } = &channel {
            hasher.update(url.as_bytes());
        }
        Self {
            id: ContentHash::new(*hasher.finalize().as_bytes()),
            model: model.name.clone(),
            owner: model.owner,
            channel,
            created_at_ms,
        }
    }

    /// The model.
    #[must_use]
    pub fn of(&self) -> Model {
        Model {
            owner: self.owner,
            name: self.model.clone(),
        }
    }
}
