//! A seeded statistical model of contributors: outcomes without data or models.
//!
//! The simulator and the coverage tests use it in the place of datasets and runners. Each record
//! has a difficulty that all models share, an affinity per model and a trouble per slice; each
//! contributor has its own severity. Model m is correct on slice s of a record of contributor c if
//!
//! `skill[m] − harshness[s] · severity[c] + √a·difficulty + √b·affinity[m] + √t·trouble[s] + √o·e > 0`
//!
//! with independent standard normal variables. Their weights ([`Blend`]) sum to 1, so the true rate
//! of a cell is Φ(skill − harshness·severity) exactly, whatever the correlations. The true rates
//! returned are averages over the contributors of one population, weighted by their records: the
//! population that a challenge's intervals are about.
//!
//! Determinism: everything follows from the seed, by `libm` and a fixed table; Φ is interpolated
//! with an error below 1e-6.

use crate::normal::cdf;
use crate::schema::{Details, RecordOutcome, ViewOutcome};
use libm::{cos, exp, log, sin, sqrt};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Where the variance of a record's outcomes comes from: how strongly views and models agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blend {
    difficulty: f64,
    affinity: f64,
    trouble: f64,
    own: f64,
}

impl Blend {
    /// Least independent part: below it an outcome would not be random given the rest.
    const OWN_MIN: f64 = 0.01;

    /// Parts of the variance: shared by all models and slices of a record, by one model's slices,
    /// by all models on one slice; the rest is independent, at least 0.01. Negative parts count as
    /// zero, and parts that sum to more than 0.99 are scaled down to that.
    #[must_use]
    pub fn new(difficulty: f64, affinity: f64, trouble: f64) -> Self {
        let parts = [difficulty, affinity, trouble].map(|part| part.max(0.0));
        let sum: f64 = parts.iter().sum();
        let scale = ((1.0 - Self::OWN_MIN) / sum.max(1e-9)).min(1.0);
        let [difficulty, affinity, trouble] = parts.map(|part| part * scale);
        Self {
            difficulty,
            affinity,
            trouble,
            own: 1.0 - sum * scale,
        }
    }
}

impl Default for Blend {
    /// 0.35 of difficulty, 0.2 of affinity, 0.1 of trouble, 0.35 independent.
    fn default() -> Self {
        Self {
            difficulty: 0.35,
            affinity: 0.2,
            trouble: 0.1,
            own: 0.35,
        }
    }
}

/// A scenario: what is fixed before any record is drawn.
///
/// ```
/// let scenario = fieldmark_fl::synthetic::Scenario::standard();
/// let population = scenario.sample(7);
/// assert_eq!(population.contributors.len(), 5);
/// assert_eq!(population, scenario.sample(7));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// One per model: Φ of it is the rate under no harshness.
    pub skill: Vec<f64>,
    /// One per slice: how much a unit of severity takes from the skill.
    pub harshness: Vec<f64>,
    /// One per contributor: how severe conditions are on its site.
    pub severity: Vec<f64>,
    /// Records of each contributor: its mean; the actual number varies by a quarter.
    pub records: u32,
    /// Whether outcomes carry confidences (costs time).
    pub confidences: bool,
    /// How strongly views and models agree.
    pub blend: Blend,
}

/// What a scenario yields for one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// The outcomes of every contributor's records.
    pub contributors: Vec<Vec<RecordOutcome>>,
    /// `true_slices[model][slice]`, the rates that the outcomes were drawn with.
    pub true_slices: Vec<Vec<f64>>,
    /// `true_field[model]`, the mean over slices.
    pub true_field: Vec<f64>,
}

impl Scenario {
    /// Five contributors of about 240 records each, three models, five slices.
    pub fn standard() -> Self {
        Self {
            skill: vec![1.55, 1.35, 1.0],
            harshness: vec![0.0, 0.6, 0.9, 0.4, 1.2],
            severity: vec![0.5, 0.8, 1.0, 1.2, 1.6],
            records: 240,
            confidences: false,
            blend: Blend::default(),
        }
    }

