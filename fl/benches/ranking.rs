//! What rankings and boards cost in time.
//!
//! `cargo bench --profile dev -p fieldmark-fl --bench ranking -- [--json]` prints one line for each
//! number: {name, value, unit, baseline, baseline_name, ratio}; a ratio is value over baseline, and
//! every baseline but the goals is measured in the same run.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench reads the clock and prints"
)]

use std::hint::black_box;
use std::time::Instant;

use fieldmark_fl::board::{Series, SeriesWindow};
use fieldmark_fl::bradley_terry::{Dependence, PairCount, fit};
use fieldmark_fl::interval::Estimate;
use fieldmark_fl::schema::{Schema, SchemaParams, Statistics};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;

/// Models of the tournament.
const MODELS: u16 = 50;
/// Comparisons of the tournament.
const COMPARISONS: u32 = 100_000;
/// Aggregates behind the board.
const WINDOWS: u64 = 1_000;
/// Runs whose median is taken.
const RUNS: usize = 9;

fn main() {
    let as_json = std::env::args().any(|argument| argument == "--json");
    let print = |name: &str, value: f64, baseline: f64, baseline_name: &str| {
        let ratio = value / baseline;
        if as_json {
            let line = json!({
                "name": name, "value": value, "unit": "ms",
                "baseline": baseline, "baseline_name": baseline_name, "ratio": ratio,
            });
            println!("{line}");
        } else {
            println!("{name:<44} {value:>10.3} ms {ratio:>8.3} of {baseline:.3} ({baseline_name})");
        }
    };
    let pairs = tournament();
    let fitted = median_ms(|| {
        let fit = fit(usize::from(MODELS), black_box(&pairs), Dependence::Independent);
        assert!(
            fit.is_ok_and(|fit| fit.is_ok_and(|fit| fit.separable)),
            "the tournament has strengths"
        );
    });
    let plain = median_ms(|| {
        black_box(minorise_maximise(black_box(&pairs)));
    });
    let name = "bradley-terry/50-models-100000-comparisons";
    print(name, fitted, 200.0, "goal");
    print(name, fitted, plain, "minorise-maximise to 1e-9, no intervals");

    let windows = windows();
    let scratch = median_ms(|| {
        black_box(json_of(&kept(&windows)));
    });
    print("board/1000-aggregates-recomputed", scratch, 50.0, "goal");
    let all_but_one = kept(windows.get(1..).unwrap_or_default());
    let mut copies: Vec<Series<u64>> = (0..RUNS).map(|_| all_but_one.clone()).collect();
    let mut incremental = Vec::new();
    for series in &mut copies {
        let start = Instant::now();
        if let Some(window) = windows.first() {
            assert!(
                series.insert(WINDOWS, window).is_ok_and(|new| new),
                "the window fits"
            );
        }
        black_box(series.view());
        incremental.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let incremental = median(&mut incremental);
    print("board/1000-aggregates-one-more", incremental, 5.0, "goal");
    print(
        "board/1000-aggregates-one-more",
        incremental,
        scratch,
        "recomputed from all aggregates",
    );
}

/// Milliseconds of one run: the median.
fn median_ms(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    median(&mut times)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Every pair of models compared about equally often, strengths from −2 to 2, with the noise of three
/// aggregators in the counts.
fn tournament() -> Vec<PairCount> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let count = u32::from(MODELS) * u32::from(MODELS - 1) / 2;
    let strength = |model: u16| f64::from(model) * 4.0 / f64::from(MODELS - 1) - 2.0;
    let mut pairs = Vec::new();
    for first in 0..MODELS {
        for second in first + 1..MODELS {
            let at = u32::try_from(pairs.len()).unwrap_or(0);
            let games = COMPARISONS / count + u32::from(at < COMPARISONS % count);
            let chance = 1.0 / (1.0 + (strength(second) - strength(first)).exp());
            let wins = (0..games)
                .filter(|_| f64::from(rng.next_u32()) < chance * 2f64.powi(32))
                .count();
            let noisy = |value: f64, rng: &mut ChaCha8Rng| Estimate {
                value: value + f64::from(rng.next_u32() % 9) - 4.0,
                variance: 20.0 / 3.0,
            };
            pairs.push(PairCount {
                first,
                second,
                wins: noisy(wins as f64, &mut rng),
                losses: noisy(f64::from(games) - wins as f64, &mut rng),
            });
        }
    }
    pairs
}

/// Hunter's iteration (2004), the usual way to fit without intervals: counts below zero count as zero.
fn minorise_maximise(pairs: &[PairCount]) -> Vec<f64> {
    let models = usize::from(MODELS);
    let mut odds = vec![1.0f64; models];
    loop {
        let (mut wins, mut games) = (vec![0.0; models], vec![0.0; models]);
        for pair in pairs {
            let (a, b) = (usize::from(pair.first), usize::from(pair.second));
            let (won, lost) = (pair.wins.value.max(0.0), pair.losses.value.max(0.0));
            let of = |at: usize| odds.get(at).copied().unwrap_or(1.0);
            let weight = (won + lost) / (of(a) + of(b));
            for (at, count) in [(a, won), (b, lost)] {
                wins.get_mut(at).into_iter().for_each(|sum| *sum += count);
                games.get_mut(at).into_iter().for_each(|sum| *sum += weight);
            }
        }
        let mut next: Vec<f64> = wins
            .iter()
            .zip(&games)
            .map(|(wins, games)| wins / games)
            .collect();
        let mean = next.iter().map(|odds| odds.ln()).sum::<f64>() / models as f64;
        next.iter_mut().for_each(|odds| *odds /= mean.exp());
        let change = next
            .iter()
            .zip(&odds)
            .map(|(new, old)| (new / old).ln().abs())
            .fold(0.0, f64::max);
        odds = next;
        if change < 1e-9 {
            return odds.iter().map(|odds| odds.ln()).collect();
        }
    }
}

fn layout() -> SchemaParams {
    SchemaParams {
        models: 3,
        slices: 5,
        cap: 1_000,
        statistics: Statistics {
            paired: true,
            ..Statistics::default()
        },
    }
}

/// Plausible aggregates: about a thousand records each, rates around 0.8.
fn windows() -> Vec<SeriesWindow> {
    let Ok(schema) = Schema::new(&layout()) else {
        return Vec::new();
    };
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut window = || SeriesWindow {
        aggregate: schema
            .entries()
            .iter()
            .map(|entry| {
                let records = 1_000 + i128::from(rng.next_u32() % 100);
                let share = if entry.centred { 60 } else { 100 };
                records * i128::from(entry.amplitude()) * share / 100
            })
            .collect(),
        sigma_squared: 4_000_000,
        aggregators: 3,
        contributors: 5,
    };
    (0..WINDOWS).map(|_| window()).collect()
}

fn kept(windows: &[SeriesWindow]) -> Series<u64> {
    let names = |prefix: &str, count: u16| (0..count).map(|at| format!("{prefix}-{at}")).collect();
    let series = Series::new(names("model", 3), names("slice", 5), layout());
    let mut series = series.unwrap_or_else(|error| panic!("the layout is sound: {error}"));
    for (key, window) in (0..).zip(windows) {
        assert!(series.insert(key, window).is_ok(), "the window fits");
    }
    series
}

/// The view as bytes, so that everything in it is really made.
fn json_of(series: &Series<u64>) -> Vec<u8> {
    serde_json::to_vec(&series.view()).unwrap_or_default()
}
