//! What a task measures: models, slices, how a view is scored, and which statistics are collected.
//!
//! What each statistic costs and how it is laid out is the business of the package `fl`; here are
//! the names, the bounds, and what each needs the task to say.

use std::collections::BTreeSet;

use super::kinds::{ScoreKind, Statistic};
use super::{RECORDS_MAX, RELEASES_MAX, SLICES_MAX, TaskError, range};
use crate::text;
use crate::{RecordId, wire};

/// Most classes of a task.
pub const CLASSES_MAX: u16 = 64;
/// Most groups of a task.
pub const GROUPS_MAX: u16 = 16;
/// Most bins of a histogram.
pub const BINS_MAX: u16 = 50;
/// Largest end of a target range, in millionths of its unit.
pub const TARGET_MICRO_MAX: i64 = 1_000_000_000_000_000;
/// Most bytes of a class or group, as of a label.
const CLASS_BYTES_MAX: usize = 128;

/// The declared range of a regression's target, in millionths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetRange {
    /// Lower end.
    pub low_micro: i64,
    /// Upper end, above the lower.
    pub high_micro: i64,
}

impl TargetRange {
    /// Both ends in the target's unit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bounded by 1e15, exact in f64")]
    pub fn ends(&self) -> (f64, f64) {
        (self.low_micro as f64 / 1e6, self.high_micro as f64 / 1e6)
    }
}

/// Choices beyond a plain task that counts right answers on records with every view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// How a view is scored.
    pub score: ScoreKind,
    /// Statistics beyond scores.
    pub collected: BTreeSet<Statistic>,
    /// Class names, in the order of tables; empty when no statistic needs them.
    pub classes: Vec<String>,
    /// Index of the positive class.
    pub positive: Option<u16>,
    /// Group names, in the order of tables.
    pub groups: Vec<String>,
    /// Bins of histograms; 0 without.
    pub bins: u32,
    /// Range of a regression's target; nothing for other tasks.
    pub target_range: Option<TargetRange>,
    /// Whether statistics beyond scores are kept apart by slice.
    pub by_slice: bool,
    /// Whether records may lack views in some slices.
    pub missing_views: bool,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Release records, in column order.
    pub releases: Vec<RecordId>,
    /// Slice names, in column order.
    pub slices: Vec<String>,
    /// Most source records one report may count.
    pub records_max: u32,
    /// Squared sums for paired intervals.
    pub paired: bool,
    /// Confidence sums.
    pub calibration: bool,
    /// How views are scored, and statistics beyond that.
    pub extra: Extra,
}

impl Statistics {
    pub(super) fn check(&self) -> Result<(), TaskError> {
        let (releases, slices) = (self.releases.len() as u64, self.slices.len() as u64);
        range("the number of models", 1, RELEASES_MAX as u64, releases)?;
        range("the number of slices", 1, SLICES_MAX as u64, slices)?;
        range(
            "the most records of a report",
            1,
            u64::from(RECORDS_MAX),
            u64::from(self.records_max),
        )?;
        for slice in &self.slices {
            text::name("a slice's name", slice)?;
        }
        distinct("the models", &self.releases)?;
        distinct("the slices", &self.slices)?;
        self.extra.check()
    }

    pub(super) fn from_wire(wire: wire::Statistics) -> Result<Self, TaskError> {
        let release = |r: &Vec<u8>| {
            RecordId::from_slice(r).map_err(|source| TaskError::Id {
                field: "a release",
                source,
            })
        };
        Ok(Self {
            releases: wire.releases.iter().map(release).collect::<Result<_, _>>()?,
            extra: Extra::from_wire(&wire)?,
            slices: wire.slices,
            records_max: wire.records_max,
            paired: wire.paired,
            calibration: wire.calibration,
        })
    }

    pub(super) fn to_wire(&self) -> wire::Statistics {
        let extra = &self.extra;
        let number = |s: &Statistic| i32::try_from(s.number()).unwrap_or(0);
        let positive = extra.positive.and_then(|at| extra.classes.get(usize::from(at)));
        wire::Statistics {
            releases: self.releases.iter().map(|r| r.to_vec()).collect(),
            slices: self.slices.clone(),
            records_max: self.records_max,
            paired: self.paired,
            calibration: self.calibration,
            score: extra.score.to_wire().into(),
            collected: extra.collected.iter().map(number).collect(),
            classes: extra.classes.clone(),
            positive: positive.cloned().unwrap_or_default(),
            groups: extra.groups.clone(),
            bins: extra.bins,
            target_range: extra.target_range.map(|r| wire::TargetRange {
                low_micro: r.low_micro,
                high_micro: r.high_micro,
            }),
            by_slice: extra.by_slice,
            missing_views: extra.missing_views,
        }
    }
}