    /// Draws all contributors' records. Time and memory are proportional to
    /// contributors × records × models × slices.
    pub fn sample(&self, seed: u64) -> Population {
        let mut draws = Draws::seeded(seed);
        let table = PhiTable::new();
        let contributors: Vec<Vec<RecordOutcome>> = self
            .severity
            .iter()
            .map(|&severity| {
                let spread = self.records / 2;
                let least = self.records - spread / 2;
                let count = least + draws.below(spread + 1);
                (0..count)
                    .map(|_| self.record(severity, &table, &mut draws))
                    .collect()
            })
            .collect();
        let sizes: Vec<usize> = contributors.iter().map(Vec::len).collect();
        let true_slices: Vec<Vec<f64>> = self
            .skill
            .iter()
            .map(|skill| {
                self.harshness
                    .iter()
                    .map(|harshness| self.rate(*skill, *harshness, &sizes))
                    .collect()
            })
            .collect();
        let mean = |rates: &Vec<f64>| rates.iter().sum::<f64>() / rates.len() as f64;
        Population {
            contributors,
            true_field: true_slices.iter().map(mean).collect(),
            true_slices,
        }
    }

    /// Mean correlation between being right on two views of a record, over the pooled records of contributors of
    /// equal size: what [`crate::interval::view_correlation`] estimates from outcomes. Integrated over what
    /// the views of a record share, by the trapezoidal rule on ±8 with an error below 1e-6.
    pub fn view_correlation(&self) -> f64 {
        let shared = self.blend.difficulty + self.blend.affinity;
        let rest = 1.0 / sqrt(1.0 - shared);
        let contributors = self.severity.len().max(1) as f64;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for skill in &self.skill {
            let mut rates = vec![0.0; self.harshness.len()];
            let mut both = 0.0;
            for severity in &self.severity {
                for step in -512..=512i32 {
                    let z = f64::from(step) / 64.0;
                    let weight =
                        exp(-z * z / 2.0) / (64.0 * sqrt(2.0 * core::f64::consts::PI) * contributors);
                    let (mut sum, mut squares) = (0.0, 0.0);
                    for (rate, harshness) in rates.iter_mut().zip(&self.harshness) {
                        let chance = cdf((skill - harshness * severity + sqrt(shared) * z) * rest);
                        *rate += weight * chance;
                        sum += chance;
                        squares += chance * chance;
                    }
                    both += weight * (sum * sum - squares);
                }
            }
            let sum: f64 = rates.iter().sum();
            let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
            covariance += both - (sum * sum - squares);
            variance += (sum - squares) * (rates.len() as f64 - 1.0);
        }
        if variance > 0.0 {
            covariance / variance
        } else {
            0.0
        }
    }

    fn rate(&self, skill: f64, harshness: f64, sizes: &[usize]) -> f64 {
        let parts = self.severity.iter().zip(sizes);
        let correct: f64 = parts
            .map(|(severity, &size)| cdf(skill - harshness * severity) * size as f64)
            .sum();
        correct / sizes.iter().sum::<usize>().max(1) as f64
    }

    fn record(&self, severity: f64, table: &PhiTable, draws: &mut Draws) -> RecordOutcome {
        let blend = &self.blend;
        let difficulty = sqrt(blend.difficulty) * draws.normal();
        let means: Vec<f64> = self
            .harshness
            .iter()
            .map(|harshness| difficulty - harshness * severity + sqrt(blend.trouble) * draws.normal())
            .collect();
        let own = 1.0 / sqrt(blend.own);
        let mut outcome = RecordOutcome::default();
        for skill in &self.skill {
            let level = skill + sqrt(blend.affinity) * draws.normal();
            let chances = means.iter().map(|mean| table.at((level + mean) * own));
            if self.confidences {
                // A model as sure as its chance: well calibrated but for rounding.
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a confidence has single precision"
                )]
                outcome
                    .confidence
                    .push(chances.clone().map(|chance| chance as f32).collect());
            }
            outcome
                .correct
                .push(chances.map(|chance| draws.uniform() < chance).collect());
        }
        outcome
    }
}

