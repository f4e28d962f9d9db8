//! Adversaries of a scenario, named by their deed.

use serde::Deserialize;

use super::Who;

/// Somebody who does not follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversary {
    /// What it does. Who it is follows from that; one of several is drawn.
    pub deed: Deed,
}

/// What an adversary does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Deed {
    /// A leader signs a receipt for a report and leaves the report out.
    DropsAccepted,
    /// A leader passes a report on again, under another id, in another window, and twice.
    Replays,
    /// A leader signs a transcript with more reports than were accepted.
    Inflates,
    /// A leader concludes while the window is open, with invented rejections to make up the number.
    ConcludesEarly,
    /// A leader verifies a report again under a second verification key.
    SecondKey,
    /// A leader tells two helpers different conclusions.
    TwoStories,
    /// A leader publishes a sum that is not that of the shares.
    FalseSum,
    /// A helper answers with a verifier share that is none.
    MalformedShare,
    /// A helper answers with a well-formed verifier share that is not its own.
    WrongShare,
    /// An aggregator shifts its aggregate share, which nobody can detect.
    FalseAggregateShare,
    /// An aggregator publishes another share than it committed to.
    OpensOtherwise,
    /// A contributor sends a report whose proof does not hold.
    InvalidProof,
    /// A contributor shards values beyond their bounds.
    OutOfRange,
    /// A contributor sends two different reports.
    TwoReports,
    /// Ten identities in one body, with a report each.
    Sybils,
}

impl Deed {
    /// Every deed.
    pub const ALL: [Self; 15] = [
        Self::DropsAccepted,
        Self::Replays,
        Self::Inflates,
        Self::ConcludesEarly,
        Self::SecondKey,
        Self::TwoStories,
        Self::FalseSum,
        Self::MalformedShare,
        Self::WrongShare,
        Self::FalseAggregateShare,
        Self::OpensOtherwise,
        Self::InvalidProof,
        Self::OutOfRange,
        Self::TwoReports,
        Self::Sybils,
    ];

    /// Its name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DropsAccepted => "drops-accepted",
            Self::Replays => "replays",
            Self::Inflates => "inflates",
            Self::ConcludesEarly => "concludes-early",
            Self::SecondKey => "second-key",
            Self::TwoStories => "two-stories",
            Self::FalseSum => "false-sum",
            Self::MalformedShare => "malformed-share",
            Self::WrongShare => "wrong-share",
            Self::FalseAggregateShare => "false-aggregate-share",
            Self::OpensOtherwise => "opens-otherwise",
            Self::InvalidProof => "invalid-proof",
            Self::OutOfRange => "out-of-range",
            Self::TwoReports => "two-reports",
            Self::Sybils => "sybils",
        }
    }

    /// Whose deed it is.
    #[must_use]
    pub const fn who(self) -> Who {
        match self {
            Self::DropsAccepted
            | Self::Replays
            | Self::Inflates
            | Self::ConcludesEarly
            | Self::SecondKey
            | Self::TwoStories
            | Self::FalseSum => Who::Leader,
            Self::MalformedShare | Self::WrongShare | Self::FalseAggregateShare | Self::OpensOtherwise => {
                Who::Helper
            }
            Self::InvalidProof | Self::OutOfRange | Self::TwoReports | Self::Sybils => Who::Company,
        }
    }
}

/// Who may contribute in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EligibilityPlan {
    /// Anyone.
    Open,
    /// The companies, by a list.
    #[default]
    List,
    /// Whom the operator endorsed, which are the companies.
    Endorsed,
}
