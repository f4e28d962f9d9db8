//! Challenge-level simulation (design §11): many statistical clients, no cryptography, the code that
//! contributors measure with and boards are read with.
//!
//! A scenario file with `level = "challenge"` names models, slices, clients, privacy and windows. In every
//! window each client measures its records of its own severity; its report falls into one of the
//! replicate groups; every group's sum gets the whole committee's noise. Groups are read as boards of
//! their own, and together (groups cost noise times their number), with one group left out, and over
//! windows. Beside it every record compares one pair of models, for Bradley–Terry strengths.
//!
//! Everything follows from the seed, on any number of threads: clients are drawn in blocks of their own
//! generators, and sums are of integers.

use fieldmark_fl::board::{BoardError, Direction, Series, SeriesWindow};
use fieldmark_fl::bradley_terry::{self, Dependence, Fit, FitError, PairCount};
use fieldmark_fl::interval::{Estimate, Score};
use fieldmark_fl::noise::{DiscreteGaussian, NoiseError, Ratio};
use fieldmark_fl::privacy::{Delta, Epsilon, PrivacyError, calibrate};
use fieldmark_fl::schema::{MeasureError, RecordOutcome, Schema, SchemaError};
use fieldmark_fl::synthetic::Scenario as Clients;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::parallel;

mod report;
mod scenario;

pub use scenario::{FieldScenario, is_challenge_level};

/// Clients in a block: one job, one generator.
const BLOCK: u32 = 500;
/// Why a scenario cannot be simulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The file cannot be read.
    #[error("the scenario cannot be read")]
    Read(#[from] std::io::Error),
    /// Not TOML of a scenario's shape.
    #[error("the scenario is no challenge-level scenario")]
    Syntax(#[from] toml::de::Error),
    /// A number outside its bounds.
    #[error("{field} is {found}, must be {least} to {most}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// The value given.
        found: u64,
        /// Least.
        least: u64,
        /// Most.
        most: u64,
    },
    /// A slice's share that is none.
    #[error("the share of slice '{slice}' is {found}, must be 0 to 1, and 1 for the first slice")]
    Share {
        /// Name of the slice.
        slice: String,
        /// The value given.
        found: f64,
    },
    /// A number that is not finite.
    #[error("a skill, drift or harshness is not a finite number")]
    NotFinite,
    /// The layout is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Outcomes do not fit the layout.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// ε or δ is out of range.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The noise cannot be drawn.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// A vector cannot be read.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// The comparisons are no table of pairs.
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// One score of the simulation beside the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldCell {
    /// Window, from 1; 0: all windows pooled.
    pub window: u16,
    /// Group, from 1; 0: all groups together; minus g: all but group g.
    pub group: i32,
    /// Name of the model.
    pub model: String,
    /// `field` or the slice's name.
    pub column: String,
    /// The rate that the records were drawn with.
    pub truth: f64,
    /// The estimate.
    pub score: Option<f64>,
    /// Ends of the full interval.
    pub interval: Option<(f64, f64)>,
    /// Ends of the noise-only interval.
    pub noise: Option<(f64, f64)>,
    /// Whether an interval may cover more than 95%.
    pub marked: bool,
    /// Best and worst rank, beside field scores.
    pub rank: Option<(u16, u16)>,
    /// Beside field scores of a whole window: what is certain of the change since the window before.
    pub change: Option<Direction>,
}

/// What a simulation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldReport {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Clients of each window.
    pub clients: u32,
    /// Records measured in all windows.
    pub records: u64,
    /// ε per record.
    pub epsilon: f64,
    /// Number of aggregators.
    pub aggregators: u8,
    /// Replicate groups.
    pub groups: u16,
    /// Models, in order.
    pub models: Vec<String>,
    /// Slices, in order.
    pub slices: Vec<String>,
    /// Every score.
    pub cells: Vec<FieldCell>,
    /// Share of the full intervals that hold the truth.
    pub covered: f64,
    /// Whether the pooled board separates any two models.
    pub separable: bool,
    /// Bradley–Terry strengths from the compared pairs; absent where the noise leaves none.
    pub strengths: Option<Fit>,
    /// BLAKE3 of all sums before noise, in hex: the same for the same scenario and seed.
    pub hash: String,
}

/// What one block of clients adds: per group the vector, per pair the wins of either side.
struct Part {
    sums: Vec<Vec<i128>>,
    contributors: Vec<u64>,
    wins: Vec<[u64; 2]>,
    /// Σ over records of the true rates, per model and slice.
    truth: Vec<Vec<f64>>,
    records: u64,
}

