//! Every mechanism is audited as it is, where the claim must stand, and with each planted fault, where
//! it must fall: noise of half the scale, a query that moves by twice its sensitivity, and the noise of
//! one seed used for two releases.

use super::*;
use crate::jobs::noisy_share;
use crate::mechanism::{
    Grid, GridGaussian, GridLaplace, RandomisedResponse, TreeSum, clip_count_sensitivity, count_below,
};
use crate::noise::{DiscreteGaussian, DiscreteLaplace, Ratio};
use crate::privacy::{Delta, Epsilon, NoiseScale, Relation, Rho, calibrate, epsilon_of};
use crate::schema::{Measurement, RecordOutcome, Schema, SchemaParams, Statistics};
use crate::vdaf::Vdaf;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const DELTA: f64 = 1e-3;
const EPSILON: f64 = 2.0;

fn options(runs: usize, delta: f64) -> AuditOptions {
    AuditOptions {
        runs,
        delta,
        failure: 1e-3,
    }
}

/// One release of a mechanism as one number.
type Release = Box<dyn Fn(Query, &mut ChaCha20Rng) -> i128>;

/// What is released and how.
#[derive(Clone, Copy)]
struct Query {
    /// By how many times its sensitivity the answer is moved.
    moved: u8,
    /// Whether noise of half the scale is drawn.
    halved: bool,
}

/// A mechanism with its claim for one release and for two.
struct Subject {
    name: &'static str,
    delta: f64,
    claim: f64,
    claim_of_two: f64,
    runs: usize,
    release: Release,
}

fn moved(world: World, by: u8) -> u8 {
    if world == World::With { by } else { 0 }
}

impl Subject {
    fn one(&self, by: u8, halved: bool) -> Finding {
        let mut rng = ChaCha20Rng::seed_from_u64(21);
        let run = |world, rng: &mut ChaCha20Rng| {
            let moved = moved(world, by);
            [(self.release)(Query { moved, halved }, rng)]
        };
        lower_bound(options(self.runs, self.delta), run, &mut rng).unwrap()
    }

    /// Two releases of which the record moves the first only.
    fn two(&self, reused: bool) -> Finding {
        let mut rng = ChaCha20Rng::seed_from_u64(22);
        let run = |world, rng: &mut ChaCha20Rng| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let query = |moved| Query { moved, halved: false };
            let first = (self.release)(query(moved(world, 1)), &mut ChaCha20Rng::from_seed(seed));
            if !reused {
                rng.fill_bytes(&mut seed);
            }
            let second = (self.release)(query(0), &mut ChaCha20Rng::from_seed(seed));
            [first, second, first - second, first + second]
        };
        lower_bound(options(self.runs, self.delta), run, &mut rng).unwrap()
    }
}

fn epsilon(value: f64) -> Epsilon {
    Epsilon::new(value).unwrap()
}

/// A claim made by zCDP.
fn by_rho(name: &'static str, rho: Rho, release: Release) -> Subject {
    let delta = Delta::new(DELTA).unwrap();
    let twice = rho.checked_add(rho).unwrap();
    Subject {
        name,
        delta: DELTA,
        claim: epsilon_of(rho, delta),
        claim_of_two: epsilon_of(twice, delta),
        runs: 40_000,
        release,
    }
}

/// A claim of pure differential privacy.
fn pure(name: &'static str, claim: f64, release: Release) -> Subject {
    Subject {
        name,
        delta: 0.0,
        claim,
        claim_of_two: 2.0 * claim,
        runs: 40_000,
        release,
    }
}

