//! The view that is kept and the one computed from scratch.

use super::*;
use crate::schema::Statistics;
use proptest::prelude::*;

fn layout() -> SchemaParams {
    SchemaParams {
        models: 2,
        slices: 2,
        cap: 1_000,
        statistics: Statistics {
            paired: true,
            ..Statistics::default()
        },
    }
}

fn empty() -> Series<u64> {
    let texts = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    Series::new(texts(["hare", "tortoise"]), texts(["clean", "blur"]), layout()).unwrap()
}

fn windows() -> impl Strategy<Value = Vec<SeriesWindow>> {
    let schema = Schema::new(&layout()).unwrap();
    let window = (
        1i128..2_000,
        proptest::collection::vec(-1_000i128..1_000, schema.len()),
        1u64..1_000_000,
        2u8..=5,
        1u64..50,
    );
    let window = window.prop_map(
        move |(records, noise, sigma_squared, aggregators, contributors)| {
            let weights = schema.entries().iter().map(|entry| i128::from(entry.weight));
            let mut aggregate: Vec<i128> = noise
                .iter()
                .zip(weights)
                .map(|(value, weight)| value * weight)
                .collect();
            aggregate[0] = records * i128::from(schema.entries()[0].weight);
            SeriesWindow {
                aggregate,
                sigma_squared,
                aggregators,
                contributors,
            }
        },
    );
    proptest::collection::vec(window, 1..12)
}

fn bytes(series: &Series<u64>) -> Vec<u8> {
    serde_json::to_vec(&series.view()).unwrap()
}

proptest! {
    #[test]
    fn the_view_that_is_kept_equals_the_one_from_scratch(windows in windows(), turn in 0usize..12) {
        let mut numbered: Vec<(u64, SeriesWindow)> = (0..).zip(windows).collect();
        let mut scratch = empty();
        for (key, window) in &numbered {
            scratch.insert(*key, window).unwrap();
        }
        let by = turn % numbered.len();
        numbered.rotate_left(by);
        let mut kept = empty();
        for (key, window) in &numbered {
            prop_assert!(kept.insert(*key, window).unwrap());
            // Looking at the view in between, and inserting again, changes nothing.
            let _ = kept.view();
            prop_assert!(!kept.insert(*key, window).unwrap());
        }
        prop_assert_eq!(bytes(&kept), bytes(&scratch));
    }
}

#[test]
fn a_single_window_pools_to_its_own_table() {
    let schema = Schema::new(&layout()).unwrap();
    let mut aggregate = vec![1_000i128; schema.len()];
    aggregate[0] = 800 * i128::from(schema.entries()[0].weight);
    let window = SeriesWindow {
        aggregate,
        sigma_squared: 500,
        aggregators: 3,
        contributors: 4,
    };
    let mut series = empty();
    assert!(series.view().pooled.is_none());
    series.insert(9, &window).unwrap();
    let view = series.view();
    assert_eq!(WindowScores::from(view.pooled.clone().unwrap()), view.windows[&9]);
}

#[test]
fn pooling_narrows_the_intervals() {
    let schema = Schema::new(&layout()).unwrap();
    let mut aggregate = vec![0i128; schema.len()];
    aggregate[0] = 800 * i128::from(schema.entries()[0].weight);
    let window = SeriesWindow {
        aggregate,
        sigma_squared: 5_000,
        aggregators: 3,
        contributors: 4,
    };
    let mut series = empty();
    for key in 0..9 {
        series.insert(key, &window).unwrap();
    }
    let width = |score: &Score| score.full().map(|full| full.high.0 - full.low.0).unwrap();
    let view = series.view();
    let (one, all) = (
        width(&view.windows[&0].fields[0]),
        width(&view.pooled.as_ref().unwrap().rows[0].field),
    );
    assert!((2 * one..4 * one).contains(&(all * 9)), "{one} {all}");
}

#[test]
fn a_window_of_another_layout_is_refused_and_changes_nothing() {
    let mut series = empty();
    let window = SeriesWindow {
        aggregate: vec![1; 3],
        sigma_squared: 5,
        aggregators: 3,
        contributors: 4,
    };
    assert!(series.insert(1, &window).is_err());
    assert!(series.view().windows.is_empty());
}
