//! Coverage of the intervals over 3,000 seeded challenges, without cryptography: outcomes from the
//! synthetic scenario, measured and released as a contributor would, noised by three aggregators
//! with the exact sampler, and read as a board reads them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "helpers of a test, over tables of fixed shape"
)]

use fieldmark_fl::interval::{
    Interval, Release, Score, Typical, expected_half_width, field_score, slice_score,
};
use fieldmark_fl::noise::discrete_gaussian;
use fieldmark_fl::privacy::{Delta, Epsilon, calibrate};
use fieldmark_fl::schema::{Schema, SchemaParams, Statistics};
use fieldmark_fl::synthetic::{Population, Scenario};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const SEEDS: u64 = 3_000;
const AGGREGATORS: u8 = 3;

/// How often intervals held what they should, and their mean half widths.
#[derive(Default)]
struct Tally {
    trials: u32,
    noise_hits: u32,
    full_hits: u32,
    noise_width: f64,
    full_width: f64,
}

impl Tally {
    fn add(&mut self, score: Score, pooled: f64, truth: f64) {
        let (noise, full) = (score.noise().unwrap(), score.full().unwrap());
        let holds = |interval: Interval, value: f64| {
            interval.low.to_f64() - 1e-6 <= value && value <= interval.high.to_f64() + 1e-6
        };
        let half = |interval: Interval| (interval.high.0 - interval.low.0) as f64 / 2e6;
        self.trials += 1;
        self.noise_hits += u32::from(holds(noise, pooled));
        self.full_hits += u32::from(holds(full, truth));
        self.noise_width += half(noise);
        self.full_width += half(full);
    }

    /// Coverage of the noise-only and the full interval, half width of both.
    fn figures(&self) -> [f64; 4] {
        let trials = f64::from(self.trials);
        [
            f64::from(self.noise_hits) / trials,
            f64::from(self.full_hits) / trials,
            self.noise_width / trials,
            self.full_width / trials,
        ]
    }
}

fn pooled_rate(population: &Population, model: usize, slice: usize) -> f64 {
    let all = population.contributors.iter().flatten();
    let (correct, total) = all.fold((0u32, 0u32), |(correct, total), outcome| {
        (correct + u32::from(outcome.correct[model][slice]), total + 1)
    });
    f64::from(correct) / f64::from(total)
}

fn released(schema: &Schema, population: &Population, sigma_squared: u64, seed: u64) -> Vec<i128> {
    let mut vector = vec![0i128; schema.len()];
    for outcomes in &population.contributors {
        let one = schema.release(&schema.measure(outcomes).unwrap());
        vector
            .iter_mut()
            .zip(one)
            .for_each(|(total, value)| *total += value);
    }
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    for value in &mut vector {
        for _ in 0..AGGREGATORS {
            *value += discrete_gaussian(sigma_squared, &mut rng).unwrap();
        }
    }
    vector
}

/// Three models, five slices, (2, 1e-6)-differential privacy.
fn layout(paired: bool) -> (Schema, u64) {
    let statistics = Statistics {
        paired,
        calibration: false,
        extra: fieldmark_fl::schema::Extra::PLAIN,
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
    (schema, scale.sigma_squared)
}

fn run(scenario: &Scenario, paired: bool, seeds: u64) -> (Tally, Tally) {
    let (schema, sigma_squared) = layout(paired);
    let (mut fields, mut slices) = (Tally::default(), Tally::default());
    for seed in 0..seeds {
        let population = scenario.sample(seed);
        let vector = released(&schema, &population, sigma_squared, seed);
        let release = Release::new(&schema, &vector, sigma_squared, AGGREGATORS).unwrap();
        for model in 0..3 {
            let pooled: Vec<f64> = (0..5)
                .map(|slice| pooled_rate(&population, model, slice))
                .collect();
            let index = model as u16;
            let mean = pooled.iter().sum::<f64>() / 5.0;
            fields.add(field_score(&release, index), mean, population.true_field[model]);
            for (slice, &rate) in pooled.iter().enumerate() {
                let truth = population.true_slices[model][slice];
                slices.add(slice_score(&release, index, slice as u16), rate, truth);
            }
        }
    }
    let cell = schema.entries()[1].weight as f64;
    println!(
        "σ² = {}, σ = {:.3} cells",
        sigma_squared,
        (sigma_squared as f64).sqrt() / (2.0 * cell)
    );
    println!(
        "paired {paired}: field [noise cover, full cover, noise half, full half] {:.4?}",
        fields.figures()
    );
    println!(
        "paired {paired}: slice [noise cover, full cover, noise half, full half] {:.4?}",
        slices.figures()
    );
    (fields, slices)
}

#[test]
fn intervals_cover_what_they_promise_and_are_narrow_enough_to_use() {
    let (fields, slices) = run(&Scenario::standard(), true, SEEDS);
    for (tally, widest) in [(&fields, 0.04), (&slices, 0.08)] {
        let [noise_cover, full_cover, _, full_half] = tally.figures();
        assert!(
            (noise_cover - 0.95).abs() < 0.015,
            "noise-only interval covers {noise_cover}"
        );
        assert!(full_cover >= 0.935, "full interval covers {full_cover}");
        assert!(full_half <= widest, "half width {full_half}");
    }
    // What `challenge plan` prints before anything is signed comes true, if it is told how much the views of a
    // record agree; here less than those of real images, which it assumes otherwise.
    let typical = Typical {
        score: 0.75,
        view_correlation: Scenario::standard().view_correlation(),
    };
    assert!((0.25..0.45).contains(&typical.view_correlation), "{typical:?}");
    let (schema, sigma_squared) = layout(true);
    let expected = expected_half_width(&schema, sigma_squared, AGGREGATORS, 1_200, &typical);
    for (tally, planned) in [(&fields, expected.field), (&slices, expected.slice)] {
        let [_, _, noise_half, full_half] = tally.figures();
        assert!(
            (planned.noise / noise_half - 1.0).abs() < 0.1,
            "{planned:?} against {noise_half}"
        );
        assert!(
            (planned.total / full_half - 1.0).abs() < 0.1,
            "{planned:?} against {full_half}"
        );
    }
}

#[test]
fn without_pairs_intervals_are_wider_and_still_cover() {
    let (fields, slices) = run(&Scenario::standard(), false, 300);
    for tally in [fields, slices] {
        let [noise_cover, full_cover, ..] = tally.figures();
        assert!(
            (noise_cover - 0.95).abs() < 0.03,
            "noise-only interval covers {noise_cover}"
        );
        assert!(full_cover >= 0.93, "full interval covers {full_cover}");
    }
}

#[test]
fn small_batches_and_nearly_perfect_models_are_covered_too() {
    let standard = Scenario::standard();
    let small = Scenario {
        records: 60,
        ..standard.clone()
    };
    let perfect = Scenario {
        skill: vec![3.2, 3.0, 2.8],
        severity: vec![0.5; 5],
        ..standard
    };
    for scenario in [small, perfect] {
        let (fields, slices) = run(&scenario, true, 600);
        for tally in [fields, slices] {
            let [_, full_cover, ..] = tally.figures();
            assert!(full_cover >= 0.935, "full interval covers {full_cover}");
        }
    }
}
