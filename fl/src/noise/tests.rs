//! Tests of samplers: goodness of fit, moments, determinism.

use super::*;
use crate::normal::cdf;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const DRAWS: usize = 200_000;

fn ratio(numerator: u64, denominator: u64) -> Ratio {
    Ratio::new(numerator, denominator).unwrap()
}

fn gaussian_draws(sigma_squared: Ratio, seed: u64) -> Vec<i128> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let noise = DiscreteGaussian::new(sigma_squared).unwrap();
    (0..DRAWS).map(|_| noise.sample(&mut rng)).collect()
}

fn laplace_draws(scale: Ratio, seed: u64) -> Vec<i128> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let noise = DiscreteLaplace::new(scale).unwrap();
    (0..DRAWS).map(|_| noise.sample(&mut rng)).collect()
}

/// Whether draws fit a mass function by chi-squared, cells of fewer than 10 expected draws pooled.
/// The bound is the mean and 3.7 standard deviations of the statistic, about a 0.1% point.
fn fits(draws: &[i128], reach: i128, weight: impl Fn(i128) -> f64) -> bool {
    let total: f64 = (-reach..=reach).map(&weight).sum();
    let count = draws.len() as f64;
    let mut seen = std::collections::BTreeMap::new();
    for &draw in draws {
        *seen.entry(draw).or_insert(0.0) += 1.0;
    }
    let (mut statistic, mut degrees) = (0.0f64, -1.0f64);
    let (mut rest_expected, mut rest_seen) = (0.0, count);
    for x in -reach..=reach {
        let expected = weight(x) / total * count;
        if expected < 10.0 {
            rest_expected += expected;
            continue;
        }
        let found = seen.get(&x).copied().unwrap_or(0.0);
        rest_seen -= found;
        statistic += (found - expected).powi(2) / expected;
        degrees += 1.0;
    }
    if rest_expected >= 5.0 {
        statistic += (rest_seen - rest_expected).powi(2) / rest_expected;
        degrees += 1.0;
    } else if rest_seen > rest_expected + 12.0 {
        return false;
    }
    degrees < 1.0 || statistic < degrees + 3.7 * (2.0 * degrees).sqrt()
}

fn gaussian_weight(sigma_squared: f64) -> impl Fn(i128) -> f64 {
    move |x| (-((x * x) as f64) / (2.0 * sigma_squared)).exp()
}

fn laplace_weight(scale: f64) -> impl Fn(i128) -> f64 {
    move |x| (-(x.abs() as f64) / scale).exp()
}

#[test]
fn gaussians_fit_their_mass_function() {
    let scales = [
        (1, 16),
        (1, 2),
        (1, 1),
        (4, 1),
        (10, 1),
        (401, 3),
        (900, 1),
        (40_000, 1),
    ];
    for (seed, (n, d)) in (20..).zip(scales) {
        let sigma_squared = ratio(n, d);
        let reach = 10 * (sigma_squared.floor().isqrt() as i128 + 1);
        let draws = gaussian_draws(sigma_squared, seed);
        let weight = gaussian_weight(sigma_squared.value());
        assert!(fits(&draws, reach, weight), "σ² = {sigma_squared}");
    }
}

#[test]
fn the_test_of_fit_tells_other_scales_apart() {
    let draws = gaussian_draws(ratio(10, 1), 1);
    assert!(!fits(&draws, 40, gaussian_weight(10.3)));
    assert!(!fits(&draws, 40, gaussian_weight(9.7)));
    let mut lumpy = draws.clone();
    lumpy.iter_mut().step_by(100).for_each(|draw| *draw = 1);
    assert!(!fits(&lumpy, 40, gaussian_weight(10.0)));
    let shifted: Vec<i128> = draws.iter().map(|draw| -draw.abs()).collect();
    assert!(!fits(&shifted, 40, gaussian_weight(10.0)));
}

#[test]
fn laplaces_fit_their_mass_function() {
    for (seed, (n, d)) in (40..).zip([(1, 5), (1, 1), (3, 1), (50, 7), (100, 1), (1_000, 1)]) {
        let scale = ratio(n, d);
        let reach = 30 * (scale.floor() as i128 + 1);
        let draws = laplace_draws(scale, seed);
        assert!(
            fits(&draws, reach, laplace_weight(scale.value())),
            "scale {scale}"
        );
    }
}

#[test]
fn direct_draws_fit_the_same_mass_functions() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let draws: Vec<_> = (0..DRAWS)
        .map(|_| discrete_laplace(3, &mut rng).unwrap())
        .collect();
    assert!(fits(&draws, 60, laplace_weight(3.0)));
    for sigma_squared in [1, 10] {
        let draws: Vec<_> = (0..DRAWS)
            .map(|_| discrete_gaussian(sigma_squared, &mut rng).unwrap())
            .collect();
        assert!(fits(&draws, 40, gaussian_weight(sigma_squared as f64)));
    }
}

