//! Metrics against their definitions without noise, and their intervals against noise.

#![expect(
    clippy::cast_possible_truncation,
    reason = "small indices, and noise rounded on purpose"
)]

use super::*;
use crate::interval::{field_score, slice_score};
use crate::rank::rank;
use crate::schema::{
    Details, EntryKind, Extra, RecordOutcome, Schema, SchemaParams, ScoreKind, Statistics, ViewOutcome,
};
use crate::synthetic::Draws;

const RANGE: (f64, f64) = (0.0, 10.0);

fn schema(models: u16, slices: u16, extra: Extra) -> Schema {
    Schema::new(&SchemaParams {
        models,
        slices,
        cap: 1_000_000,
        statistics: Statistics {
            extra,
            ..Statistics::default()
        },
    })
    .unwrap()
}

fn classification(collected: &[Statistic]) -> Extra {
    Extra {
        collected: collected.iter().copied().collect(),
        classes: 3,
        bins: 10,
        groups: 2,
        ..Extra::PLAIN
    }
}

/// Records of three classes, each with one view per slice, judged by a model that finds class 2 hard;
/// positive is class 2, and group 1 is called positive more often.
fn records(count: usize, slices: usize, seed: u64) -> Vec<RecordOutcome> {
    let mut draws = Draws::seeded(seed);
    (0..count)
        .map(|at| {
            let class = (at % 3) as u16;
            let group = (at / 3 % 2) as u16;
            let views = (0..slices)
                .map(|_| {
                    let mut logits = [0.0f32; 3];
                    for (index, logit) in logits.iter_mut().enumerate() {
                        let mean = if index == usize::from(class) { 1.5 } else { 0.0 };
                        let pull = if group == 1 && index == 2 { 0.8 } else { 0.0 };
                        *logit = (mean + pull + draws.normal()) as f32;
                    }
                    ViewOutcome::of_logits(&logits, Some(class), Some(2))
                })
                .collect();
            RecordOutcome::detailed(Details {
                class: Some(class),
                positive: Some(class == 2),
                group: Some(group),
                views: vec![views],
                ..Details::default()
            })
        })
        .collect()
}

/// A release of the records with normal noise of this squared scale from two aggregators.
fn released(schema: &Schema, records: &[RecordOutcome], sigma_squared: u64, seed: u64) -> Release {
    let mut vector = schema.release(&schema.measure(records).unwrap());
    let mut draws = Draws::seeded(seed);
    let deviation = (2.0 * sigma_squared as f64).sqrt();
    for value in &mut vector {
        *value += (deviation * draws.normal()).round() as i128;
    }
    Release::new(schema, &vector, sigma_squared, 2).unwrap()
}

fn exact(schema: &Schema, records: &[RecordOutcome]) -> Release {
    Release::new(schema, &schema.release(&schema.measure(records).unwrap()), 1, 2).unwrap()
}

fn value(found: &[Measured], metric: Metric, class: Option<u16>) -> f64 {
    let hit = found
        .iter()
        .find(|m| m.metric == metric && m.class == class && m.slice.is_none());
    hit.unwrap().value.value().unwrap().to_f64()
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() < tolerance, "{found} against {expected}");
}

fn views(records: &[RecordOutcome]) -> Vec<(&Details, ViewOutcome)> {
    let details = records.iter().map(|r| r.details.as_deref().unwrap());
    details
        .flat_map(|d| d.views[0].iter().flatten().map(move |view| (d, *view)))
        .collect()
}

