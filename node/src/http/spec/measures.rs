//! What a specification measures: its metric, statistics, classes, groups and ranges as a task has them.

use std::collections::BTreeSet;

use fieldmark_protocol::task::{Extra, ScoreKind, Statistic, TargetRange};

use super::{ChallengeSpec, SpecError};

/// Bins where the specification does not say.
const BINS_DEFAULT: u32 = 10;
/// Largest end of a target range.
const TARGET_MAX: f64 = 1e9;

impl ChallengeSpec {
    /// Whether records may lack views: stated, or because what is served in real use may stay unlabelled.
    fn may_lack_views(&self) -> bool {
        self.missing_views || self.feedback.is_some()
    }

    /// Whether squared sums are collected.
    pub(super) fn is_paired(&self) -> bool {
        self.paired.unwrap_or(!self.may_lack_views())
    }

    /// Whether confidence sums are collected.
    pub(super) fn has_confidence(&self) -> bool {
        let preference = self.metric.as_deref() == Some(ScoreKind::Preference.name());
        let fits = !self.may_lack_views() && self.target_range.is_none() && !preference;
        self.calibration.unwrap_or(fits)
    }

    /// The task's choices.
    ///
    /// # Errors
    /// [`SpecError`] naming the key that does not fit.
    pub(super) fn extra(&self) -> Result<Extra, SpecError> {
        let collected = self.collected()?;
        let extra = Extra {
            score: self.score()?,
            bins: self.bins.unwrap_or(if self.has_bins(&collected) {
                BINS_DEFAULT
            } else {
                0
            }),
            collected,
            classes: self.classes.clone(),
            positive: self.positive_class()?,
            groups: self.groups.clone(),
            target_range: self.range()?,
            by_slice: self.by_slice,
            missing_views: self.may_lack_views(),
        };
        extra.check().map_err(SpecError::Measures)?;
        self.comparing(&extra)?;
        Ok(extra)
    }

    /// That a score of comparisons has models to compare, and that people's preferences, for which no model
    /// runs, are asked for nothing that only an answer tells.
    fn comparing(&self, extra: &Extra) -> Result<(), SpecError> {
        let metric = extra.score.name();
        if matches!(extra.score, ScoreKind::WinRate | ScoreKind::Preference) && self.models.len() < 2 {
            return Err(SpecError::Disagree {
                metric,
                with: "a single model".to_owned(),
            });
        }
        let of_answers = extra.collected.iter().find(|found| **found != Statistic::Wins);
        match of_answers {
            Some(statistic) if extra.score == ScoreKind::Preference => Err(SpecError::Disagree {
                metric,
                with: format!("statistic '{}'", statistic.name()),
            }),
            _ => Ok(()),
        }
    }

    fn score(&self) -> Result<ScoreKind, SpecError> {
        let Some(name) = &self.metric else {
            return Ok(if self.target_range.is_some() {
                ScoreKind::Closeness
            } else {
                ScoreKind::Correct
            });
        };
        ScoreKind::parse(name).ok_or_else(|| SpecError::Unknown {
            field: "metric",
            found: name.clone(),
            known: ScoreKind::ALL.map(ScoreKind::name).join(", "),
        })
    }

    fn collected(&self) -> Result<BTreeSet<Statistic>, SpecError> {
        let statistic = |name: &String| {
            Statistic::parse(name).ok_or_else(|| SpecError::Unknown {
                field: "statistics",
                found: name.clone(),
                known: Statistic::ALL.map(Statistic::name).join(", "),
            })
        };
        self.statistics.iter().map(statistic).collect()
    }

    fn has_bins(&self, collected: &BTreeSet<Statistic>) -> bool {
        collected.contains(&Statistic::CalibrationBins)
            || collected.contains(&Statistic::ScoreHistogram)
            || (collected.contains(&Statistic::Drift) && self.classes.is_empty())
    }

    fn positive_class(&self) -> Result<Option<u16>, SpecError> {
        let Some(name) = &self.positive else {
            return Ok(None);
        };
        let at = self.classes.iter().position(|class| class == name);
        let at = at.and_then(|at| u16::try_from(at).ok());
        at.map(Some).ok_or_else(|| SpecError::Positive(name.clone()))
    }

    fn range(&self) -> Result<Option<TargetRange>, SpecError> {
        let Some([low, high]) = self.target_range else {
            return Ok(None);
        };
        // NaN is in no range.
        if !(low.abs() <= TARGET_MAX && high.abs() <= TARGET_MAX && low < high) {
            return Err(SpecError::TargetRange);
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 1e15")]
        let micro = |end: f64| (end * 1e6).round() as i64;
        Ok(Some(TargetRange {
            low_micro: micro(low),
            high_micro: micro(high),
        }))
    }
}
