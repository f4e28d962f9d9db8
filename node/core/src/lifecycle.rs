//! The life of a challenge in six words, a pure function of its task, of what its committee published, and
//! of a time.
//!
//! | word | when |
//! | --- | --- |
//! | `draft` | a specification that was planned and not signed |
//! | `registered` | task and challenge are signed, the window has not opened |
//! | `open` | reports are taken |
//! | `closing` | the window ended, by its deadline or because every expected report is in; the committee is at it |
//! | `closed` | the last word is said: released, void, or transcripts that disagree |
//! | `aborted` | ended without a release |
//!
//! How far the committee is while it closes, and how it closed, the batch's phase says beside it. Times are
//! the reader's clock against the task's; everything else is records, so two readers differ by their clocks
//! at most. A board, which has no time in it, has the phase alone.

use fieldmark_ledger::batch::Phase;
use fieldmark_protocol::task::Task;
use serde::{Deserialize, Serialize};

/// Where a challenge stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Planned, not signed.
    Draft,
    /// Signed, not open yet.
    Registered,
    /// Takes reports.
    Open,
    /// Takes no more, and has no result yet.
    Closing,
    /// Has its result, or can have none any more.
    Closed,
    /// Ended without a release.
    Aborted,
}

impl Stage {
    /// Its word in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Registered => "registered",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Aborted => "aborted",
        }
    }

    /// Whether something is still to come.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        !matches!(self, Self::Closed | Self::Aborted)
    }
}

/// Where a challenge that is signed stands at `now_ms`.
#[must_use]
pub fn stage(task: &Task, phase: Phase, now_ms: u64) -> Stage {
    match phase {
        Phase::Aborted => Stage::Aborted,
        Phase::Released | Phase::Void | Phase::Disagreement => Stage::Closed,
        // A transcript says that the window ended, whatever the clock says.
        Phase::Open if now_ms < task.opens_at_ms => Stage::Registered,
        Phase::Open if now_ms < task.closes_at_ms => Stage::Open,
        _ => Stage::Closing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::task;

    #[test]
    fn a_challenge_goes_from_registered_to_closed_or_aborted() {
        let mut task = task();
        (task.opens_at_ms, task.closes_at_ms) = (1_000, 2_000);
        let at = |phase, now_ms| stage(&task, phase, now_ms);
        assert_eq!(at(Phase::Open, 999), Stage::Registered);
        assert_eq!(at(Phase::Open, 1_000), Stage::Open);
        assert_eq!(at(Phase::Open, 2_000), Stage::Closing);
        for phase in [Phase::Transcripts, Phase::Commitments, Phase::Shares] {
            assert_eq!(at(phase, 1_500), Stage::Closing, "{phase:?}");
        }
        for phase in [Phase::Released, Phase::Void, Phase::Disagreement] {
            assert_eq!(at(phase, 1_500), Stage::Closed, "{phase:?}");
            assert!(!at(phase, 1_500).goes_on());
        }
        assert_eq!(at(Phase::Aborted, 1_500), Stage::Aborted);
    }

    #[test]
    fn the_word_in_json_is_the_word_in_output() {
        for stage in [
            Stage::Draft,
            Stage::Registered,
            Stage::Open,
            Stage::Closing,
            Stage::Closed,
            Stage::Aborted,
        ] {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}