#[test]
fn tables_give_the_metrics_of_their_definitions() {
    let records = records(3_000, 2, 1);
    let schema = schema(
        1,
        2,
        classification(&[
            Statistic::Confusion,
            Statistic::Brier,
            Statistic::LogLoss,
            Statistic::ScoreHistogram,
            Statistic::GroupConfusion,
            Statistic::CalibrationBins,
        ]),
    );
    let found = metrics(&exact(&schema, &records), 0, &Context::default());
    let all = views(&records);
    let share = |f: &dyn Fn(&(&Details, ViewOutcome)) -> bool| all.iter().filter(|v| f(v)).count() as f64;
    let right = share(&|(_, v)| v.correct);
    close(
        value(&found, Metric::Accuracy, None),
        right / all.len() as f64,
        1e-3,
    );
    let called = share(&|(_, v)| v.answer == Some(1));
    let both = share(&|(d, v)| v.answer == Some(1) && d.class == Some(1));
    close(value(&found, Metric::Precision, Some(1)), both / called, 2e-3);
    close(value(&found, Metric::Recall, Some(1)), both / 2_000.0, 2e-3);
    let mean = |f: fn(&ViewOutcome) -> f64| all.iter().map(|(_, v)| f(v)).sum::<f64>() / all.len() as f64;
    close(value(&found, Metric::Brier, None), mean(|v| v.brier), 1e-3);
    close(value(&found, Metric::LogLoss, None), mean(|v| v.log_loss), 1e-3);
    let rate = |group| {
        let of = share(&|(d, _)| d.group == Some(group));
        share(&|(d, v)| d.group == Some(group) && v.flagged) / of
    };
    close(
        value(&found, Metric::ParityGap, None),
        (rate(1) - rate(0)).abs(),
        3e-3,
    );
    assert!(value(&found, Metric::OddsGap, None) >= value(&found, Metric::ParityGap, None) - 0.1);
    let (positive, negative): (Vec<_>, Vec<_>) = all.iter().partition(|(d, _)| d.positive == Some(true));
    let mut above = 0.0;
    for (_, p) in positive.iter().step_by(5) {
        for (_, n) in negative.iter().step_by(5) {
            above += f64::from(u8::from(p.positive > n.positive));
        }
    }
    let pairs = (positive.len().div_ceil(5) * negative.len().div_ceil(5)) as f64;
    close(value(&found, Metric::Auroc, None), above / pairs, 0.02);
    assert!((0.0..0.2).contains(&value(&found, Metric::Ece, None)));
}

#[test]
fn the_coefficient_of_matthews_is_that_of_two_classes() {
    // 60 true positives, 30 true negatives, 20 false positives, 10 false negatives.
    let extra = Extra {
        classes: 2,
        ..classification(&[Statistic::Confusion])
    };
    let schema = schema(1, 1, extra);
    let mut records = Vec::new();
    for (class, answer, count) in [(1, 1, 6_000), (0, 0, 3_000), (0, 1, 2_000), (1, 0, 1_000)] {
        let view = ViewOutcome {
            answer: Some(answer),
            correct: class == answer,
            ..ViewOutcome::default()
        };
        let outcome = RecordOutcome::detailed(Details {
            class: Some(class),
            views: vec![vec![Some(view)]],
            ..Details::default()
        });
        records.extend(vec![outcome; count]);
    }
    let found = metrics(&exact(&schema, &records), 0, &Context::default());
    close(
        value(&found, Metric::Mcc, None),
        1_600.0 / f64::sqrt(80.0 * 70.0 * 50.0 * 40.0),
        1e-3,
    );
    close(value(&found, Metric::F1, Some(1)), 120.0 / 150.0, 1e-3);
    close(
        value(&found, Metric::F1, None),
        (120.0 / 150.0 + 60.0 / 90.0) / 2.0,
        1e-3,
    );
}

fn regression(count: usize, slope: f64, seed: u64) -> (Schema, Vec<RecordOutcome>, Vec<(f64, f64)>) {
    let extra = Extra {
        score: ScoreKind::Closeness,
        collected: [Statistic::Regression, Statistic::Drift].into_iter().collect(),
        bins: 5,
        ..Extra::PLAIN
    };
    let schema = schema(1, 1, extra);
    let mut draws = Draws::seeded(seed);
    let pairs: Vec<(f64, f64)> = (0..count)
        .map(|_| {
            let target = 10.0 * draws.uniform();
            (5.0 + slope * (target - 5.0) + 0.5 * draws.normal(), target)
        })
        .collect();
    let record = |(prediction, target): &(f64, f64)| {
        RecordOutcome::detailed(Details {
            target: Some(target / 10.0),
            views: vec![vec![ViewOutcome::of_value(*prediction, *target, RANGE)]],
            ..Details::default()
        })
    };
    let records = pairs.iter().map(record).collect();
    (schema, records, pairs)
}

#[test]
fn sums_give_the_metrics_of_a_regression() {
    let (schema, records, pairs) = regression(20_000, 0.8, 3);
    let context = Context {
        target_range: Some(RANGE),
        ..Context::default()
    };
    let found = metrics(&exact(&schema, &records), 0, &context);
    let n = pairs.len() as f64;
    let errors: Vec<f64> = pairs.iter().map(|(p, y)| p.clamp(0.0, 10.0) - y).collect();
    let square = errors.iter().map(|e| e * e).sum::<f64>() / n;
    close(value(&found, Metric::Rmse, None), square.sqrt(), 0.005);
    let absolute = errors.iter().map(|e| e.abs()).sum::<f64>() / n;
    close(value(&found, Metric::Mae, None), absolute, 0.02);
    close(
        value(&found, Metric::Bias, None),
        errors.iter().sum::<f64>() / n,
        0.02,
    );
    let mean = pairs.iter().map(|(_, y)| y).sum::<f64>() / n;
    let spread = pairs.iter().map(|(_, y)| (y - mean) * (y - mean)).sum::<f64>() / n;
    close(value(&found, Metric::R2, None), 1.0 - square / spread, 0.01);
}