fn discrete_gaussian() -> Subject {
    let sensitivity = 20u64;
    let scale = calibrate(
        sensitivity * sensitivity,
        epsilon(EPSILON),
        Delta::new(DELTA).unwrap(),
    )
    .unwrap();
    let sigma_squared = scale.sigma_squared;
    let noise = DiscreteGaussian::new(Ratio::from(sigma_squared)).unwrap();
    let half = DiscreteGaussian::new(Ratio::from(sigma_squared / 4)).unwrap();
    let rho = Rho::of_gaussian(sensitivity * sensitivity, sigma_squared).unwrap();
    by_rho(
        "discrete Gaussian",
        rho,
        Box::new(move |query, rng| {
            let noise = if query.halved { &half } else { &noise };
            i128::from(query.moved) * i128::from(sensitivity) + noise.sample(rng)
        }),
    )
}

fn discrete_laplace() -> Subject {
    let noise = DiscreteLaplace::new(Ratio::from(8)).unwrap();
    let half = DiscreteLaplace::new(Ratio::from(4)).unwrap();
    pure(
        "discrete Laplace",
        1.0,
        Box::new(move |query, rng| {
            let noise = if query.halved { &half } else { &noise };
            8 * i128::from(query.moved) + noise.sample(rng)
        }),
    )
}

/// One respondent's choice; half the noise is twice the ε, and [`answering_twice`] doubles the sensitivity.
fn randomised_response() -> Subject {
    let response = RandomisedResponse::for_epsilon(4, epsilon(1.0)).unwrap();
    let half = RandomisedResponse::for_epsilon(4, epsilon(2.0)).unwrap();
    pure(
        "randomised response",
        response.epsilon(),
        Box::new(move |query, rng| {
            let response = if query.halved { &half } else { &response };
            let choice = u32::from(query.moved > 0);
            i128::from(response.respond(choice, rng).unwrap() == 1)
        }),
    )
}

/// Two coordinates that rounding moves apart: 0.49 steps become none and 0.51 + Δ becomes one more.
fn grid_gaussian() -> Subject {
    let grid = Grid::new(-3).unwrap();
    let sensitivity = grid.step() * 8.02;
    let (eps, delta) = (epsilon(EPSILON), Delta::new(DELTA).unwrap());
    let release = GridGaussian::calibrated(grid, 1, sensitivity, eps, delta).unwrap();
    let half = GridGaussian::new(grid, 1, sensitivity, release.sigma_squared() / 4).unwrap();
    assert_eq!(release.l2_squared(), 81);
    let rho = release.rho().unwrap();
    by_rho(
        "Gaussian on a grid",
        rho,
        Box::new(move |query, rng| {
            let release = if query.halved { &half } else { &release };
            let value = grid.step() * 0.49 + f64::from(query.moved) * sensitivity;
            release.release(&[value], rng).unwrap()[0]
        }),
    )
}

fn grid_laplace() -> Subject {
    let grid = Grid::new(-3).unwrap();
    let sensitivity = grid.step() * 8.02;
    let release = GridLaplace::calibrated(grid, 1, sensitivity, epsilon(1.0)).unwrap();
    let half = GridLaplace::calibrated(grid, 1, sensitivity, epsilon(2.0)).unwrap();
    pure(
        "Laplace on a grid",
        release.epsilon(),
        Box::new(move |query, rng| {
            let release = if query.halved { &half } else { &release };
            let value = grid.step() * 0.49 + f64::from(query.moved) * sensitivity;
            release.release(&[value], rng).unwrap()[0]
        }),
    )
}

fn clip_count() -> Subject {
    let sensitivity = clip_count_sensitivity(Relation::AddOrRemoveOneRecord);
    let noise = DiscreteGaussian::new(Ratio::from(2)).unwrap();
    let half = DiscreteGaussian::new(Ratio::new(1, 2).unwrap()).unwrap();
    by_rho(
        "clip count",
        Rho::of_gaussian(sensitivity * sensitivity, 2).unwrap(),
        Box::new(move |query, rng| {
            let mut norms = vec![0.5, 1.5, 2.5];
            norms.extend(std::iter::repeat_n(0.9, usize::from(query.moved)));
            let noise = if query.halved { &half } else { &noise };
            i128::from(count_below(&norms, 1.0)) + noise.sample(rng)
        }),
    )
}

