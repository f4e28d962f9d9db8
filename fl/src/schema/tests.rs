//! Behaviour of the layout, the sensitivity and the measurement.

use super::*;
use proptest::prelude::*;

mod details;

const PAIRED: Statistics = Statistics {
    paired: true,
    calibration: false,
    extra: Extra::PLAIN,
};
const ALL: Statistics = Statistics {
    paired: true,
    calibration: true,
    extra: Extra::PLAIN,
};

fn schema(models: u16, slices: u16, statistics: Statistics) -> Schema {
    Schema::new(&SchemaParams {
        models,
        slices,
        cap: 400,
        statistics,
    })
    .unwrap()
}

fn outcome(models: usize, slices: usize, bits: u64, confidence: f32) -> RecordOutcome {
    let bit = |index: usize| bits >> index & 1 == 1;
    RecordOutcome {
        correct: (0..models)
            .map(|m| (0..slices).map(|s| bit(m * slices + s)).collect())
            .collect(),
        confidence: vec![vec![confidence; slices]; models],
        details: None,
    }
}

#[test]
fn limits_are_named() {
    let params = SchemaParams {
        models: 17,
        slices: 1,
        cap: 1,
        statistics: PAIRED,
    };
    let error = Schema::new(&params).unwrap_err();
    assert_eq!(error.to_string(), "models is 17, must be between 1 and 16");
    assert!(
        Schema::new(&SchemaParams {
            models: 1,
            slices: 33,
            ..params
        })
        .is_err()
    );
    assert!(
        Schema::new(&SchemaParams {
            models: 1,
            cap: 0,
            ..params
        })
        .is_err()
    );
    assert!(
        Schema::new(&SchemaParams {
            models: 1,
            cap: 1_000_001,
            ..params
        })
        .is_err()
    );
}

#[test]
fn the_sensitivity_is_the_exact_maximum_over_every_possible_record() {
    for (models, slices) in [(1, 1), (1, 4), (2, 1), (2, 3), (3, 2), (3, 3), (4, 2), (2, 5)] {
        for statistics in [Statistics::default(), PAIRED, ALL] {
            let schema = schema(models, slices, statistics);
            let (rows, columns) = (schema.models(), schema.slices());
            let mut largest = 0u64;
            for bits in 0..1u64 << (rows * columns) {
                for confidence in [0.0, 0.5, 1.0] {
                    let outcome = outcome(rows, columns, bits, confidence);
                    let vector = schema.release(&schema.measure(&[outcome]).unwrap());
                    let norm: i128 = vector.iter().map(|value| value * value).sum();
                    largest = largest.max(u64::try_from(norm).unwrap());
                }
            }
            assert_eq!(
                largest,
                schema.l2_sensitivity_squared(),
                "{models}x{slices} {statistics:?}"
            );
        }
    }
}

#[test]
fn pairing_costs_less_than_a_tenth_of_the_noise() {
    for (models, slices) in [(1, 5), (2, 2), (3, 5), (5, 10), (16, 32), (16, 2)] {
        let plain = schema(models, slices, Statistics::default()).l2_sensitivity_squared() as f64;
        let paired = schema(models, slices, PAIRED).l2_sensitivity_squared() as f64;
        assert!(
            (paired / plain).sqrt() < 1.10,
            "{models}x{slices}: {}",
            (paired / plain).sqrt()
        );
    }
}

#[test]
fn the_count_weighs_about_two_cells_in_the_standard_challenge() {
    let schema = schema(3, 5, PAIRED);
    let ratio = schema.entries()[0].weight as f64 / schema.entries()[1].weight as f64;
    assert!((1.7..2.1).contains(&ratio), "{ratio}");
}

#[test]
fn a_measurement_holds_counts_squares_differences_and_confidence() {
    let schema = schema(2, 2, ALL);
    let first = RecordOutcome {
        correct: vec![vec![true, true], vec![false, true]],
        confidence: vec![vec![0.92, 1.0], vec![0.0, 0.32]],
        details: None,
    };
    let second = RecordOutcome {
        correct: vec![vec![false, false], vec![true, true]],
        confidence: vec![vec![2.0, 1.0], vec![-1.0, 0.0]],
        details: None,
    };
    let measured = schema.measure(&[first, second]).unwrap();
    assert_eq!(measured.values(), [2, 1, 1, 1, 2, 4, 5, 5, 20, 2]);
    assert_eq!(measured.records(), 2);
}

#[test]
fn a_confidence_that_is_not_finite_names_its_record() {
    let schema = schema(1, 1, ALL);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let outcomes = [outcome(1, 1, 1, 0.5), outcome(1, 1, 1, bad)];
        let error = schema.measure(&outcomes).unwrap_err();
        assert_eq!(
            error,
            MeasureError::Confidence {
                record: 1,
                model: 0,
                slice: 0
            }
        );
    }
}

#[test]
fn shapes_and_the_cap_are_checked() {
    let schema = schema(2, 2, Statistics::default());
    assert!(matches!(
        schema.measure(&[outcome(2, 3, 0, 0.0)]),
        Err(MeasureError::Shape {
            record: 0,
            expected: 2,
            found: 3,
            ..
        })
    ));
    let too_many = vec![outcome(2, 2, 5, 0.0); 401];
    assert_eq!(
        schema.measure(&too_many).unwrap_err(),
        MeasureError::TooManyRecords { found: 401, cap: 400 }
    );
    assert!(Measurement::new(&schema, vec![2, 3, 0, 0, 0]).is_err());
    assert!(Measurement::new(&schema, vec![2, 2, 0, 0]).is_err());
    assert!(Measurement::new(&schema, vec![2, 2, 0, 1, 0]).is_ok());
}

proptest! {
    #[test]
    fn a_record_contributes_the_same_whatever_its_batch(
        bits in proptest::collection::vec(0u64..1 << 6, 1..20),
        confidence in 0.0f32..1.0,
    ) {
        let schema = schema(2, 3, ALL);
        let outcomes: Vec<_> = bits.iter().map(|&bits| outcome(2, 3, bits, confidence)).collect();
        let whole = schema.release(&schema.measure(&outcomes).unwrap());
        let mut sum = vec![0i128; schema.len()];
        for outcome in &outcomes {
            let one = schema.release(&schema.measure(std::slice::from_ref(outcome)).unwrap());
            for (total, value) in sum.iter_mut().zip(one) {
                *total += value;
            }
        }
        prop_assert_eq!(whole, sum);
    }
}