/// A plain outcome with confidences as that of a task with two classes, with everything that such a
/// task can collect: answers follow from what is right, probabilities from the confidence (at least one
/// half, at most 0.999), and class 1 is the positive one. `class` and `group` are indices of two.
///
/// ```
/// use fieldmark_fl::schema::RecordOutcome;
/// let plain = RecordOutcome {
///     correct: vec![vec![true, false]],
///     confidence: vec![vec![0.9, 0.7]],
///     details: None,
/// };
/// let details = fieldmark_fl::synthetic::two_classes(&plain, 1, 0).details.unwrap();
/// assert_eq!(details.views[0][1].unwrap().answer, Some(0));
/// ```
pub fn two_classes(outcome: &RecordOutcome, class: u16, group: u16) -> RecordOutcome {
    let view = |(&correct, &confidence): (&bool, &f32)| {
        let sure = f64::from(confidence).clamp(0.5, 0.999);
        #[expect(clippy::cast_possible_truncation, reason = "a logit has single precision")]
        let logit = log(sure / (1.0 - sure)) as f32;
        let answer = if correct { class } else { 1 - class.min(1) };
        let logits = if answer == 1 { [0.0, logit] } else { [logit, 0.0] };
        let view = ViewOutcome::of_logits(&logits, Some(class), Some(1));
        view.map(|view| ViewOutcome {
            outlying: Some(class),
            ..view
        })
    };
    let row =
        |(correct, confidence): (&Vec<bool>, &Vec<f32>)| correct.iter().zip(confidence).map(view).collect();
    RecordOutcome::detailed(Details {
        class: Some(class),
        positive: Some(class == 1),
        group: Some(group),
        views: outcome.correct.iter().zip(&outcome.confidence).map(row).collect(),
        ..Details::default()
    })
}

/// A generator of uniform and normal numbers.
pub(crate) struct Draws {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Draws {
    /// The draws of a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            spare: None,
        }
    }

    /// In 0..1, with 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// In 0..bound; the bias of 2⁻³² does not matter here.
    fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.rng.next_u32()) * u64::from(bound);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = sqrt(-2.0 * log(1.0 - self.uniform()));
        let angle = 2.0 * core::f64::consts::PI * self.uniform();
        self.spare = Some(radius * sin(angle));
        radius * cos(angle)
    }
}

/// Φ on a grid, because a scenario evaluates it tens of millions of times.
struct PhiTable(Vec<f64>);

impl PhiTable {
    const REACH: f64 = 8.0;
    const STEPS_PER_UNIT: f64 = 512.0;

    fn new() -> Self {
        let points = 0..=8192u32;
        Self(
            points
                .map(|point| cdf(f64::from(point) / Self::STEPS_PER_UNIT - Self::REACH))
                .collect(),
        )
    }

    fn at(&self, x: f64) -> f64 {
        let position = ((x + Self::REACH) * Self::STEPS_PER_UNIT).clamp(0.0, 8191.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=8191"
        )]
        let below = position as usize;
        match self.0.get(below..).and_then(<[f64]>::first_chunk::<2>) {
            Some([low, high]) => low + (high - low) * (position - below as f64),
            None => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::{Agreement, view_correlation};

    #[test]
    fn the_table_follows_the_function() {
        let table = PhiTable::new();
        for step in -900..900 {
            let x = f64::from(step) / 100.0 + 0.000_7;
            assert!((table.at(x) - cdf(x)).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn outcomes_have_the_true_rates() {
        let scenario = Scenario {
            records: 40_000,
            ..Scenario::standard()
        };
        let population = scenario.sample(1);
        let all: Vec<_> = population.contributors.iter().flatten().collect();
        for (model, rates) in population.true_slices.iter().enumerate() {
            for (slice, rate) in rates.iter().enumerate() {
                let correct = all.iter().filter(|outcome| outcome.correct[model][slice]).count();
                let found = correct as f64 / all.len() as f64;
                assert!((found - rate).abs() < 0.005, "{model} {slice}: {found} {rate}");
            }
        }
        let spread = population.true_field[0] - population.true_field[2];
        assert!((0.05..0.3).contains(&spread));
    }

    #[test]
    fn its_correlation_of_views_is_that_of_its_outcomes() {
        let scenario = Scenario {
            records: 40_000,
            ..Scenario::standard()
        };
        let population = scenario.sample(2);
        let mut models = vec![Agreement::default(); 3];
        for outcome in population.contributors.iter().flatten() {
            for (model, views) in models.iter_mut().zip(&outcome.correct) {
                model.add(views);
            }
        }
        let (found, stated) = (view_correlation(&models).unwrap(), scenario.view_correlation());
        assert!((found - stated).abs() < 0.01, "{found} {stated}");
    }

    #[test]
    fn confidences_are_there_when_asked_for() {
        let scenario = Scenario {
            confidences: true,
            records: 10,
            ..Scenario::standard()
        };
        let outcome = &scenario.sample(3).contributors[0][0];
        assert_eq!(outcome.confidence.len(), 3);
        assert!(
            outcome
                .confidence
                .iter()
                .flatten()
                .all(|value| (0.0..=1.0).contains(value))
        );
    }
}
