//! Populations with known rates: a finite table of record outcomes, drawn from with replacement.

use super::{StudyError, below};
use crate::schema::{RecordOutcome, Schema};
use crate::synthetic::{Blend, Scenario};
use rand_chacha::ChaCha8Rng;

/// Entries of the studied layout, rounded up to whole vector registers.
const WIDTH: usize = 24;
/// Seed of every population.
const SEED: u64 = 9;
/// Records of each site in a population's table, on average.
const SITE_RECORDS: u32 = 2_048;

/// How records, views and models hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Structure {
    /// Five sites of different severity, models and views moderately correlated.
    Field,
    /// Models and views of a record independent of each other.
    Independent,
    /// A model is right on nearly all views of a record or on nearly none.
    Together,
    /// Nearly perfect models: rates of 97% to over 99.9%.
    Ceiling,
    /// Nearly hopeless models: rates below 25%.
    Floor,
    /// Three models with exactly equal rates.
    Equal,
    /// Every model is right on exactly three views of every record, so field scores do not vary.
    Balanced,
}

/// All structures, in the order of the published table.
pub const STRUCTURES: [Structure; 7] = [
    Structure::Field,
    Structure::Independent,
    Structure::Together,
    Structure::Ceiling,
    Structure::Floor,
    Structure::Equal,
    Structure::Balanced,
];

impl Structure {
    /// Its name in the published table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Independent => "independent",
            Self::Together => "together",
            Self::Ceiling => "ceiling",
            Self::Floor => "floor",
            Self::Equal => "equal",
            Self::Balanced => "balanced",
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Field => "five sites of different severity; models and views moderately correlated",
            Self::Independent => "models and views of a record independent of each other",
            Self::Together => "a model is right on nearly all views of a record or on nearly none",
            Self::Ceiling => "nearly perfect models",
            Self::Floor => "nearly hopeless models",
            Self::Equal => "three models with exactly equal rates",
            Self::Balanced => "every model right on exactly three of five views of every record",
        }
    }

    fn outcomes(self) -> Vec<RecordOutcome> {
        let scenario = Scenario {
            records: SITE_RECORDS,
            ..Scenario::standard()
        };
        let scenario = match self {
            Self::Field => scenario,
            Self::Independent => Scenario {
                blend: Blend::new(0.0, 0.0, 0.0),
                ..scenario
            },
            Self::Together => Scenario {
                blend: Blend::new(0.5, 0.45, 0.0),
                harshness: vec![0.0, 0.1, 0.2, 0.1, 0.2],
                ..scenario
            },
            Self::Ceiling => Scenario {
                skill: vec![3.2, 3.0, 2.8],
                severity: vec![0.5; 5],
                ..scenario
            },
            Self::Floor => Scenario {
                skill: vec![-0.7, -1.0, -1.3],
                ..scenario
            },
            Self::Equal => Scenario {
                skill: vec![1.2; 3],
                ..scenario
            },
            Self::Balanced => return balanced(),
        };
        let drawn = scenario.sample(SEED).contributors.into_iter().flatten();
        if self == Self::Equal {
            drawn.flat_map(rotations).collect()
        } else {
            drawn.collect()
        }
    }
}

/// The outcome with the models in every cyclic order.
fn rotations(outcome: RecordOutcome) -> Vec<RecordOutcome> {
    (0..outcome.correct.len())
        .map(|by| {
            let mut turned = outcome.clone();
            turned.correct.rotate_left(by);
            turned
        })
        .collect()
}

/// Every combination of three models that are each right on three of five slices.
fn balanced() -> Vec<RecordOutcome> {
    let row = |bits: u32| (0..5).map(|slice| bits >> slice & 1 == 1).collect::<Vec<bool>>();
    let rows: Vec<_> = (0..32u32)
        .filter(|bits| bits.count_ones() == 3)
        .map(row)
        .collect();
    let mut outcomes = Vec::new();
    for first in &rows {
        for second in &rows {
            outcomes.extend(rows.iter().map(|third| RecordOutcome {
                correct: vec![first.clone(), second.clone(), third.clone()],
                ..RecordOutcome::default()
            }));
        }
    }
    outcomes
}

/// A table of what each of its records adds to the measured vector.
#[derive(Clone, Debug)]
pub(super) struct Population {
    contributions: Vec<[u8; WIDTH]>,
    entries: usize,
    pub(super) true_slices: Vec<Vec<f64>>,
    pub(super) true_field: Vec<f64>,
}

impl Population {
    pub(super) fn new(structure: Structure, schema: &Schema) -> Result<Self, StudyError> {
        let outcomes = structure.outcomes();
        let mut contributions = Vec::with_capacity(outcomes.len());
        let mut totals = [0u64; WIDTH];
        for outcome in &outcomes {
            let measured = schema.measure(std::slice::from_ref(outcome))?;
            let mut row = [0u8; WIDTH];
            for ((slot, total), value) in row.iter_mut().zip(&mut totals).zip(measured.values()) {
                *slot = u8::try_from(*value).unwrap_or(u8::MAX);
                *total += value;
            }
            contributions.push(row);
        }
        let count = outcomes.len().max(1) as f64;
        let cells = totals.get(1..).unwrap_or_default();
        let true_slices: Vec<Vec<f64>> = cells
            .chunks(schema.slices())
            .take(schema.models())
            .map(|row| row.iter().map(|&total| total as f64 / count).collect())
            .collect();
        Ok(Self {
            contributions,
            entries: schema.len(),
            true_field: true_slices.iter().map(|row| super::mean(row)).collect(),
            true_slices,
        })
    }

    /// The measured vector of `records` records drawn with replacement.
    pub(super) fn sample(&self, records: u32, rng: &mut ChaCha8Rng) -> Vec<u64> {
        let size = u32::try_from(self.contributions.len()).unwrap_or(u32::MAX);
        let mut sums = [0u32; WIDTH];
        for _ in 0..records {
            let at = usize::try_from(below(size, rng)).unwrap_or(0);
            if let Some(row) = self.contributions.get(at) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += u32::from(value);
                }
            }
        }
        sums.iter()
            .take(self.entries)
            .map(|&sum| u64::from(sum))
            .collect()
    }
}
