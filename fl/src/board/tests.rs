//! What a reader sees.

use super::*;
use crate::schema::{RecordOutcome, Statistics};

fn input() -> BoardInput {
    let statistics = Statistics {
        paired: true,
        calibration: true,
        extra: crate::schema::Extra::PLAIN,
    };
    let schema = SchemaParams {
        models: 2,
        slices: 2,
        cap: 300,
        statistics,
    };
    let layout = Schema::new(&schema).unwrap();
    let outcomes: Vec<_> = (0..300)
        .map(|record| RecordOutcome {
            correct: vec![
                vec![record % 10 < 9, record % 10 < 5],
                vec![record % 10 < 7, record % 10 < 6],
            ],
            confidence: vec![vec![0.8; 2]; 2],
            details: None,
        })
        .collect();
    let one = layout.release(&layout.measure(&outcomes).unwrap());
    BoardInput {
        models: vec!["hare".to_owned(), "tortoise".to_owned()],
        slices: vec!["clean".to_owned(), "blur".to_owned()],
        schema,
        aggregate: one.iter().map(|value| value * 4).collect(),
        sigma_squared: 2_000,
        aggregators: 3,
        contributors: 4,
    }
}

#[test]
fn a_row_shows_the_mean_the_slices_and_the_worst() {
    let table = board(&input()).unwrap();
    let hare = &table.rows[0];
    assert_eq!(hare.model, "hare");
    assert_eq!(hare.field.value(), Some(Micro(700_000)));
    assert_eq!(hare.slices[1].score.value(), Some(Micro(500_000)));
    assert_eq!(hare.worst_slice, Some(1));
    assert_eq!(hare.calibration.unwrap().value, Micro(100_000));
    assert_eq!(table.records.value, Micro(1_200_000_000));
    assert_eq!(table.influence, Some(Micro(250_000)));
    assert_eq!(table.contributors, 4);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bytes = serde_json::to_vec(&board(&input()).unwrap()).unwrap();
    let before = without_across(std::str::from_utf8(&bytes).unwrap());
    assert_eq!(blake3::hash(before.as_bytes()).to_hex().as_str(), GOLDEN);
    let read: ScoreTable = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read, board(&input()).unwrap());
}

/// A table as it was before rows had an interval for comparisons with other windows.
fn without_across(text: &str) -> String {
    let mut parts = text.split("\"across\":");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + part.split_once("},").unwrap().1)
}

const GOLDEN: &str = "d7c8a82e8f80f4e71b8c449c4f8d38eb57ab6c4b35fb51a69166d7f3a89eb68e";

#[test]
fn an_empty_batch_gives_a_table_that_says_so() {
    let mut input = input();
    input.aggregate = vec![0; input.aggregate.len()];
    let table = board(&input).unwrap();
    assert!(
        table
            .rows
            .iter()
            .all(|row| row.field.value().is_none() && row.worst_slice.is_none())
    );
    assert_eq!(table.influence, None);
    assert!(!table.separable);
}

#[test]
fn names_and_lengths_are_checked() {
    let mut short = input();
    short.models.pop();
    assert_eq!(
        board(&short).unwrap_err(),
        BoardError::Names {
            axis: "models",
            expected: 2,
            found: 1
        }
    );
    let mut cut = input();
    cut.aggregate.pop();
    assert!(matches!(board(&cut), Err(BoardError::Release(_))));
    let mut none = input();
    none.schema.models = 0;
    assert!(matches!(board(&none), Err(BoardError::Schema(_))));
}

#[test]
fn weights_move_the_field_score_and_widen_its_interval() {
    let input = input();
    let equal = board(&input).unwrap();
    let weights = |weights: &[f64]| Weights::new(weights).unwrap();
    let weighted = weighted_board(&input, &weights(&[3.0, 1.0])).unwrap();
    let hare = &weighted.rows[0];
    assert_eq!(hare.field.value(), Some(Micro(800_000)));
    assert!(hare.field.marked() && hare.slices == equal.rows[0].slices);
    let one = weighted_board(&input, &weights(&[0.0, 5.0])).unwrap();
    let (field, slice) = (one.rows[0].field, one.rows[0].slices[1].score);
    assert_eq!(
        (field.value(), field.noise(), field.full()),
        (slice.value(), slice.noise(), slice.full())
    );
    assert_eq!(weighted_board(&input, &weights(&[2.0, 2.0])).unwrap(), equal);
    assert!(matches!(
        weighted_board(&input, &weights(&[1.0])),
        Err(BoardError::Names { axis: "weights", .. })
    ));
}

#[test]
fn a_weighted_score_covers_the_truth() {
    use crate::noise::{DiscreteGaussian, Ratio};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    let scenario = crate::synthetic::Scenario::standard();
    let schema = SchemaParams {
        models: 3,
        slices: 5,
        cap: 400,
        statistics: Statistics {
            paired: true,
            ..Statistics::default()
        },
    };
    let layout = Schema::new(&schema).unwrap();
    let (sigma_squared, shares) = (layout.l2_sensitivity_squared() * 2, [4.0, 1.0, 0.0, 2.0, 1.0]);
    let noise = DiscreteGaussian::new(Ratio::from(sigma_squared)).unwrap();
    let (mut hits, mut ranked) = (0, 0);
    for seed in 0..200 {
        let population = scenario.sample(seed);
        let mut aggregate = vec![0i128; layout.len()];
        for outcomes in &population.contributors {
            let one = layout.release(&layout.measure(outcomes).unwrap());
            aggregate
                .iter_mut()
                .zip(one)
                .for_each(|(sum, value)| *sum += value);
        }
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        aggregate
            .iter_mut()
            .for_each(|value| *value += (0..3).map(|_| noise.sample(&mut rng)).sum::<i128>());
        let names = |count: usize| (0..count).map(|at| at.to_string()).collect();
        let input = BoardInput {
            models: names(3),
            slices: names(5),
            schema,
            aggregate,
            sigma_squared,
            aggregators: 3,
            contributors: 5,
        };
        let table = weighted_board(&input, &Weights::new(&shares).unwrap()).unwrap();
        for (row, rates) in table.rows.iter().zip(&population.true_slices) {
            let truth = rates
                .iter()
                .zip(shares)
                .map(|(rate, share)| rate * share)
                .sum::<f64>()
                / 8.0;
            let full = row.field.full().unwrap();
            hits += u32::from(full.low.to_f64() <= truth && truth <= full.high.to_f64());
        }
        ranked += u32::from(
            (1..)
                .zip(&table.rows)
                .all(|(rank, row)| row.rank.best <= rank && rank <= row.rank.worst),
        );
    }
    assert!(hits >= 570, "{hits} of 600");
    assert!(ranked >= 190, "{ranked} of 200");
}