/// Four steps; the record is in the first, and the score adds up the three intervals that hold it.
fn tree_sum() -> Subject {
    let stream = TreeSum::new(4, 2_400).unwrap();
    let half = TreeSum::new(4, 600).unwrap();
    by_rho(
        "tree sums",
        stream.rho(20).unwrap(),
        Box::new(move |query, rng| {
            let mut tree = if query.halved {
                half.clone()
            } else {
                stream.clone()
            };
            let mut push = |value| tree.push(value, rng).unwrap();
            let (first, second) = (push(20 * i64::from(query.moved)), push(0));
            push(0);
            first + second + push(0)
        }),
    )
}

/// What one record moves each entry of a task's vector by, the entry that counts records included.
fn record_vector(vdaf: &Vdaf) -> Vec<i128> {
    let outcome = RecordOutcome {
        correct: vec![vec![true, true], vec![true, true]],
        ..RecordOutcome::default()
    };
    let released = |measurement: &Measurement| {
        let shares = vdaf.shard(b"audit", measurement, &[1; 16], &[2; 32]).unwrap();
        let mut states = Vec::new();
        let mut messages = Vec::new();
        for (index, input) in (0u8..).zip(&shares.inputs) {
            let (state, message) = vdaf
                .verify_init(&[3; 32], b"audit", index, &[1; 16], &shares.public, input)
                .unwrap();
            states.push(state);
            messages.push(message);
        }
        let message = vdaf.combine(b"audit", &messages).unwrap();
        let sums: Vec<_> = states
            .into_iter()
            .map(|state| {
                let mut sum = vdaf.zero();
                sum.accumulate(&vdaf.verify_next(b"audit", state, &message).unwrap())
                    .unwrap();
                sum
            })
            .collect();
        vdaf.unshard(&sums).unwrap()
    };
    let with = released(&vdaf.schema().measure(&[outcome]).unwrap());
    let without = released(&vdaf.schema().measure(&[]).unwrap());
    with.iter().zip(&without).map(|(a, b)| a - b).collect()
}

/// The vector that a committee releases, with one honest aggregator's noise, by the node's own job.
fn task_vector() -> Subject {
    let params = SchemaParams {
        models: 2,
        slices: 2,
        cap: 10,
        statistics: Statistics::default(),
    };
    let vdaf = Vdaf::new(&Schema::new(&params).unwrap(), 2).unwrap();
    let difference = record_vector(&vdaf);
    let l2_squared = vdaf.schema().l2_sensitivity_squared();
    let moved_by: i128 = difference.iter().map(|d| d * d).sum();
    assert_eq!(
        moved_by,
        i128::from(l2_squared),
        "the record is not the worst one"
    );
    let scale = calibrate(l2_squared, epsilon(EPSILON), Delta::new(DELTA).unwrap()).unwrap();
    let half = NoiseScale {
        sigma_squared: scale.sigma_squared / 4,
    };
    let rho = Rho::of_gaussian(l2_squared, scale.sigma_squared).unwrap();
    let subject = by_rho(
        "task vector",
        rho,
        Box::new(move |query, rng| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let scale = if query.halved { half } else { scale };
            let share = noisy_share(&vdaf.zero(), scale, seed).unwrap();
            let noise = vdaf.unshard(&[share, vdaf.zero()]).unwrap();
            let project = |(noise, by): (&i128, &i128)| by * (noise + i128::from(query.moved) * by);
            noise.iter().zip(&difference).map(project).sum()
        }),
    );
    // Every run prepares a sampler, as the job does.
    Subject {
        runs: 16_000,
        ..subject
    }
}

fn subjects() -> Vec<Subject> {
    vec![
        discrete_gaussian(),
        discrete_laplace(),
        randomised_response(),
        grid_gaussian(),
        grid_laplace(),
        clip_count(),
        tree_sum(),
        task_vector(),
    ]
}

