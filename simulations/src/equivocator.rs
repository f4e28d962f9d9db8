//! The adversary that signs two releases for one place in its log and shows one to either half of the
//! network.
//!
//! It runs the production node twice with the same keys: each face knows its own story only, because it
//! is deaf to what others say and silent about frauds. Up to the fork both faces sign the same bytes,
//! which takes the same clock and the same start.

use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Topic;
use fieldmark_protocol::release::Release;

/// Place in the log that both releases take: after profile and certificate.
pub(crate) const FORKED_SEQ: u64 = 2;

/// Whether a face takes an input in: it answers requests, but learns nothing.
pub(crate) fn hears(input: &Input) -> bool {
    !matches!(
        input,
        Input::Gossip { .. } | Input::Response { .. } | Input::Done { .. }
    )
}

/// Whether a face lets an output out: it asks for nothing and accuses nobody.
pub(crate) fn says(output: &Output) -> bool {
    match output {
        Output::Send { .. } | Output::Compute { .. } | Output::Dial { .. } => false,
        Output::Broadcast { topic, .. } => *topic != Topic::Fraud,
        _ => true,
    }
}

/// The release that the face towards `half` shows: the same name and version, other content.
pub(crate) fn story(release: Release, half: u64) -> Release {
    let content = |hash: &ContentHash| ContentHash::of(&[hash.as_bytes(), &half.to_be_bytes()[..]].concat());
    let mut told = release;
    for artifact in &mut told.artifacts {
        artifact.blake3 = content(&artifact.blake3);
    }
    told
}
