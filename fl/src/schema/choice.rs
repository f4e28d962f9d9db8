//! What a task may choose to collect: how a view is scored, and statistics beyond scores.
//!
//! Every choice is a small number, so that a layout stays a plain value. Names and numbers are
//! those of tasks and challenge specifications; what each statistic is for, its formula and its
//! cost stand in the guide to metrics, which a test holds against [`crate::metrics`].

use serde::{Deserialize, Serialize};

/// Most classes of a confusion table.
pub const CLASSES_MAX: u16 = 64;
/// Most bins of a histogram.
pub const BINS_MAX: u16 = 50;
/// Most groups compared for fairness.
pub const GROUPS_MAX: u16 = 16;

/// How one view is scored, between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A statistic beyond scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
}

impl Statistic {
    /// Every statistic, in the order of their numbers, which start at 1.
    pub const ALL: [Self; 9] = [
        Self::Confusion,
        Self::CalibrationBins,
        Self::Brier,
        Self::LogLoss,
        Self::Regression,
        Self::ScoreHistogram,
        Self::Wins,
        Self::GroupConfusion,
        Self::Drift,
    ];

    /// Its name in a challenge specification.
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
        }
    }

    /// The statistic of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|statistic| statistic.name() == name)
    }

    /// Its number in a task, from 1.
    pub fn number(self) -> u32 {
        (1..)
            .zip(Self::ALL)
            .find(|(_, other)| *other == self)
            .map_or(0, |(number, _)| number)
    }

    /// The statistic of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        (1..)
            .zip(Self::ALL)
            .find(|(own, _)| *own == number)
            .map(|(_, s)| s)
    }
}

/// A set of statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Collected(u32);

impl Collected {
    /// The set with one more.
    #[must_use]
    pub fn with(self, statistic: Statistic) -> Self {
        Self(self.0 | 1 << statistic.number())
    }

    /// Whether the set has it.
    pub fn has(self, statistic: Statistic) -> bool {
        self.0 >> statistic.number() & 1 == 1
    }

    /// What the set has, in the order of the numbers.
    pub fn iter(self) -> impl Iterator<Item = Statistic> {
        Statistic::ALL.into_iter().filter(move |s| self.has(*s))
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Statistic> for Collected {
    fn from_iter<I: IntoIterator<Item = Statistic>>(iter: I) -> Self {
        iter.into_iter().fold(Self::default(), Self::with)
    }
}

/// Choices beyond a plain task that counts right answers on records with every view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// How a view is scored.
    pub score: ScoreKind,
    /// Whether records may lack views in some slices: then each slice has a count of its own.
    pub missing_views: bool,
    /// Whether statistics beyond scores are kept apart by slice.
    pub by_slice: bool,
    /// Statistics beyond scores.
    pub collected: Collected,
    /// Classes of the task, for [`Statistic::Confusion`] and [`Statistic::Drift`]; 0 when it has
    /// none.
    pub classes: u16,
    /// Bins of confidence, scores or answers; 0 when there is no histogram.
    pub bins: u16,
    /// Groups compared; 0 when there are none.
    pub groups: u16,
}

impl Extra {
    /// Nothing beyond right answers.
    pub const PLAIN: Self = Self {
        score: ScoreKind::Correct,
        missing_views: false,
        by_slice: false,
        collected: Collected(0),
        classes: 0,
        bins: 0,
        groups: 0,
    };
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

    #[test]
    fn a_set_has_what_was_put_in() {
        let set: Collected = [Statistic::Wins, Statistic::Brier].into_iter().collect();
        assert!(set.has(Statistic::Wins) && !set.has(Statistic::Confusion) && !set.is_empty());
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Statistic::Brier, Statistic::Wins]
        );
    }
}