#[test]
fn sound_mechanisms_pass_and_the_bound_is_not_idle() {
    for subject in subjects() {
        let (found, claim) = (subject.one(1, false), subject.claim);
        assert!(!found.refutes(claim), "{}: {found:?} above {claim}", subject.name);
        assert!(
            found.epsilon > 0.3 * claim,
            "{}: {found:?} of {claim}",
            subject.name
        );
    }
}

#[test]
fn halved_noise_is_found_in_every_mechanism() {
    for subject in subjects() {
        let found = subject.one(1, true);
        assert!(
            found.refutes(subject.claim),
            "{}: {found:?} of {}",
            subject.name,
            subject.claim
        );
    }
}

#[test]
fn doubled_sensitivity_is_found_in_every_mechanism() {
    for subject in subjects() {
        let found = if subject.name == "randomised response" {
            answering_twice()
        } else {
            subject.one(2, false)
        };
        assert!(
            found.refutes(subject.claim),
            "{}: {found:?} of {}",
            subject.name,
            subject.claim
        );
    }
}

/// A respondent whose choice counts in two answers, which is a sensitivity of two.
fn answering_twice() -> Finding {
    let response = RandomisedResponse::for_epsilon(4, epsilon(1.0)).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(23);
    let run = |world, rng: &mut ChaCha20Rng| {
        let choice = u32::from(world == World::With);
        let mut answer = || i128::from(response.respond(choice, rng).unwrap() == 1);
        [answer() + answer()]
    };
    lower_bound(options(60_000, 0.0), run, &mut rng).unwrap()
}

#[test]
fn fresh_noise_for_two_releases_passes() {
    for subject in subjects() {
        let (found, claim) = (subject.two(false), subject.claim_of_two);
        assert!(!found.refutes(claim), "{}: {found:?} above {claim}", subject.name);
    }
}

#[test]
fn a_reused_seed_is_found_in_every_mechanism() {
    for subject in subjects() {
        let found = subject.two(true);
        assert!(
            found.refutes(subject.claim_of_two),
            "{}: {found:?} of {}",
            subject.name,
            subject.claim_of_two
        );
    }
}

#[test]
fn rounding_that_is_not_accounted_for_is_found() {
    // Δ is a hundredth of a step, but the values lie on both sides of a rounding edge.
    let noise = DiscreteLaplace::new(Ratio::new(1, 20).unwrap()).unwrap();
    let grid = Grid::new(0).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(24);
    let run = |world, rng: &mut ChaCha20Rng| {
        let value = if world == World::With { 0.505 } else { 0.495 };
        [i128::from(grid.point(value).unwrap()) + noise.sample(rng)]
    };
    let found = lower_bound(options(10_000, 0.0), run, &mut rng).unwrap();
    assert!(found.refutes(0.01 * 20.0), "{found:?}");
}

#[test]
fn proportions_have_the_bounds_of_clopper_and_pearson() {
    // By scipy's beta.ppf: hits, runs, failure, least, most.
    let rows = [
        (0, 50, 0.025, 0.0, 0.071_121_746_7),
        (8, 20, 0.025, 0.191_190_087, 0.639_457_412),
        (50, 50, 0.025, 0.928_878_253, 1.0),
    ];
    for (hits, runs, failure, least, most) in rows {
        assert!(
            (proportion_least(hits, runs, failure) - least).abs() < 1e-6,
            "{hits} of {runs}"
        );
        assert!(
            (proportion_most(hits, runs, failure) - most).abs() < 1e-6,
            "{hits} of {runs}"
        );
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut audit = |options| lower_bound(options, |_, _: &mut ChaCha20Rng| [0], &mut rng);
    assert!(audit(options(99, 0.0)).is_err());
    assert!(audit(options(100, 1.0)).is_err());
    assert!(audit(options(100, f64::NAN)).is_err());
    for failure in [0.0, 1.0, f64::NAN] {
        let options = AuditOptions {
            failure,
            ..options(100, 0.0)
        };
        assert!(audit(options).is_err());
    }
    assert!(audit(options(100, 0.0)).unwrap().epsilon.abs() < f64::EPSILON);
}