impl Extra {
    /// Checks every bound, and that score and statistics have what they need.
    ///
    /// # Errors
    /// [`TaskError`] naming the field.
    pub fn check(&self) -> Result<(), TaskError> {
        let few = |what, least: u64, most: usize, found: usize| {
            if found == 0 {
                Ok(())
            } else {
                range(what, least, most as u64, found as u64)
            }
        };
        few("the number of classes", 2, CLASSES_MAX.into(), self.classes.len())?;
        few("the number of groups", 2, GROUPS_MAX.into(), self.groups.len())?;
        if self.bins != 0 {
            range("the number of bins", 2, BINS_MAX.into(), self.bins.into())?;
        }
        for class in self.classes.iter().chain(&self.groups) {
            text::free("a class or group", class, CLASS_BYTES_MAX)?;
        }
        distinct("the classes", &self.classes)?;
        distinct("the groups", &self.groups)?;
        let names = self.classes.iter().chain(&self.groups);
        if names.into_iter().any(String::is_empty) {
            return Err(TaskError::Missing("name of a class or group"));
        }
        if let Some(at) = self.positive {
            let most = (self.classes.len() as u64).saturating_sub(1);
            range("the positive class", 0, most, at.into())?;
        }
        if let Some(target) = self.target_range {
            let ends = [target.low_micro, target.high_micro];
            if target.low_micro >= target.high_micro || ends.iter().any(|end| end.abs() > TARGET_MICRO_MAX) {
                return Err(TaskError::Order {
                    what: "the ends of the target range",
                });
            }
        }
        self.needs()
    }

    /// That the task says what its score and statistics need.
    fn needs(&self) -> Result<(), TaskError> {
        let (classes, bins) = (!self.classes.is_empty(), self.bins != 0);
        let (target, positive) = (self.target_range.is_some(), self.positive.is_some());
        let need = |holds: bool, what, needs| {
            if holds {
                Ok(())
            } else {
                Err(TaskError::Needs { what, needs })
            }
        };
        need(
            !(classes && target),
            "a target range",
            "no classes: a target is a class or a number",
        )?;
        match self.score {
            ScoreKind::Closeness => need(target, "closeness", "a target range")?,
            ScoreKind::Correct => need(!target, "right answers", "classes, not a target range")?,
            ScoreKind::BrierScore => need(!target, "a Brier score", "classes, not a target range")?,
            _ => {}
        }
        for statistic in &self.collected {
            match statistic {
                Statistic::Confusion => need(classes, "a confusion table", "classes")?,
                Statistic::CalibrationBins => {
                    need(
                        bins && !target,
                        "calibration bins",
                        "bins, and classes as targets",
                    )?;
                }
                Statistic::Brier => need(!target, "Brier sums", "classes as targets")?,
                Statistic::LogLoss => need(!target, "log-loss", "classes as targets")?,
                Statistic::Regression => need(target, "errors", "a target range")?,
                Statistic::ScoreHistogram => {
                    need(
                        positive && bins,
                        "a score histogram",
                        "classes, a positive class and bins",
                    )?;
                }
                Statistic::GroupConfusion => need(
                    positive && !self.groups.is_empty(),
                    "group-wise confusion",
                    "classes, a positive class and groups",
                )?,
                Statistic::Drift => need(
                    classes || (target && bins),
                    "drift",
                    "classes, or a target range and bins",
                )?,
                Statistic::InputDrift => need(
                    self.score != ScoreKind::Preference,
                    "drift of inputs",
                    "models that run: a preference tells nothing of what was asked",
                )?,
                Statistic::Wins => {}
            }
        }
        Ok(())
    }

    fn from_wire(wire: &wire::Statistics) -> Result<Self, TaskError> {
        let collected = wire.collected.iter().map(|n| Statistic::from_wire(*n));
        let collected: Vec<Statistic> = collected.collect::<Result<_, _>>()?;
        if !collected.is_sorted_by(|a, b| a < b) {
            return Err(TaskError::Order {
                what: "the statistics",
            });
        }
        let positive = wire.classes.iter().position(|class| *class == wire.positive);
        if !wire.positive.is_empty() && positive.is_none() {
            return Err(TaskError::Missing("positive class among its classes"));
        }
        Ok(Self {
            score: ScoreKind::from_wire(wire.score)?,
            collected: collected.into_iter().collect(),
            classes: wire.classes.clone(),
            positive: positive.and_then(|at| u16::try_from(at).ok()),
            groups: wire.groups.clone(),
            bins: wire.bins,
            target_range: wire.target_range.as_ref().map(|r| TargetRange {
                low_micro: r.low_micro,
                high_micro: r.high_micro,
            }),
            by_slice: wire.by_slice,
            missing_views: wire.missing_views,
        })
    }
}

fn distinct<T: Ord>(what: &'static str, items: &[T]) -> Result<(), TaskError> {
    let set: BTreeSet<&T> = items.iter().collect();
    if set.len() == items.len() {
        Ok(())
    } else {
        Err(TaskError::Order { what })
    }
}
