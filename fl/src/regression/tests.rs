//! What a regression claims.

use super::*;
use crate::noise::discrete_gaussian;
use crate::schema::{RecordOutcome, Schema, SchemaParams, Statistics};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const SIGMA_SQUARED: u64 = 100;

/// A board of two models; `rates[model][slice]` in percent, every record drawn on its own.
fn board(rates: [[u32; 3]; 2], records: usize, seed: u64) -> Release {
    let params = SchemaParams {
        models: 2,
        slices: 3,
        cap: 10_000,
        statistics: Statistics {
            paired: false,
            calibration: false,
            ..Statistics::default()
        },
    };
    let schema = Schema::new(&params).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut right = |rate: u32| rng.next_u32() % 100 < rate;
    let outcomes: Vec<_> = (0..records)
        .map(|_| RecordOutcome {
            correct: rates.map(|model| model.map(&mut right).to_vec()).to_vec(),
            confidence: vec![vec![0.5; 3]; 2],
            details: None,
        })
        .collect();
    let mut vector = schema.release(&schema.measure(&outcomes).unwrap());
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0xffff);
    for value in &mut vector {
        for _ in 0..3 {
            *value += discrete_gaussian_of(&mut rng);
        }
    }
    Release::new(&schema, &vector, SIGMA_SQUARED, 3).unwrap()
}

fn discrete_gaussian_of(rng: &mut ChaCha20Rng) -> i128 {
    discrete_gaussian(SIGMA_SQUARED, rng).unwrap()
}

fn slices(drops: &[Drop]) -> Vec<u16> {
    drops.iter().map(|drop| drop.slice).collect()
}

#[test]
fn the_slice_that_fell_is_named_and_only_it() {
    let release = board([[90, 60, 85], [90, 90, 85]], 2_000, 1);
    let found = on_one_board(&release, 0, 1);
    assert_eq!(slices(&found), [1]);
    assert!(found[0].interval.high < Micro(0) && found[0].interval.low < found[0].difference);
    assert!((found[0].difference.to_f64() + 0.3).abs() < 0.05, "{found:?}");
    assert!(
        on_one_board(&release, 1, 0).is_empty(),
        "the older fell, not the newer"
    );
}

#[test]
fn across_boards_only_slices_of_equal_name_are_compared() {
    let newer = board([[90, 60, 85], [50, 50, 50]], 2_000, 2);
    let older = board([[10, 10, 10], [90, 60, 90]], 2_000, 3);
    let standing = |release, model| Standing { release, model };
    // The newer board's slice 1 is called like the older's slice 2.
    let found = across_boards(standing(&newer, 0), standing(&older, 1), &[(0, 0), (1, 2)]);
    assert_eq!(slices(&found), [1]);
    assert!(across_boards(standing(&newer, 0), standing(&older, 1), &[]).is_empty());
}

#[test]
fn too_few_records_and_places_outside_a_board_find_nothing() {
    let few = board([[0; 3], [100; 3]], 1, 4);
    assert!(on_one_board(&few, 0, 1).is_empty());
    let release = board([[0; 3], [100; 3]], 2_000, 5);
    assert!(on_one_board(&release, 0, 0).is_empty());
    assert!(on_one_board(&release, 0, 2).is_empty());
    let outside = Standing {
        release: &release,
        model: 7,
    };
    assert!(across_boards(outside, outside, &[(0, 0), (9, 9)]).is_empty());
}

#[test]
fn equal_releases_are_called_regressions_in_less_than_one_of_twenty() {
    let rates = [[80, 70, 60]; 2];
    let (mut one, mut across) = (0, 0);
    for seed in 0..400 {
        let release = board(rates, 300, seed);
        let other = board(rates, 300, seed + 10_000);
        one += usize::from(!on_one_board(&release, 0, 1).is_empty());
        let standing = |release| Standing { release, model: 0 };
        let pairs = [(0, 0), (1, 1), (2, 2)];
        across += usize::from(!across_boards(standing(&release), standing(&other), &pairs).is_empty());
    }
    assert!(one <= 20 && across <= 20, "{one} and {across} of 400");
}
