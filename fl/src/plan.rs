//! Whether a challenge will tell its models apart, before anything is signed.
//!
//! Models are assumed to lie an equal gap apart in their field scores. A pair whose scores differ by d
//! is separated with the chance Φ(d/s − z), where s is the standard deviation to expect of the
//! difference ([`crate::interval::expected_half_width`]) and z the point of the simultaneous intervals
//! that rank sets use. A model's expected rank set then has one rank for itself and one for each model
//! that it is not separated from.

use crate::interval::{HalfWidth, RECORDS_SIGMAS_MIN, Typical, expected_half_width};
use crate::normal::{Z95, cdf, upper_quantile};
use crate::rank::FAMILY_ERROR;
use crate::schema::{EntryKind, Schema, pairs};
use libm::sqrt;

/// Most records that a plan looks for.
pub const RECORDS_MAX: u64 = 1_000_000_000_000;

/// Chance of separation that "needed" means.
pub const NEEDED_CHANCE: f64 = 0.8;
/// Standard normal point of [`NEEDED_CHANCE`].
const Z_NEEDED: f64 = 0.841_621_233_572_914_3;

/// What is assumed of the models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumed {
    /// Their scores.
    pub typical: Typical,
    /// Difference of field scores between neighbours in rank.
    pub gap: f64,
}

/// How much is added, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// σ² of one aggregator.
    pub sigma_squared: u64,
    /// Number of aggregators, each of whom adds noise.
    pub aggregators: u8,
}

/// What to expect of the ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation {
    /// Ranks in a rank set, on average over the models: 1 is a strict ranking.
    pub rank_set: f64,
    /// Least difference of two field scores that is separated with 80% chance.
    pub told_apart: f64,
    /// Chance that the best and the last model are separated.
    pub chance: f64,
}

impl Separation {
    /// Whether anything is more likely than not to be separated.
    pub fn separable(&self) -> bool {
        self.chance >= 0.5
    }
}

/// What to expect of the ranking from `records` records.
pub fn separation(schema: &Schema, noise: Noise, records: u64, assumed: &Assumed) -> Separation {
    let models = schema.models();
    let expected = expected_half_width(
        schema,
        noise.sigma_squared,
        noise.aggregators,
        records,
        &assumed.typical,
    );
    let z = upper_quantile(FAMILY_ERROR / (2.0 * pairs(models).max(1) as f64));
    let deviation = deviation(&expected.difference);
    let readable = records >= records_estimable(schema, noise);
    let chance = |ranks: usize| {
        if readable {
            cdf(ranks as f64 * assumed.gap / deviation - z)
        } else {
            0.0
        }
    };
    let ranks = |one: usize| (0..models).map(move |other| one.abs_diff(other));
    let shared: f64 = (0..models)
        .flat_map(ranks)
        .filter(|apart| *apart > 0)
        .map(|apart| 1.0 - chance(apart))
        .sum();
    Separation {
        rank_set: 1.0 + shared / models as f64,
        told_apart: (z + Z_NEEDED) * deviation,
        chance: chance(models.saturating_sub(1)),
    }
}

fn deviation(width: &HalfWidth) -> f64 {
    (width.total / Z95).max(f64::MIN_POSITIVE)
}

/// Fewest records from which scores can be estimated at all.
pub fn records_estimable(schema: &Schema, noise: Noise) -> u64 {
    let entry = schema
        .position(EntryKind::Records)
        .and_then(|at| schema.entries().get(at));
    let weight = entry.map_or(1.0, |entry| entry.weight as f64);
    let variance = noise.sigma_squared as f64 * f64::from(noise.aggregators);
    let least = RECORDS_SIGMAS_MIN * sqrt(variance) / weight;
    least_where(|records| records as f64 >= least).unwrap_or(RECORDS_MAX)
}

/// Fewest records with which the best and the last model are separated with 80% chance; nothing if
/// no number will do.
pub fn records_needed(schema: &Schema, noise: Noise, assumed: &Assumed) -> Option<u64> {
    least_where(|records| separation(schema, noise, records, assumed).chance >= NEEDED_CHANCE)
}

/// The least number up to [`RECORDS_MAX`] from which on something holds.
fn least_where(holds: impl Fn(u64) -> bool) -> Option<u64> {
    holds(RECORDS_MAX).then_some(())?;
    let (mut low, mut high) = (0, RECORDS_MAX);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{SchemaParams, Statistics};

    const ASSUMED: Assumed = Assumed {
        typical: Typical {
            score: 0.8,
            view_correlation: 0.5,
        },
        gap: 0.02,
    };

    fn schema(models: u16) -> Schema {
        let statistics = Statistics {
            paired: true,
            ..Statistics::default()
        };
        Schema::new(&SchemaParams {
            models,
            slices: 3,
            cap: 400,
            statistics,
        })
        .unwrap()
    }

    fn noise(schema: &Schema) -> Noise {
        Noise {
            sigma_squared: 6 * schema.l2_sensitivity_squared(),
            aggregators: 3,
        }
    }

    #[test]
    fn more_records_tell_more_models_apart() {
        let schema = schema(4);
        let of = |records| separation(&schema, noise(&schema), records, &ASSUMED);
        let (few, many) = (of(100), of(100_000));
        assert!(few.rank_set > 3.5 && !few.separable());
        assert!(many.rank_set < 1.1 && many.separable());
        assert!(many.told_apart < 0.02 && few.told_apart > 0.06);
        assert!((of(5).rank_set - 4.0).abs() < 1e-12);
    }

    #[test]
    fn the_records_needed_are_just_enough() {
        let schema = schema(3);
        let noise = noise(&schema);
        let needed = records_needed(&schema, noise, &ASSUMED).unwrap();
        let chance = |records| separation(&schema, noise, records, &ASSUMED).chance;
        assert!(chance(needed) >= NEEDED_CHANCE && chance(needed - 1) < NEEDED_CHANCE);
        let equal = Assumed { gap: 0.0, ..ASSUMED };
        assert_eq!(records_needed(&schema, noise, &equal), None);
    }
}