#[test]
fn moments_are_those_of_the_distributions() {
    let moments = |draws: &[i128]| {
        let mean_of = |power: i32| draws.iter().map(|&x| (x as f64).powi(power)).sum::<f64>() / DRAWS as f64;
        [mean_of(1), mean_of(2), mean_of(3), mean_of(4)]
    };
    for (n, d) in [(1, 4), (2, 1), (900, 1), (1 << 40, 1)] {
        let weight = gaussian_weight(n as f64 / d as f64);
        // Sums of the mass function where they are short, the continuous moments where they are not.
        let exact = if n <= 900 {
            let sum = |power: i32| {
                (-400..=400)
                    .map(|x| (x as f64).powi(power) * weight(x))
                    .sum::<f64>()
            };
            [0.0, sum(2) / sum(0), 0.0, sum(4) / sum(0)]
        } else {
            [0.0, n as f64, 0.0, 3.0 * (n as f64).powi(2)]
        };
        let [mean, variance, third, fourth] = moments(&gaussian_draws(ratio(n, d), 77));
        let sigma = exact[1].sqrt();
        let deviation = 1.0 / (DRAWS as f64).sqrt();
        assert!(mean.abs() < 4.0 * sigma * deviation, "{n}/{d}: mean {mean}");
        assert!(
            (variance / exact[1] - 1.0).abs() < 4.0 * 2.5 * deviation,
            "{n}/{d}: variance {variance}"
        );
        assert!(
            third.abs() < 4.0 * 4.0 * sigma.powi(3) * deviation,
            "{n}/{d}: third {third}"
        );
        assert!(
            (fourth / exact[3] - 1.0).abs() < 4.0 * 5.0 * deviation,
            "{n}/{d}: fourth {fourth}"
        );
    }
}

#[test]
fn large_gaussians_are_normal_by_kolmogorov_and_smirnov() {
    for sigma_squared in [1_000_000, 1 << 40, SIGMA_SQUARED_MAX] {
        let mut draws = gaussian_draws(Ratio::from(sigma_squared), 3);
        draws.sort_unstable();
        let sigma = (sigma_squared as f64).sqrt();
        let largest = draws
            .iter()
            .enumerate()
            .map(|(rank, &draw)| (cdf((draw as f64 + 0.5) / sigma) - (rank + 1) as f64 / DRAWS as f64).abs());
        let largest = largest.fold(0.0, f64::max);
        // 1.63/√N is the 1% point; a grid of spacing σ/1000 adds at most 0.0004.
        assert!(
            largest < 1.63 / (DRAWS as f64).sqrt() + 0.0004,
            "σ² = {sigma_squared}: {largest}"
        );
        // Within a block the last bits are uniform.
        let odd = draws.iter().filter(|&&draw| draw & 1 == 1).count() as f64 / DRAWS as f64;
        assert!((odd - 0.5).abs() < 2.0 / (DRAWS as f64).sqrt(), "{odd}");
    }
}

#[test]
fn the_same_seed_draws_the_same_noise_everywhere() {
    let first = |sigma_squared: Ratio| {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let noise = DiscreteGaussian::new(sigma_squared).unwrap();
        (0..8).map(|_| noise.sample(&mut rng)).collect::<Vec<_>>()
    };
    assert_eq!(first(ratio(1, 2)), SMALL);
    assert_eq!(first(Ratio::from(1_000_000)), MIDDLE);
    assert_eq!(first(Ratio::from(SIGMA_SQUARED_MAX)), LARGE);
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let noise = DiscreteLaplace::new(ratio(100, 3)).unwrap();
    let draws: Vec<_> = (0..8).map(|_| noise.sample(&mut rng)).collect();
    assert_eq!(draws, LAPLACE);
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let draws: Vec<_> = (0..8)
        .map(|_| discrete_gaussian(1_000_000, &mut rng).unwrap())
        .collect();
    assert_eq!(draws, DIRECT);
}

const SMALL: [i128; 8] = [0, 0, 0, 0, 1, 0, 0, 0];
const MIDDLE: [i128; 8] = [282, 2917, 171, 22, 1883, 397, -1018, 2028];
const LARGE: [i128; 8] = [
    40467398, 395619162, 28182352, 5972255, 258751316, 53810473, -149549003, 280222092,
];
const LAPLACE: [i128; 8] = [9, 186, 6, 1, 93, 8, -39, 106];
const DIRECT: [i128; 8] = [2131, 862, 97, -662, -965, 322, 438, 124];

#[test]
fn scales_out_of_range_are_refused() {
    let mut rng = ChaCha20Rng::from_seed([0; 32]);
    assert!(discrete_gaussian(0, &mut rng).is_err());
    assert!(discrete_gaussian(SIGMA_SQUARED_MAX + 1, &mut rng).is_err());
    assert!(discrete_laplace(0, &mut rng).is_err());
    assert!(discrete_laplace(LAPLACE_SCALE_MAX + 1, &mut rng).is_err());
    for found in [Ratio::from(0), Ratio::from(SIGMA_SQUARED_MAX + 1)] {
        let error = DiscreteGaussian::new(found).unwrap_err();
        assert_eq!(error, NoiseError::SigmaSquared { found });
    }
    for found in [Ratio::from(0), Ratio::from(LAPLACE_SCALE_MAX + 1)] {
        assert_eq!(
            DiscreteLaplace::new(found).unwrap_err(),
            NoiseError::Scale { found }
        );
    }
}
