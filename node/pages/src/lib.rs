//! The public web pages of Fieldmark: views in, HTML out.
//!
//! What it does not do: no IO, no clock, no loads, and no script but one: pages about something that
//! changes renew themselves when the node says so by server-sent events (`live.js`, allowed by its hash);
//! without scripts they read the same. Whoever serves the pages turns ledger views into the structs of
//! [`view`] and sends the markup with [`content_security_policy`].
//! Everything in a page that an author wrote is escaped; model cards are Markdown with raw HTML and
//! images disabled.
//!
//! ```
//! use fieldmark_pages::{ChallengesPage, Site, challenges};
//!
//! let page = challenges(Site::default(), &ChallengesPage { challenges: Vec::new() }).into_string();
//! assert!(page.starts_with("<!DOCTYPE html>"));
//! assert!(!page.contains("<script"));
//! ```

mod card;
mod catalogue;
mod challenge;
mod challenges;
mod feed;
mod issues;
mod label;
mod layout;
mod leaderboard;
mod model;
mod phase;
mod server;
mod status;
mod text;
pub mod view;

pub use card::CARD_BYTES_MAX;
pub use catalogue::catalogue;
pub use challenge::{challenge, standalone};
pub use challenges::challenges;
pub use feed::{FEED_ITEMS_MAX, feed};
pub use issues::issue;
pub use label::{label, label_content_security_policy};
pub use layout::content_security_policy;
pub use model::model;
pub use server::{DriftView, ServedModel, ServerPage, server};
pub use status::{not_found, status};
pub use view::{
    Author, CataloguePage, ChallengePage, ChallengeSummary, ChallengesPage, ChangeEntry, CommentEntry,
    FeedPage, Hidden, IssueEntry, IssueList, IssuePage, ModelPage, Placement, ReleaseSummary, Site,
    SpeedView, StatusPage, Version,
};