impl FieldScenario {
    /// Simulates. Time is proportional to clients × records × windows; a million records take about a
    /// second of one core.
    ///
    /// # Errors
    /// Parameters that fit no challenge.
    pub fn run(&self, seed: u64, threads: usize) -> Result<FieldReport, FieldError> {
        let schema = Schema::new(&self.layout())?;
        let names = |of: Vec<&String>| of.into_iter().cloned().collect::<Vec<_>>();
        let models = names(self.model.iter().map(|model| &model.name).collect());
        let slices = names(self.slice.iter().map(|slice| &slice.name).collect());
        let (epsilon, delta) = (Epsilon::new(self.epsilon)?, Delta::new(self.delta)?);
        let sigma_squared = calibrate(schema.l2_sensitivity_squared(), epsilon, delta)?.sigma_squared;
        let noise = DiscreteGaussian::new(Ratio::from(sigma_squared))?;
        let mut hasher = blake3::Hasher::new();
        let mut all = report::Reading::new(self, &models, &slices)?;
        let mut wins = vec![[0u64; 2]; pairs(models.len()).len()];
        for window in 1..=self.windows {
            let part = self.window(&schema, seed, window, threads)?;
            let rates: Vec<Vec<f64>> = part
                .truth
                .iter()
                .map(|row| row.iter().map(|sum| sum / part.records.max(1) as f64).collect())
                .collect();
            let mut rng = generator(seed, window, u32::MAX);
            let mut groups = Vec::new();
            for (sum, contributors) in part.sums.iter().zip(&part.contributors) {
                sum.iter().for_each(|value| {
                    hasher.update(&value.to_be_bytes());
                });
                let mut noisy = |value: &i128| {
                    value
                        + (0..self.aggregators)
                            .map(|_| noise.sample(&mut rng))
                            .sum::<i128>()
                };
                groups.push(SeriesWindow {
                    aggregate: sum.iter().map(&mut noisy).collect(),
                    sigma_squared,
                    aggregators: self.aggregators,
                    contributors: *contributors,
                });
            }
            all.window(window, &groups, &rates, part.records)?;
            for (sum, more) in wins.iter_mut().zip(&part.wins) {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
        let strengths = self.strengths(&wins, models.len(), seed)?;
        let hash = hasher.finalize().to_hex().to_string();
        Ok(all.report(self, seed, strengths, hash))
    }

    /// The sums of one window, before noise.
    fn window(&self, schema: &Schema, seed: u64, window: u16, threads: usize) -> Result<Part, FieldError> {
        let blocks = self.clients.div_ceil(BLOCK);
        let jobs = usize::try_from(blocks).unwrap_or(usize::MAX);
        let parts = parallel::map(jobs, parallel::threads(threads), |at| {
            let block = u32::try_from(at).unwrap_or(u32::MAX);
            self.block(schema, seed, window, block)
        })?;
        let mut parts = parts.into_iter();
        let mut sum = parts.next().unwrap_or_else(|| self.empty(schema));
        for part in parts {
            sum.add(&part);
        }
        Ok(sum)
    }

    fn empty(&self, schema: &Schema) -> Part {
        Part {
            sums: vec![vec![0; schema.len()]; usize::from(self.groups)],
            contributors: vec![0; usize::from(self.groups)],
            wins: vec![[0; 2]; pairs(schema.models()).len()],
            truth: vec![vec![0.0; schema.slices()]; schema.models()],
            records: 0,
        }
    }

    fn block(&self, schema: &Schema, seed: u64, window: u16, block: u32) -> Result<Part, FieldError> {
        let mut rng = generator(seed, window, block);
        let clients = BLOCK.min(self.clients - block * BLOCK);
        let unit = |rng: &mut ChaCha20Rng| f64::from(rng.next_u32()) / 4_294_967_296.0;
        let scenario = Clients {
            skill: self
                .model
                .iter()
                .map(|model| model.skill + model.drift * f64::from(window - 1))
                .collect(),
            harshness: self.slice.iter().map(|slice| slice.harshness).collect(),
            severity: (0..clients).map(|_| 0.5 + unit(&mut rng)).collect(),
            records: self.records,
            ..Clients::standard()
        };
        let population = scenario.sample(rng.next_u64());
        let mut part = self.empty(schema);
        let pairs = pairs(schema.models());
        for outcomes in &population.contributors {
            let group = usize::try_from(rng.next_u32() % u32::from(self.groups)).unwrap_or(0);
            let measured = if schema.has_missing_views() {
                schema.measure(&self.with_views(outcomes, || unit(&mut rng)))?
            } else {
                schema.measure(outcomes)?
            };
            let released = schema.release(&measured);
            for (sum, value) in part.sums.get_mut(group).into_iter().flatten().zip(released) {
                *sum += value;
            }
            part.contributors
                .get_mut(group)
                .into_iter()
                .for_each(|count| *count += 1);
            for outcome in outcomes {
                let at = usize::try_from(part.records).unwrap_or(0) % pairs.len().max(1);
                if let (Some(&(a, b)), Some(wins)) = (pairs.get(at), part.wins.get_mut(at)) {
                    compare(outcome, a, b, wins);
                }
                part.records += 1;
            }
        }
        for (sums, rates) in part.truth.iter_mut().zip(&population.true_slices) {
            for (sum, rate) in sums.iter_mut().zip(rates) {
                *sum += rate * part.records as f64;
            }
        }
        Ok(part)
    }

    /// Strengths from the noisy counts of wins: one record adds one to one count.
    fn strengths(&self, wins: &[[u64; 2]], models: usize, seed: u64) -> Result<Option<Fit>, FieldError> {
        let scale = calibrate(1, Epsilon::new(self.epsilon)?, Delta::new(self.delta)?)?;
        let noise = DiscreteGaussian::new(Ratio::from(scale.sigma_squared))?;
        let mut rng = generator(seed, 0, 0);
        let parts = f64::from(self.windows);
        let mut noisy = |count: u64| {
            let added = u64::from(self.aggregators) * u64::from(self.windows);
            let noise: i128 = (0..added).map(|_| noise.sample(&mut rng)).sum();
            Estimate {
                value: (i128::from(count) + noise) as f64,
                variance: scale.sigma_squared as f64 * f64::from(self.aggregators) * parts,
            }
        };
        let counts: Vec<PairCount> = pairs(models)
            .into_iter()
            .zip(wins)
            .map(|((first, second), &[won, lost])| PairCount {
                first,
                second,
                wins: noisy(won),
                losses: noisy(lost),
            })
            .collect();
        Ok(bradley_terry::fit(models, &counts, Dependence::Independent)?.ok())
    }
}

impl Part {
    fn add(&mut self, other: &Self) {
        let rows = self.sums.iter_mut().flatten().zip(other.sums.iter().flatten());
        rows.for_each(|(sum, more)| *sum += more);
        let counts = self.contributors.iter_mut().zip(&other.contributors);
        counts.for_each(|(sum, more)| *sum += more);
        let wins = self.wins.iter_mut().flatten().zip(other.wins.iter().flatten());
        wins.for_each(|(sum, more)| *sum += more);
        let rates = self.truth.iter_mut().flatten().zip(other.truth.iter().flatten());
        rates.for_each(|(sum, more)| *sum += more);
        self.records += other.records;
    }
}

/// The better model on a record is the one that is right on more slices; ties count for neither.
fn compare(outcome: &RecordOutcome, first: u16, second: u16, wins: &mut [u64; 2]) {
    let right = |model: u16| {
        let row = outcome.correct.get(usize::from(model));
        row.map_or(0, |row| row.iter().filter(|&&right| right).count())
    };
    let (one, other) = (right(first), right(second));
    let [won, lost] = wins;
    *won += u64::from(one > other);
    *lost += u64::from(other > one);
}

/// All pairs of models, in order.
fn pairs(models: usize) -> Vec<(u16, u16)> {
    let models = u16::try_from(models).unwrap_or(u16::MAX);
    (0..models)
        .flat_map(|first| (first + 1..models).map(move |second| (first, second)))
        .collect()
}

/// A generator of its own for each block of each window.
fn generator(seed: u64, window: u16, block: u32) -> ChaCha20Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"fieldmark/field/v1\0");
    hasher.update(&seed.to_be_bytes());
    hasher.update(&window.to_be_bytes());
    hasher.update(&block.to_be_bytes());
    ChaCha20Rng::from_seed(*hasher.finalize().as_bytes())
}

/// An empty series of a scenario's layout.
fn series(scenario: &FieldScenario, models: &[String], slices: &[String]) -> Result<Series<u32>, FieldError> {
    Ok(Series::new(models.to_vec(), slices.to_vec(), scenario.layout())?)
}

/// Point estimate, full interval and noise-only interval.
type Ends = (Option<f64>, Option<(f64, f64)>, Option<(f64, f64)>);

/// The numbers of a score.
fn ends(score: &Score) -> Ends {
    let pair = |interval: fieldmark_fl::interval::Interval| (interval.low.to_f64(), interval.high.to_f64());
    (
        score.value().map(fieldmark_fl::interval::Micro::to_f64),
        score.full().map(pair),
        score.noise().map(pair),
    )
}

#[cfg(test)]
mod tests;
