//! How often intervals hold what they claim: a study over seeded challenges, without cryptography.
//!
//! A population of records with known true rates ([`Structure`]) is sampled, measured and summed
//! by the code that contributors run, noised by k aggregators with the exact sampler, and read by
//! the code that boards run. The study counts how often an interval holds what it should: the
//! noise-only interval the score of these very records, the full interval the true rate, the rank
//! sets the true ranks. Records of a challenge are independent draws from the population, each
//! site's share of them being random.
//!
//! Everything is counted in integers and follows from the challenge's number, so parts of a study
//! can run anywhere in any order and add up to the same [`Tally`]. Running it on many cores and
//! printing `docs/coverage.md` is the business of the simulator.

use crate::interval::{Release, ReleaseError, Score, field_score, slice_score};
use crate::noise::{DiscreteGaussian, NoiseError, Ratio};
use crate::privacy::{Delta, Epsilon, PrivacyError, calibrate};
use crate::rank::rank;
use crate::schema::{MeasureError, Measurement, Schema, SchemaError, SchemaParams, Statistics};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::ops::Range;
use thiserror::Error;

mod population;
mod tally;

pub use population::{STRUCTURES, Structure};
pub use tally::{CellTally, RankTally, Tally};

use population::Population;

/// Models of a studied challenge.
pub const MODELS: u16 = 3;
/// Slices of a studied challenge.
pub const SLICES: u16 = 5;
/// δ of every setting.
pub const DELTA: f64 = 1e-6;
/// Numbers of records in the published table.
pub const RECORDS: [u32; 3] = [100, 1_000, 10_000];
/// ε in the published table.
pub const EPSILONS: [f64; 3] = [0.5, 1.0, 4.0];
/// Committee sizes in the published table.
pub const COMMITTEES: [u8; 3] = [2, 3, 5];

