//! Both bounds against exact curves, where there are any.

use proptest::prelude::*;

use super::super::kind::{Base, Sampling};
use super::super::{gaussian, pure};
use super::*;

fn noise(base: Base, sampling: Sampling) -> Kind {
    Kind::Noise { base, sampling }
}

/// Asserts lower ≤ exact ≤ upper, that the upper bound is this near, and the lower one not far.
fn encloses(found: Bounds, exact: f64, width: f64) {
    assert!(found.lower <= exact && exact <= found.upper, "{found:?} {exact}");
    assert!(
        found.upper <= exact + width * exact.max(1e-3),
        "{found:?} {exact}"
    );
    assert!(found.lower >= 0.9 * exact, "{found:?} {exact}");
}

#[test]
fn gaussians_are_enclosed() {
    for (sigma, count, delta) in [
        (10.0, 100, 1e-5),
        (1.0, 1, 1e-6),
        (0.5, 3, 1e-20),
        (200.0, 5000, 1e-9),
    ] {
        let kind = noise(Base::Gaussian { sigma }, Sampling::Whole);
        let exact = gaussian::gaussian_epsilon(sigma / libm::sqrt(count as f64), delta);
        encloses(bounds(&[(kind, count)], delta).unwrap(), exact, 3e-4);
    }
}

#[test]
fn pure_mechanisms_are_enclosed() {
    for (epsilon, count, delta) in [
        (0.1, 100, 1e-6),
        (0.02, 1000, 1e-6),
        (1.3, 7, 1e-8),
        (0.5, 1, 1e-3),
    ] {
        let exact = pure::optimal_epsilon(epsilon, count, delta);
        encloses(
            bounds(&[(Kind::Pure { epsilon }, count)], delta).unwrap(),
            exact,
            3e-4,
        );
    }
}

#[test]
fn a_sample_of_everything_is_everything() {
    let base = Base::Gaussian { sigma: 3.0 };
    let exact = gaussian::gaussian_epsilon(3.0 / libm::sqrt(20.0), 1e-6);
    for sampling in [Sampling::Poisson { rate: 1.0 }, Sampling::FixedSize { rate: 1.0 }] {
        let found = bounds(&[(noise(base, sampling), 20)], 1e-6).unwrap();
        encloses(found, exact, 3e-4);
    }
}

#[test]
fn different_mechanisms_are_enclosed() {
    // Two Gaussians are one; the parts are told apart by their multipliers.
    let parts =
        [(2.0, 3u64), (5.0, 10)].map(|(sigma, n)| (noise(Base::Gaussian { sigma }, Sampling::Whole), n));
    let sigma = 1.0 / libm::sqrt(3.0 / 4.0 + 10.0 / 25.0);
    encloses(
        bounds(&parts, 1e-7).unwrap(),
        gaussian::gaussian_epsilon(sigma, 1e-7),
        3e-4,
    );
}

#[test]
fn the_lower_bound_of_a_sampled_laplace_is_near() {
    let kind = noise(Base::Laplace { scale: 1.0 }, Sampling::Poisson { rate: 0.1 });
    let found = bounds(&[(kind, 200)], 1e-6).unwrap();
    assert!(found.lower > 0.9 * found.upper, "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bounds_enclose_every_gaussian(sigma in 0.3f64..50.0, count in 1u64..3000, exponent in 1i32..28) {
        let delta = libm::pow(10.0, -f64::from(exponent));
        let exact = gaussian::gaussian_epsilon(sigma / libm::sqrt(count as f64), delta);
        prop_assume!(exact < 90.0);
        let kind = noise(Base::Gaussian { sigma }, Sampling::Whole);
        let found = bounds(&[(kind, count)], delta).unwrap();
        prop_assert!(found.lower <= exact && exact * (1.0 - 1e-11) <= found.upper, "{found:?} {exact}");
        prop_assert!(found.upper <= exact * 1.001 + 1e-5, "{found:?} {exact}");
    }
}
