//! What an interval will look like, before anything is signed.

use crate::normal::Z95;
use crate::schema::{EntryKind, Schema};
use libm::sqrt;
use serde::{Deserialize, Serialize};

/// Correlation assumed between two views of one record unless something better is known: about that of real
/// images under corruptions. Records whose views agree less get narrower intervals than planned.
pub const VIEW_CORRELATION: f64 = 0.5;
/// Correlation assumed between two models' scores on one record, for planning only.
const MODEL_CORRELATION: f64 = 0.5;

/// What a plan assumes of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Typical {
    /// A typical score, 0 to 1. Default: 0.8.
    pub score: f64,
    /// Mean correlation, 0 to 1, between being right on one view of a record and on another: 0 where the
    /// views of a record are as good as independent records, 1 where they are all right or all wrong.
    /// Default: [`VIEW_CORRELATION`]. [`super::view_correlation`] estimates it from outcomes.
    pub view_correlation: f64,
}

impl Default for Typical {
    fn default() -> Self {
        Self {
            score: 0.8,
            view_correlation: VIEW_CORRELATION,
        }
    }
}

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

/// The half widths to expect from `records` records in all, if scores are as `typical` says.
///
/// With paired statistics the mean of S views that correlate by ρ has 1/S + ρ·(S − 1)/S of the variance of
/// one, and two models correlate by one half on a record; without them the worst case is planned for, as the
/// intervals then assume it, whatever ρ. With so few records that a score will not be estimable the numbers
/// exceed 1.
pub fn expected_half_width(
    schema: &Schema,
    sigma_squared: u64,
    aggregators: u8,
    records: u64,
    typical: &Typical,
) -> Expected {
    let weight_of = |kind| {
        let at = schema.position(kind).and_then(|at| schema.entries().get(at));
        at.map_or(1.0, |entry| entry.amplitude() as f64)
    };
    let noise = sigma_squared as f64 * f64::from(aggregators);
    let count = weight_of(EntryKind::Records);
    let correct = weight_of(EntryKind::Correct { model: 0, slice: 0 });
    let (n, slices) = ((records as f64).max(1.0), schema.slices() as f64);
    let theta = typical.score.clamp(0.0, 1.0) - 0.5;
    let bernoulli = 0.25 - theta * theta;
    let through_count = theta * theta * noise / (count * count);
    let cell = noise / (4.0 * correct * correct);
    let (fraction, difference) = if schema.params().statistics.paired || schema.slices() == 1 {
        let correlation = typical.view_correlation.clamp(0.0, 1.0);
        let fraction = (1.0 + (slices - 1.0) * correlation) / slices;
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
        correlated(paired, VIEW_CORRELATION)
    }

    fn correlated(paired: bool, view_correlation: f64) -> Expected {
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
        let typical = Typical {
            view_correlation,
            ..Typical::default()
        };
        let scale = calibrate(schema.l2_sensitivity_squared(), epsilon, delta).unwrap();
        expected_half_width(&schema, scale.sigma_squared, 3, 1_200, &typical)
    }

    #[test]
    fn the_standard_challenge_resolves_a_few_points() {
        let expected = standard(true);
        assert!(expected.field.total < 0.03, "{expected:?}");
        assert!(expected.slice.total < 0.04, "{expected:?}");
        assert!(expected.field.noise < expected.field.sampling);
    }

    #[test]
    fn views_that_agree_less_say_more() {
        let [less, more] = [0.2, 0.8].map(|correlation| correlated(true, correlation));
        assert!(
            less.field.sampling < more.field.sampling && less.difference.sampling < more.difference.sampling
        );
        assert_eq!(less.slice, more.slice);
        // Views that always agree are one view; unpaired intervals assume just that.
        let same = correlated(true, 1.0);
        assert!((same.field.sampling - same.slice.sampling).abs() < 1e-12);
        assert_eq!(correlated(false, 0.2), correlated(false, 0.8));
    }

    #[test]
    fn pairing_narrows_what_it_is_for() {
        let (paired, plain) = (standard(true), standard(false));
        assert!(paired.field.total < plain.field.total);
        assert!(paired.difference.total < plain.difference.total);
        assert!(paired.slice.noise > plain.slice.noise);
    }
}
