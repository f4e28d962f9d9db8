//! Samples of discrete Gaussian noise a second, on one thread and from one stream of ChaCha20, beside
//! those of the `prio` crate.

use std::hint::black_box;
use std::time::Instant;

use fieldmark_fl::noise::{DiscreteGaussian, Ratio, discrete_gaussian};
use prio::dp::Rational;
use prio::dp::distributions::DiscreteGaussian as Reference;
use rand::distr::Distribution;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::Row;

/// Standard deviations measured.
const SIGMAS: [u64; 3] = [2, 30, 1_000];
/// Draws of the prepared sampler, of the direct one, and of the reference.
const DRAWS: [u32; 3] = [4_000_000, 200_000, 40_000];
const REFERENCE: &str = "the sampler of prio";

/// One row for each σ and sampler, and one for what preparing costs.
pub(super) fn rows(tell: &mut impl FnMut(Row)) {
    for sigma in SIGMAS {
        let squared = sigma * sigma;
        let [prepared, direct, reference] = DRAWS;
        let Ok(noise) = DiscreteGaussian::new(Ratio::from(squared)) else {
            continue;
        };
        let fast = per_second(prepared, |rng| {
            black_box(noise.sample(rng));
        });
        let single = per_second(direct, |rng| {
            black_box(discrete_gaussian(squared, rng).ok());
        });
        let Some(baseline) = reference_per_second(sigma, reference) else {
            continue;
        };
        let row = |name: String, value| Row {
            name,
            value,
            unit: "samples/s",
            baseline,
            baseline_name: REFERENCE,
        };
        tell(row(format!("discrete_gaussian_sigma_{sigma}"), fast));
        tell(row(format!("discrete_gaussian_direct_sigma_{sigma}"), single));
    }
}

fn reference_per_second(sigma: u64, draws: u32) -> Option<f64> {
    let sigma = Rational::from_unsigned(sigma, 1u64).ok()?;
    let reference = Reference::new(sigma).ok()?;
    Some(per_second(draws, |rng| {
        black_box(reference.sample(rng));
    }))
}

/// Runs `draw` some times to warm up, then `draws` times by the clock.
fn per_second(draws: u32, mut draw: impl FnMut(&mut ChaCha20Rng)) -> f64 {
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    for _ in 0..draws / 10 {
        draw(&mut rng);
    }
    let start = Instant::now();
    for _ in 0..draws {
        draw(&mut rng);
    }
    f64::from(draws) / start.elapsed().as_secs_f64()
}
