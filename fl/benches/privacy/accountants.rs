//! The accountants on the reference figures: the privacy loss distribution of every row that has one,
//! with their median, and the whole answer of every row.

use std::hint::black_box;

use fieldmark_fl::privacy::reference::{self, Row as Reference};

use super::{Row, median, median_ms};

/// What a row of the reference may take, and what half of the rows may take.
const ROW_MS_GOAL: f64 = 1000.0;
const MEDIAN_MS_GOAL: f64 = 100.0;
const RUNS: usize = 3;

/// Prints each number as soon as it is measured.
pub(super) fn rows(print: &mut dyn FnMut(Row)) {
    let Ok(references) = reference::read(include_bytes!("../../tests/data/dp_reference.csv")) else {
        return;
    };
    let mut losses: Vec<f64> = Vec::new();
    for row in &references {
        if let Some(value) = loss_distribution_ms(row) {
            losses.push(value);
            print(milliseconds(
                format!("pld {} {}", row.id, row.mechanism),
                value,
                ROW_MS_GOAL,
            ));
        }
    }
    print(milliseconds(
        "pld median".to_owned(),
        median(&mut losses),
        MEDIAN_MS_GOAL,
    ));
    let mut answers: Vec<f64> = Vec::new();
    for row in &references {
        answers.push(median_ms(RUNS, || {
            let _ = black_box(row.figure());
        }));
    }
    let slowest = answers.iter().copied().fold(0.0, f64::max);
    print(milliseconds(
        "answer median".to_owned(),
        median(&mut answers),
        MEDIAN_MS_GOAL,
    ));
    print(milliseconds("answer slowest".to_owned(), slowest, ROW_MS_GOAL));
}

/// Milliseconds for the bounds of the loss distribution, if the row has one.
fn loss_distribution_ms(row: &Reference) -> Option<f64> {
    let (composition, delta) = (row.composition().ok()?, row.delta().ok()?);
    composition.pld_bound(delta)?;
    Some(median_ms(RUNS, || {
        let _ = black_box(composition.pld_bound(delta));
    }))
}

fn milliseconds(name: String, value: f64, baseline: f64) -> Row {
    Row {
        name,
        value,
        unit: "ms",
        baseline,
        baseline_name: "goal",
    }
}
