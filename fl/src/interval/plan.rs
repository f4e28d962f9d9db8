//! What an interval will look like, before anything is signed.

use crate::normal::Z95;
use crate::schema::{EntryKind, Schema};
use libm::sqrt;
use serde::{Deserialize, Serialize};

/// Correlation assumed between two views of one record, for planning only: about that of real images under
/// corruptions. Records whose views agree less get narrower intervals than planned.
const VIEW_CORRELATION: f64 = 0.5;
/// Correlation assumed between two models' scores on one record, for planning only.
const MODEL_CORRELATION: f64 = 0.5;

/// Half the width of a 95% interval, in parts of 1 (0.03 is three points).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HalfWidth {
    /// From noise alone.
    pub noise: f64,
    /// From sampling alone.
    pub sampling: f64,
    /// From both.
    pub total: f64,
}

/// The half widths to expect.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Of a field score.
    pub field: HalfWidth,
    /// Of one slice.
    pub slice: HalfWidth,
    /// Of the difference of two models' field scores.
    pub difference: HalfWidth,
}

/// The half widths to expect from `records` records in all, if models score about `score`.
///
/// Planning assumes a correlation of one half between the views of a record, and between two
/// models on it; without paired statistics the worst case, as the intervals then do. With so few
/// records that a score will not be estimable the numbers exceed 1.
pub fn expected_half_width(
    schema: &Schema,
    sigma_squared: u64,
    aggregators: u8,
    records: u64,
    score: f64,
) -> Expected {
    let weight_of = |kind| {
        let at = schema.position(kind).and_then(|at| schema.entries().get(at));
        at.map_or(1.0, |entry| entry.amplitude() as f64)
    };
    let noise = sigma_squared as f64 * f64::from(aggregators);
    let count = weight_of(EntryKind::Records);
    let correct = weight_of(EntryKind::Correct { model: 0, slice: 0 });
    let (n, slices) = ((records as f64).max(1.0), schema.slices() as f64);
    let theta = score.clamp(0.0, 1.0) - 0.5;
    let bernoulli = 0.25 - theta * theta;
    let through_count = theta * theta * noise / (count * count);
    let cell = noise / (4.0 * correct * correct);
    let (fraction, difference) = if schema.params().statistics.paired || schema.slices() == 1 {
        let fraction = (1.0 + (slices - 1.0) * VIEW_CORRELATION) / slices;
        (fraction, 2.0 * (1.0 - MODEL_CORRELATION) * fraction * bernoulli)
    } else {
        (1.0, 4.0 * bernoulli)
    };
    let width = |noise: f64, sampling: f64| HalfWidth {
        noise: Z95 * sqrt(noise) / n,
        sampling: Z95 * sqrt(sampling / n),
        total: Z95 * sqrt(noise / (n * n) + sampling / n),
    };
    Expected {
        field: width(cell / slices + through_count, fraction * bernoulli),
        slice: width(cell + through_count, bernoulli),
        difference: width(2.0 * cell / slices, difference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::{Delta, Epsilon, calibrate};
    use crate::schema::{SchemaParams, Statistics};

    fn standard(paired: bool) -> Expected {
        let statistics = Statistics {
            paired,
            calibration: false,
            extra: crate::schema::Extra::PLAIN,
        };
        let schema = Schema::new(&SchemaParams {
            models: 3,
            slices: 5,
            cap: 400,
            statistics,
        })
        .unwrap();
        let (epsilon, delta) = (Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
        let scale = calibrate(schema.l2_sensitivity_squared(), epsilon, delta).unwrap();
        expected_half_width(&schema, scale.sigma_squared, 3, 1_200, 0.8)
    }

    #[test]
    fn the_standard_challenge_resolves_a_few_points() {
        let expected = standard(true);
        assert!(expected.field.total < 0.03, "{expected:?}");
        assert!(expected.slice.total < 0.04, "{expected:?}");
        assert!(expected.field.noise < expected.field.sampling);
    }

    #[test]
    fn pairing_narrows_what_it_is_for() {
        let (paired, plain) = (standard(true), standard(false));
        assert!(paired.field.total < plain.field.total);
        assert!(paired.difference.total < plain.difference.total);
        assert!(paired.slice.noise > plain.slice.noise);
    }
}