#[test]
fn drift_is_zero_against_itself_and_large_against_another() {
    let (schema, records, _) = regression(5_000, 1.0, 4);
    let against = |reference: Vec<f64>| {
        let context = Context {
            target_range: Some(RANGE),
            references: vec![reference],
            ..Context::default()
        };
        metrics(&exact(&schema, &records), 0, &context)
    };
    let release = exact(&schema, &records);
    let counts: Vec<f64> = (0..5)
        .map(|cell| {
            let kind = EntryKind::Cell {
                part: Part::Drift,
                model: 0,
                slice: 0,
                cell,
            };
            release.count(kind).unwrap().value
        })
        .collect();
    let same = against(counts.clone());
    for metric in [Metric::Psi, Metric::Ks, Metric::Js] {
        close(value(&same, metric, None), 0.0, 2e-3);
    }
    let tilted = against(vec![5.0, 4.0, 3.0, 2.0, 1.0]);
    let total: f64 = counts.iter().sum();
    let mut psi = 0.0;
    for (count, weight) in counts.iter().zip([5.0, 4.0, 3.0, 2.0, 1.0]) {
        let (p, r) = (count / total, weight / 15.0);
        psi += (p - r) * f64::ln(p / r);
    }
    close(value(&tilted, Metric::Psi, None), psi, 2e-3);
    let none = against(Vec::new());
    let reasons = none.iter().filter(|m| m.metric == Metric::Psi).map(|m| m.value);
    for value in reasons {
        assert_eq!(value, MetricValue::none(Reason::NoReference));
    }
}

#[test]
fn corruption_is_measured_against_the_first_model_and_the_clean_slice() {
    let schema = Schema::new(&SchemaParams {
        models: 2,
        slices: 3,
        cap: 1_000_000,
        statistics: Statistics::default(),
    })
    .unwrap();
    // Errors of 10%, 40%, 20% and of 10%, 20%, 20%.
    let record = |tenth: usize| RecordOutcome {
        correct: vec![
            vec![tenth >= 1, tenth >= 4, tenth >= 2],
            vec![tenth >= 1, tenth >= 2, tenth >= 2],
        ],
        ..RecordOutcome::default()
    };
    let records: Vec<_> = (0..10_000).map(|at| record(at % 10)).collect();
    let context = Context {
        clean_slice: Some(0),
        ..Context::default()
    };
    let release = exact(&schema, &records);
    let (first, second) = (metrics(&release, 0, &context), metrics(&release, 1, &context));
    close(value(&first, Metric::CorruptionDrop, None), 0.2, 1e-3);
    close(value(&second, Metric::CorruptionDrop, None), 0.1, 1e-3);
    close(
        value(&second, Metric::CorruptionError, None),
        (0.5 + 1.0) / 2.0,
        2e-3,
    );
    assert!(first.iter().all(|m| m.metric != Metric::CorruptionError));
}

#[test]
fn what_drowns_in_noise_is_not_given() {
    let records = records(60, 1, 5);
    let schema = schema(
        1,
        1,
        classification(&[
            Statistic::Confusion,
            Statistic::CalibrationBins,
            Statistic::ScoreHistogram,
            Statistic::GroupConfusion,
            Statistic::Drift,
            Statistic::Brier,
        ]),
    );
    let sensitivity = schema.l2_sensitivity_squared();
    let release = released(&schema, &records, 4_000 * sensitivity, 6);
    let context = Context {
        references: vec![vec![1.0, 1.0, 1.0]],
        ..Context::default()
    };
    let found = metrics(&release, 0, &context);
    assert!(!found.is_empty());
    for measured in found {
        assert!(measured.value.value().is_none(), "{measured:?}");
    }
}

/// How often noise-only intervals hold what the records show without noise.
fn coverage(
    schema: &Schema,
    records: &[RecordOutcome],
    context: &Context,
    sigma_squared: u64,
) -> Vec<(Metric, f64)> {
    const SEEDS: u64 = 300;
    let truth = metrics(&exact(schema, records), 0, context);
    let mut held = vec![(0.0, 0.0); truth.len()];
    for seed in 0..SEEDS {
        let found = metrics(
            &released(schema, records, sigma_squared, 1_000 + seed),
            0,
            context,
        );
        for ((held, found), truth) in held.iter_mut().zip(&found).zip(&truth) {
            let (Some(interval), Some(truth)) = (found.value.noise(), truth.value.value()) else {
                continue;
            };
            held.1 += 1.0;
            held.0 += f64::from(u8::from(interval.low <= truth && truth <= interval.high));
        }
    }
    let rates = truth.iter().zip(held).filter(|(_, (_, all))| *all > 0.0);
    rates.map(|(m, (held, all))| (m.metric, held / all)).collect()
}