/// Why a study cannot run.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The layout is invalid.
    #[error("the layout is invalid")]
    Schema(#[from] SchemaError),
    /// Outcomes do not fit the layout.
    #[error("the outcomes cannot be measured")]
    Measure(#[from] MeasureError),
    /// ε or δ is out of range.
    #[error("the privacy parameters are out of range")]
    Privacy(#[from] PrivacyError),
    /// The noise cannot be drawn.
    #[error("the noise cannot be drawn")]
    Noise(#[from] NoiseError),
    /// The vector cannot be read.
    #[error("the vector cannot be read")]
    Release(#[from] ReleaseError),
}

/// Privacy parameters of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protection {
    /// ε at δ = [`DELTA`].
    pub epsilon: f64,
    /// Number of aggregators, each of whom adds the whole noise.
    pub aggregators: u8,
}

/// All nine of the published table, ε by ε.
#[must_use]
pub fn protections() -> Vec<Protection> {
    EPSILONS
        .iter()
        .flat_map(|&epsilon| COMMITTEES.map(|aggregators| Protection { epsilon, aggregators }))
        .collect()
}

/// One structure, ready to be sampled.
///
/// ```
/// use fieldmark_fl::coverage::{Protection, Structure, Study};
/// let study = Study::new(Structure::Field)?;
/// let protection = Protection { epsilon: 4.0, aggregators: 3 };
/// let tallies = study.run(1_000, &[protection], 0..20)?;
/// assert_eq!(tallies[0].ranks.trials, 20);
/// # Ok::<(), fieldmark_fl::coverage::StudyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Study {
    structure: Structure,
    schema: Schema,
    population: Population,
}

impl Study {
    /// Draws the structure's population; always the same one. A few megabytes.
    ///
    /// # Errors
    /// None for the structures here; the layout is checked like any other.
    pub fn new(structure: Structure) -> Result<Self, StudyError> {
        let schema = Schema::new(&SchemaParams {
            models: MODELS,
            slices: SLICES,
            cap: 1_000_000,
            statistics: Statistics {
                paired: true,
                ..Statistics::default()
            },
        })?;
        let population = Population::new(structure, &schema)?;
        Ok(Self {
            structure,
            schema,
            population,
        })
    }

    /// The true rate of each model on each slice.
    #[must_use]
    pub fn true_slices(&self) -> &[Vec<f64>] {
        &self.population.true_slices
    }

    /// Runs the numbered challenges with `records` records each, under every protection; one tally
    /// per protection, in order.
    ///
    /// # Errors
    /// Privacy parameters out of range, or more records than a report may hold.
    pub fn run(
        &self,
        records: u32,
        protections: &[Protection],
        challenges: Range<u64>,
    ) -> Result<Vec<Tally>, StudyError> {
        let mut scales = Vec::new();
        for protection in protections {
            let (epsilon, delta) = (Epsilon::new(protection.epsilon)?, Delta::new(DELTA)?);
            let scale = calibrate(self.schema.l2_sensitivity_squared(), epsilon, delta)?;
            let noise = DiscreteGaussian::new(Ratio::from(scale.sigma_squared))?;
            scales.push((scale.sigma_squared, noise, protection.aggregators));
        }
        let mut tallies = vec![Tally::new(MODELS, SLICES); protections.len()];
        for challenge in challenges {
            let mut rng = self.generator(records, challenge, 0);
            let values = self.population.sample(records, &mut rng);
            let sum = Measurement::new(&self.schema, values)?;
            let pooled = self.pooled(&sum);
            let clear = self.schema.release(&sum);
            for (stream, ((sigma_squared, noise, aggregators), tally)) in
                (1..).zip(scales.iter().zip(&mut tallies))
            {
                let mut rng = self.generator(records, challenge, stream);
                let vector = noised(&clear, noise, *aggregators, &mut rng);
                let release = Release::new(&self.schema, &vector, *sigma_squared, *aggregators)?;
                self.read(&release, &pooled, tally);
            }
        }
        Ok(tallies)
    }

    /// A generator of its own for every challenge, and in it for the records (stream 0) and for
    /// the noise under each protection.
    fn generator(&self, records: u32, challenge: u64, stream: u64) -> ChaCha8Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"fieldmark/coverage/v1\0");
        hasher.update(self.structure.name().as_bytes());
        hasher.update(&records.to_be_bytes());
        hasher.update(&challenge.to_be_bytes());
        hasher.update(&stream.to_be_bytes());
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }

    /// The rate of each model on each slice among the sampled records.
    fn pooled(&self, sum: &Measurement) -> Vec<Vec<f64>> {
        let total = sum.records().max(1) as f64;
        let correct = sum.values().get(1..).unwrap_or_default();
        correct
            .chunks(usize::from(SLICES))
            .take(usize::from(MODELS))
            .map(|row| row.iter().map(|&value| value as f64 / total).collect())
            .collect()
    }

    fn read(&self, release: &Release, pooled: &[Vec<f64>], tally: &mut Tally) {
        let rows = pooled.iter().zip(&self.population.true_slices);
        for (model, (clear, truth)) in (0..).zip(rows) {
            let field = field_score(release, model);
            tally.field(model, field, mean(clear), mean(truth));
            for (slice, (&clear, &truth)) in (0..).zip(clear.iter().zip(truth)) {
                let score: Score = slice_score(release, model, slice);
                tally.slice(model, slice, score, clear, truth);
            }
        }
        tally.ranking(&rank(release), &self.population.true_field);
    }
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / rates.len().max(1) as f64
}

/// The vector with every aggregator's noise.
fn noised(clear: &[i128], noise: &DiscreteGaussian, aggregators: u8, rng: &mut ChaCha8Rng) -> Vec<i128> {
    let noisy = |&value: &i128| {
        let added: i128 = (0..aggregators).map(|_| noise.sample(rng)).sum();
        value + added
    };
    clear.iter().map(noisy).collect()
}

/// A whole number below `bound`; the bias of 2⁻³² does not matter here.
fn below(bound: u32, rng: &mut ChaCha8Rng) -> u32 {
    let wide = u64::from(rng.next_u32()) * u64::from(bound);
    u32::try_from(wide >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests;
