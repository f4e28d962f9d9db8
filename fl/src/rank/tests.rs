//! What rank sets claim.

use super::*;
use crate::noise::discrete_gaussian;
use crate::privacy::{Delta, Epsilon, calibrate};
use crate::schema::{Schema, SchemaParams, Statistics};
use crate::synthetic::Scenario;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn ranking(scenario: &Scenario, paired: bool, seed: u64) -> Ranking {
    let params = SchemaParams {
        models: u16::try_from(scenario.skill.len()).unwrap(),
        slices: u16::try_from(scenario.harshness.len()).unwrap(),
        cap: 10_000,
        statistics: Statistics {
            paired,
            calibration: false,
            extra: crate::schema::Extra::PLAIN,
        },
    };
    let schema = Schema::new(&params).unwrap();
    let (epsilon, delta) = (Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
    let scale = calibrate(schema.l2_sensitivity_squared(), epsilon, delta).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut vector = vec![0i128; schema.len()];
    for outcomes in scenario.sample(seed).contributors {
        let released = schema.release(&schema.measure(&outcomes).unwrap());
        for (total, value) in vector.iter_mut().zip(released) {
            *total += value;
        }
    }
    for value in &mut vector {
        for _ in 0..3 {
            *value += discrete_gaussian(scale.sigma_squared, &mut rng).unwrap();
        }
    }
    rank(&Release::new(&schema, &vector, scale.sigma_squared, 3).unwrap())
}

#[test]
fn clearly_different_models_have_one_rank_each() {
    let scenario = Scenario {
        skill: vec![0.5, 2.5, 1.5],
        records: 1_000,
        ..Scenario::standard()
    };
    let ranking = ranking(&scenario, true, 1);
    let set = |rank| RankSet {
        best: rank,
        worst: rank,
    };
    assert_eq!(ranking.sets, [set(3), set(1), set(2)]);
    assert!(ranking.separable);
    assert!(
        ranking
            .comparisons
            .iter()
            .all(|comparison| !comparison.conservative)
    );
}

#[test]
fn equal_models_are_called_separable_in_less_than_one_of_twenty() {
    let scenario = Scenario {
        skill: vec![1.2; 4],
        records: 60,
        ..Scenario::standard()
    };
    let wrong = (0..400)
        .filter(|&seed| ranking(&scenario, true, seed).separable)
        .count();
    assert!(wrong <= 26, "{wrong} of 400");
}

#[test]
fn true_ranks_lie_in_their_sets() {
    let scenario = Scenario {
        skill: vec![1.5, 1.35, 1.2, 0.9],
        records: 100,
        ..Scenario::standard()
    };
    let covered = (0..300).filter(|&seed| {
        let sets = ranking(&scenario, true, seed).sets;
        (1..)
            .zip(sets)
            .all(|(rank, set)| set.best <= rank && rank <= set.worst)
    });
    let covered = covered.count();
    assert!(covered >= 285 - 12, "{covered} of 300");
}

#[test]
fn pairing_separates_more() {
    let scenario = Scenario {
        skill: vec![1.4, 1.2],
        ..Scenario::standard()
    };
    let count = |paired| {
        (0..100)
            .filter(|&seed| ranking(&scenario, paired, seed).separable)
            .count()
    };
    let (paired, plain) = (count(true), count(false));
    assert!(paired > plain, "{paired} {plain}");
}

#[test]
fn nothing_known_means_every_rank_is_possible() {
    let params = SchemaParams {
        models: 3,
        slices: 2,
        cap: 5,
        statistics: Statistics::default(),
    };
    let schema = Schema::new(&params).unwrap();
    let release = Release::new(&schema, &vec![0; schema.len()], 100, 3).unwrap();
    let ranking = rank(&release);
    assert_eq!(ranking.sets, [RankSet { best: 1, worst: 3 }; 3]);
    assert!(!ranking.separable && ranking.comparisons.is_empty());
}

#[test]
fn a_single_model_is_first() {
    let params = SchemaParams {
        models: 1,
        slices: 1,
        cap: 5,
        statistics: Statistics::default(),
    };
    let schema = Schema::new(&params).unwrap();
    let ranking = rank(&Release::new(&schema, &[1 << 20, 0], 1, 3).unwrap());
    assert_eq!(ranking.sets, [RankSet { best: 1, worst: 1 }]);
    assert!(!ranking.separable);
}