#[test]
fn intervals_hold_what_the_records_show_without_noise() {
    let records = records(4_000, 2, 7);
    let schema = schema(
        1,
        2,
        classification(&[
            Statistic::Confusion,
            Statistic::CalibrationBins,
            Statistic::ScoreHistogram,
            Statistic::GroupConfusion,
            Statistic::Drift,
            Statistic::Brier,
            Statistic::LogLoss,
        ]),
    );
    let context = Context {
        clean_slice: Some(0),
        references: vec![vec![1.0, 1.0, 0.7]],
        ..Context::default()
    };
    let sigma_squared = 60 * schema.l2_sensitivity_squared();
    for (metric, rate) in coverage(&schema, &records, &context, sigma_squared) {
        assert!(rate >= 0.915, "{metric:?} covers {rate}");
    }
}

#[test]
fn a_regression_s_intervals_hold_too() {
    let (schema, records, _) = regression(4_000, 0.7, 8);
    let context = Context {
        target_range: Some(RANGE),
        references: vec![vec![1.0; 5]],
        ..Context::default()
    };
    let sigma_squared = 60 * schema.l2_sensitivity_squared();
    for (metric, rate) in coverage(&schema, &records, &context, sigma_squared) {
        assert!(rate >= 0.915, "{metric:?} covers {rate}");
    }
}

#[test]
fn slices_have_metrics_of_their_own_where_tables_are_kept_apart() {
    let extra = Extra {
        by_slice: true,
        ..classification(&[Statistic::Confusion, Statistic::Brier])
    };
    let schema = schema(1, 2, extra);
    let found = metrics(&exact(&schema, &records(2_000, 2, 9)), 0, &Context::default());
    for metric in [Metric::Mcc, Metric::Brier] {
        let slices: Vec<_> = found
            .iter()
            .filter(|m| m.metric == metric)
            .map(|m| m.slice)
            .collect();
        assert_eq!(slices, [None, Some(0), Some(1)]);
    }
    let apart = |slice| {
        let hit = found
            .iter()
            .find(|m| m.metric == Metric::Brier && m.slice == slice);
        hit.unwrap().value.value().unwrap().to_f64()
    };
    close(apart(None), (apart(Some(0)) + apart(Some(1))) / 2.0, 1e-3);
}

#[test]
fn the_guide_is_the_program_s_own_list() {
    let written = include_str!("../../../docs/guides/metrics.md");
    assert!(
        written == guide::markdown().unwrap(),
        "docs/guides/metrics.md differs from fl/src/metrics/guide.rs; it should be:\n{}",
        guide::markdown().unwrap()
    );
}

#[test]
fn scores_of_slices_that_records_lack_divide_by_their_own_counts() {
    let extra = Extra {
        missing_views: true,
        ..Extra::PLAIN
    };
    let schema = schema(2, 2, extra);
    // Every fourth record has a view in the second slice alone, the others in the first alone.
    let view = |correct| {
        Some(ViewOutcome {
            correct,
            ..ViewOutcome::default()
        })
    };
    let record = |at: usize| {
        let row = |first: bool, second: bool| {
            if at.is_multiple_of(4) {
                vec![None, view(second)]
            } else {
                vec![view(first), None]
            }
        };
        RecordOutcome::detailed(Details {
            views: vec![row(at % 10 < 9, at % 8 < 1), row(at % 10 < 5, at % 8 < 1)],
            ..Details::default()
        })
    };
    let records: Vec<_> = (0..40_000).map(record).collect();
    let release = exact(&schema, &records);
    let rate = |score: Score| score.value().unwrap().to_f64();
    close(rate(slice_score(&release, 0, 0)), 13.0 / 15.0, 1e-3);
    close(rate(slice_score(&release, 0, 1)), 0.5, 0.001);
    let field = field_score(&release, 0);
    close(rate(field), (rate(slice_score(&release, 0, 0)) + 0.5) / 2.0, 1e-3);
    assert!(field.full().unwrap().low < field.noise().unwrap().low);
    let ranking = rank(&release);
    assert!(ranking.separable && ranking.sets[0].worst == 1);
}

#[test]
fn every_metric_is_described_once_under_its_name() {
    let mut names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.describe().name).collect();
    for metric in Metric::ALL {
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(json, format!("\"{}\"", metric.describe().name));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Metric::ALL.len());
}
