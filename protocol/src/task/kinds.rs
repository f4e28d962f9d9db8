//! The kinds of score and of statistic that a task may choose: their names and numbers, once for
//! tasks, challenge specifications and the vector that is laid out from them. Whoever computes with them
//! covers all of them.

use serde::{Deserialize, Serialize};

use super::TaskError;
use crate::wire;

/// How one view is scored, between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// 1 if the answer is right, else 0; the mean is the accuracy.
    #[default]
    Correct,
    /// 1 less half the Brier score of the answer's probabilities.
    BrierScore,
    /// 1 less the absolute error as a part of the target's range, at least 0.
    Closeness,
    /// The part of the other models beaten on the view, a tie counting half: a model beats
    /// another by a higher probability of the truth, or by a smaller error.
    WinRate,
    /// People's preference between the answers of two models: 1 for the preferred, ½ each for a
    /// tie, and ½, which moves nothing, for models that were not compared on the record.
    Preference,
}

impl ScoreKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Correct,
        Self::BrierScore,
        Self::Closeness,
        Self::WinRate,
        Self::Preference,
    ];

    /// The metric's name in a challenge.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "accuracy",
            Self::BrierScore => "brier-score",
            Self::Closeness => "closeness",
            Self::WinRate => "win-rate",
            Self::Preference => "preference",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn from_wire(number: i32) -> Result<Self, TaskError> {
        use wire::ScoreKind as Wire;
        Ok(match Wire::try_from(number) {
            Ok(Wire::ScoreCorrect) => Self::Correct,
            Ok(Wire::ScoreBrier) => Self::BrierScore,
            Ok(Wire::ScoreCloseness) => Self::Closeness,
            Ok(Wire::ScoreWinRate) => Self::WinRate,
            Ok(Wire::ScorePreference) => Self::Preference,
            Err(_) => {
                return Err(TaskError::Unknown {
                    what: "score",
                    found: u64::from(number.unsigned_abs()),
                });
            }
        })
    }

    pub(super) fn to_wire(self) -> wire::ScoreKind {
        match self {
            Self::Correct => wire::ScoreKind::ScoreCorrect,
            Self::BrierScore => wire::ScoreKind::ScoreBrier,
            Self::Closeness => wire::ScoreKind::ScoreCloseness,
            Self::WinRate => wire::ScoreKind::ScoreWinRate,
            Self::Preference => wire::ScoreKind::ScorePreference,
        }
    }
}

/// A statistic beyond scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Views by true and predicted class.
    Confusion,
    /// Views, confidence and right answers by bin of confidence.
    CalibrationBins,
    /// Sum of Brier scores.
    Brier,
    /// Sum of negative log-likelihoods, clipped.
    LogLoss,
    /// Sums of errors, squared and absolute, and of targets and their squares.
    Regression,
    /// Views by score for the positive class, apart for positive and negative records.
    ScoreHistogram,
    /// Records on which one model beat another, for each pair.
    Wins,
    /// Views by group, truth and answer.
    GroupConfusion,
    /// Views by answer, to be held against the release's reference distribution.
    Drift,
    /// Views by outlyingness of their inputs, to be held against the release's reference file.
    InputDrift,
}

impl Statistic {
    /// Every statistic, in the order of their numbers, which start at 1.
    pub const ALL: [Self; 10] = [
        Self::Confusion,
        Self::CalibrationBins,
        Self::Brier,
        Self::LogLoss,
        Self::Regression,
        Self::ScoreHistogram,
        Self::Wins,
        Self::GroupConfusion,
        Self::Drift,
        Self::InputDrift,
    ];

    /// Its name in a challenge specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confusion => "confusion",
            Self::CalibrationBins => "calibration-bins",
            Self::Brier => "brier",
            Self::LogLoss => "log-loss",
            Self::Regression => "regression",
            Self::ScoreHistogram => "score-histogram",
            Self::Wins => "wins",
            Self::GroupConfusion => "group-confusion",
            Self::Drift => "drift",
            Self::InputDrift => "input-drift",
        }
    }

    /// The statistic of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|statistic| statistic.name() == name)
    }

    /// Its number in a task, from 1.
    #[must_use]
    pub fn number(self) -> u32 {
        (1..)
            .zip(Self::ALL)
            .find(|(_, other)| *other == self)
            .map_or(0, |(number, _)| number)
    }

    /// The statistic of a number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        (1..)
            .zip(Self::ALL)
            .find(|(own, _)| *own == number)
            .map(|(_, s)| s)
    }

    pub(super) fn from_wire(number: i32) -> Result<Self, TaskError> {
        let found = u32::try_from(number).ok().and_then(Self::from_number);
        found.ok_or(TaskError::Unknown {
            what: "statistic",
            found: u64::from(number.unsigned_abs()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (at, statistic) in (1..).zip(Statistic::ALL) {
            assert_eq!(Statistic::parse(statistic.name()), Some(statistic));
            assert_eq!(statistic.number(), at);
            assert_eq!(Statistic::from_number(at), Some(statistic));
        }
        for kind in ScoreKind::ALL {
            assert_eq!(ScoreKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(Statistic::parse("accuracy"), None);
        assert_eq!(Statistic::from_number(0), None);
    }
}
