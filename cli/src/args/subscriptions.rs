//! `fieldmark subscribe`, `unsubscribe`, `subscriptions` and `webhook`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// The model: name, author/name, or the first digits of a release's id
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Post each item, signed, to this http or https address
    #[arg(long, value_name = "URL", conflicts_with = "follow")]
    pub(crate) webhook: Option<String>,
    /// Allow an address of this machine or of a private network
    #[arg(long, requires = "webhook")]
    pub(crate) allow_private: bool,
    /// Also tell what happened before
    #[arg(long)]
    pub(crate) history: bool,
    /// Print what happens until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Unsubscribe {
    /// The model, or the first digits of a subscription's id
    #[arg(value_name = "MODEL|ID")]
    pub(crate) which: String,
}

#[derive(Debug, Args)]
pub(crate) struct Webhook {
    #[command(subcommand)]
    pub(crate) action: WebhookAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookAction {
    /// Check a received message: its signature, and that it is not old
    #[command(
        after_help = "Example:\n  fieldmark webhook verify message.json --key 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29 --timestamp 1764096000000 --signature 5f0c3a --max-age 600"
    )]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// File with the body exactly as it was received
    #[arg(value_name = "FILE")]
    pub(crate) body: PathBuf,
    /// Node key that messages are expected from, as `fieldmark status` prints it
    #[arg(long, value_name = "KEY")]
    pub(crate) key: String,
    /// The header Fieldmark-Timestamp
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) timestamp: u64,
    /// The header Fieldmark-Signature
    #[arg(long, value_name = "HEX")]
    pub(crate) signature: String,
    /// Oldest message that is accepted
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) max_age: u64,
}
