//! What a task chose to collect, as a plain value of small numbers that a layout follows from. The kinds
//! themselves are the protocol's; what each statistic is for, its formula and its cost stand in the guide
//! to metrics, which a test holds against [`crate::metrics`].

pub use fieldmark_protocol::task::{BINS_MAX, CLASSES_MAX, GROUPS_MAX, ScoreKind, Statistic};
use serde::{Deserialize, Serialize};

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
    fn a_set_has_what_was_put_in() {
        let set: Collected = [Statistic::Wins, Statistic::Brier].into_iter().collect();
        assert!(set.has(Statistic::Wins) && !set.has(Statistic::Confusion) && !set.is_empty());
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Statistic::Brier, Statistic::Wins]
        );
    }
}
