//! Integer counts of a study, which add up in any order.

use crate::interval::{Interval, Micro, Score};
use crate::rank::Ranking;

/// Half a step of the fixed point on either side, because bounds are rounded.
const ROUNDING: f64 = 1e-6;

/// What became of one score over many challenges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellTally {
    /// Challenges.
    pub trials: u64,
    /// Those in which the score could be estimated.
    pub estimated: u64,
    /// Of these, those with a mark (an interval ends at 0 or 1, or is conservative).
    pub marked: u64,
    /// Noise-only intervals that hold the score of these very records.
    pub noise_hits: u64,
    /// Full intervals that hold the true rate.
    pub full_hits: u64,
    /// The same among the unmarked.
    pub unmarked_full_hits: u64,
    /// Sum of the widths of noise-only intervals, in millionths.
    pub noise_width: u64,
    /// Sum of the widths of full intervals, in millionths.
    pub full_width: u64,
}

impl CellTally {
    fn add(&mut self, score: Score, clear: f64, truth: f64) {
        self.trials += 1;
        let (Some(noise), Some(full)) = (score.noise(), score.full()) else {
            return;
        };
        let hit = holds(full, truth);
        self.estimated += 1;
        self.marked += u64::from(score.marked());
        self.noise_hits += u64::from(holds(noise, clear));
        self.full_hits += u64::from(hit);
        self.unmarked_full_hits += u64::from(hit && !score.marked());
        self.noise_width += width(noise);
        self.full_width += width(full);
    }

    /// Adds the counts of other challenges.
    pub fn merge(&mut self, other: &Self) {
        self.trials += other.trials;
        self.estimated += other.estimated;
        self.marked += other.marked;
        self.noise_hits += other.noise_hits;
        self.full_hits += other.full_hits;
        self.unmarked_full_hits += other.unmarked_full_hits;
        self.noise_width += other.noise_width;
        self.full_width += other.full_width;
    }

    /// Share of challenges in which the score could be estimated.
    #[must_use]
    pub fn estimable(&self) -> f64 {
        share(self.estimated, self.trials)
    }

    /// Share of the estimated scores with a mark.
    #[must_use]
    pub fn marks(&self) -> f64 {
        share(self.marked, self.estimated)
    }

    /// Coverage of the noise-only interval.
    #[must_use]
    pub fn noise_coverage(&self) -> f64 {
        share(self.noise_hits, self.estimated)
    }

    /// Coverage of the full interval.
    #[must_use]
    pub fn full_coverage(&self) -> f64 {
        share(self.full_hits, self.estimated)
    }

    /// Mean half widths of the noise-only and the full interval, as parts of 1.
    #[must_use]
    pub fn half_widths(&self) -> (f64, f64) {
        let half = |sum: u64| sum as f64 / 2e6 / self.estimated.max(1) as f64;
        (half(self.noise_width), half(self.full_width))
    }
}

/// What became of the rank sets over many challenges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RankTally {
    /// Challenges.
    pub trials: u64,
    /// Those in which every rank set holds every rank its model can claim by the true rates.
    pub contained: u64,
    /// Those in which all simultaneous intervals of differences hold the true differences.
    pub differences_hold: u64,
    /// Those in which at least one pair was separated.
    pub separated: u64,
}

impl RankTally {
    fn add(&mut self, ranking: &Ranking, true_field: &[f64]) {
        let rate = |model: u16| true_field.get(usize::from(model)).copied().unwrap_or(0.0);
        let contained = ranking.sets.iter().zip(true_field).all(|(set, &own)| {
            let better = true_field.iter().filter(|&&rate| rate > own + 1e-12).count();
            let worse = true_field.iter().filter(|&&rate| rate < own - 1e-12).count();
            usize::from(set.best) <= better + 1 && usize::from(set.worst) >= true_field.len() - worse
        });
        let hold = ranking
            .comparisons
            .iter()
            .all(|pair| holds(pair.interval, rate(pair.first) - rate(pair.second)));
        self.trials += 1;
        self.contained += u64::from(contained);
        self.differences_hold += u64::from(hold);
        self.separated += u64::from(ranking.separable);
    }

    /// Adds the counts of other challenges.
    pub fn merge(&mut self, other: &Self) {
        self.trials += other.trials;
        self.contained += other.contained;
        self.differences_hold += other.differences_hold;
        self.separated += other.separated;
    }

    /// How often all rank sets of a challenge are right.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        share(self.contained, self.trials)
    }

    /// How often all simultaneous intervals of differences are right.
    #[must_use]
    pub fn difference_confidence(&self) -> f64 {
        share(self.differences_hold, self.trials)
    }

    /// How often anything was separated.
    #[must_use]
    pub fn separation(&self) -> f64 {
        share(self.separated, self.trials)
    }
}

/// The counts of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// One per model.
    pub fields: Vec<CellTally>,
    /// One per model and slice, model by model.
    pub slices: Vec<CellTally>,
    /// The rank sets.
    pub ranks: RankTally,
    slices_per_model: u16,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(models: u16, slices: u16) -> Self {
        let (models, per_model) = (usize::from(models), usize::from(slices));
        Self {
            fields: vec![CellTally::default(); models],
            slices: vec![CellTally::default(); models * per_model],
            ranks: RankTally::default(),
            slices_per_model: slices,
        }
    }

    pub(super) fn field(&mut self, model: u16, score: Score, clear: f64, truth: f64) {
        if let Some(cell) = self.fields.get_mut(usize::from(model)) {
            cell.add(score, clear, truth);
        }
    }

    pub(super) fn slice(&mut self, model: u16, slice: u16, score: Score, clear: f64, truth: f64) {
        let at = usize::from(model) * usize::from(self.slices_per_model) + usize::from(slice);
        if let Some(cell) = self.slices.get_mut(at) {
            cell.add(score, clear, truth);
        }
    }

    pub(super) fn ranking(&mut self, ranking: &Ranking, true_field: &[f64]) {
        self.ranks.add(ranking, true_field);
    }

    /// Adds the counts of other challenges of the same setting.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.fields.iter_mut().zip(&other.fields);
        pairs
            .chain(self.slices.iter_mut().zip(&other.slices))
            .for_each(|(own, more)| own.merge(more));
        self.ranks.merge(&other.ranks);
    }

    /// Field scores, then slice scores.
    pub fn cells(&self) -> impl Iterator<Item = &CellTally> {
        self.fields.iter().chain(&self.slices)
    }
}

fn holds(interval: Interval, value: f64) -> bool {
    interval.low.to_f64() - ROUNDING <= value && value <= interval.high.to_f64() + ROUNDING
}

fn width(interval: Interval) -> u64 {
    let Interval {
        low: Micro(low),
        high: Micro(high),
    } = interval;
    high.saturating_sub(low).unsigned_abs()
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
