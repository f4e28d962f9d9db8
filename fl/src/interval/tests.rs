//! Scores from known vectors.

use super::*;
use crate::schema::{Schema, SchemaParams, Statistics};

fn schema(slices: u16, paired: bool) -> Schema {
    let statistics = Statistics {
        paired,
        calibration: paired,
        extra: crate::schema::Extra::PLAIN,
    };
    Schema::new(&SchemaParams {
        models: 2,
        slices,
        cap: 1_000,
        statistics,
    })
    .unwrap()
}

/// 1,000 records, the first model right on 80% and the second on 60% in both slices.
fn release(sigma_squared: u64, paired: bool) -> Release {
    let schema = schema(2, paired);
    let outcomes: Vec<_> = (0..1_000)
        .map(|record| crate::schema::RecordOutcome {
            correct: vec![vec![record % 10 < 8; 2], vec![record % 10 < 6; 2]],
            confidence: vec![vec![0.9; 2]; 2],
            details: None,
        })
        .collect();
    let vector = schema.release(&schema.measure(&outcomes).unwrap());
    Release::new(&schema, &vector, sigma_squared, 3).unwrap()
}

fn width(interval: Interval) -> i64 {
    interval.high.0 - interval.low.0
}

#[test]
fn without_noise_scores_are_exact_and_sampling_remains() {
    let release = release(0, true);
    let Score::Estimated {
        value,
        noise,
        full,
        conservative,
        bound,
    } = field_score(&release, 0)
    else {
        panic!("estimable");
    };
    assert_eq!(value, Micro(800_000));
    assert_eq!(width(noise), 0);
    assert!(!conservative && !bound);
    // Both slices always agree, so the mean has the full Bernoulli variance: Wilson's interval.
    assert!(
        (full.low.0 - 774_100).abs() < 300 && (full.high.0 - 823_600).abs() < 300,
        "{full:?}"
    );
    assert_eq!(slice_score(&release, 1, 1).value(), Some(Micro(600_000)));
}

#[test]
fn noise_widens_both_intervals() {
    let (quiet, noisy) = (release(1_000, true), release(10_000_000, true));
    let (quiet, noisy) = (slice_score(&quiet, 0, 0), slice_score(&noisy, 0, 0));
    assert!(width(noisy.noise().unwrap()) > width(quiet.noise().unwrap()));
    assert!(width(noisy.full().unwrap()) > width(quiet.full().unwrap()));
}

#[test]
fn without_squares_the_field_score_is_conservative_and_wider() {
    let schema = schema(2, true);
    let outcomes: Vec<_> = (0..1_000)
        .map(|record| crate::schema::RecordOutcome {
            correct: vec![vec![record % 2 == 0, record % 2 == 1]; 2],
            confidence: vec![vec![0.9; 2]; 2],
            details: None,
        })
        .collect();
    let paired = Release::new(
        &schema,
        &schema.release(&schema.measure(&outcomes).unwrap()),
        1,
        2,
    )
    .unwrap();
    let plain = self::schema(2, false);
    let vector = plain.release(&plain.measure(&outcomes).unwrap());
    let plain = Release::new(&plain, &vector, 1, 2).unwrap();
    let (paired, plain) = (field_score(&paired, 0), field_score(&plain, 0));
    assert!(matches!(
        plain,
        Score::Estimated {
            conservative: true,
            ..
        }
    ));
    // Every record has exactly one of two right: the mean does not vary at all.
    assert!(width(paired.full().unwrap()) < width(plain.full().unwrap()) / 5);
}

#[test]
fn one_slice_needs_no_squares() {
    let schema = Schema::new(&SchemaParams {
        models: 1,
        slices: 1,
        cap: 10,
        statistics: Statistics::default(),
    });
    let schema = schema.unwrap();
    let weight = i128::from(schema.entries()[0].weight);
    let release = Release::new(&schema, &[1_000 * weight, 0], 100, 3).unwrap();
    assert!(matches!(
        field_score(&release, 0),
        Score::Estimated {
            conservative: false,
            ..
        }
    ));
    assert_eq!(field_score(&release, 0), slice_score(&release, 0, 0));
}

#[test]
fn too_few_records_are_not_estimable() {
    let schema = schema(2, true);
    let sigma_squared = 10_000_000u64;
    let tenth = i128::from((3 * sigma_squared).isqrt()) / 10;
    for (tenths, estimable) in [(-30, false), (0, false), (49, false), (51, true)] {
        let mut vector = vec![0i128; schema.len()];
        vector[0] = tenths * tenth;
        let release = Release::new(&schema, &vector, sigma_squared, 3).unwrap();
        assert_eq!(field_score(&release, 0).value().is_some(), estimable, "{tenths}");
        assert_eq!(slice_score(&release, 0, 1).value().is_some(), estimable);
        assert_eq!(calibration_gap(&release, 0).is_some(), estimable);
    }
    assert!(
        field_score(&Release::new(&schema, &vec![0; schema.len()], 0, 3).unwrap(), 0)
            .value()
            .is_none()
    );
}

#[test]
fn scores_stay_between_zero_and_one_whatever_the_vector() {
    let schema = schema(2, true);
    for sign in [-1i128, 1] {
        let mut vector = vec![sign << 40; schema.len()];
        vector[0] = 1 << 25;
        let release = Release::new(&schema, &vector, 1_000, 3).unwrap();
        for score in [field_score(&release, 0), slice_score(&release, 1, 0)] {
            let (full, noise) = (score.full().unwrap(), score.noise().unwrap());
            assert!(
                full.low.0 >= 0 && full.high.0 <= 1_000_000 && noise.low.0 >= 0 && noise.high.0 <= 1_000_000
            );
        }
    }
}

#[test]
fn the_calibration_gap_is_confidence_less_score() {
    let (gap, interval) = calibration_gap(&release(0, true), 0).unwrap();
    assert_eq!(gap, Micro(100_000));
    assert_eq!(width(interval), 0);
    assert!(calibration_gap(&release(0, false), 0).is_none());
}

#[test]
fn vectors_that_cannot_be_sums_are_refused() {
    let schema = schema(2, false);
    assert!(matches!(
        Release::new(&schema, &[0; 3], 1, 3),
        Err(ReleaseError::Length { .. })
    ));
    let mut vector = vec![0; schema.len()];
    vector[2] = 1 << 100;
    let error = Release::new(&schema, &vector, 1, 3).unwrap_err();
    assert_eq!(
        error,
        ReleaseError::Value {
            entry: 2,
            found: 1 << 100
        }
    );
}
