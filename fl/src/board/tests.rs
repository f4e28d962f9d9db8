//! What a reader sees.

use super::*;
use crate::schema::{RecordOutcome, Statistics};

fn input() -> BoardInput {
    let statistics = Statistics {
        paired: true,
        calibration: true,
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
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), GOLDEN);
    let read: ScoreTable = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read, board(&input()).unwrap());
}

const GOLDEN: &str = "2dc87182c61cec6530ebdcc6e2bbdd0870fb055f415be5d6f85ce85af464ef34";

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
