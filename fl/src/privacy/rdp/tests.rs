//! Cumulants against quadrature, and bounds against the reference.

use proptest::prelude::*;

use super::*;

fn gaussian(sigma: f64, sampling: Sampling) -> Kind {
    Kind::Noise {
        base: Base::Gaussian { sigma },
        sampling,
    }
}

fn bound(kind: Kind, count: u64, delta: f64) -> RenyiBound {
    epsilon(&[(kind, count)], delta).unwrap()
}

#[test]
fn fractional_orders_of_a_poisson_sample_match_quadrature() {
    for (rate, sigma) in [(0.01, 1.0), (0.3, 2.0), (1e-4, 0.7), (0.02, 0.5)] {
        for order in [1.3, 1.5, 2.0, 2.7, 6.0, 8.13, 20.0] {
            let found = sampled::poisson(rate, sigma, order - 1.0);
            let exact = sampled::quadrature(rate, sigma, order);
            let slack = 1e-9 * exact.abs() + 3e-12;
            assert!(
                (found - exact).abs() < slack,
                "{rate} {sigma} {order}: {found} {exact}"
            );
        }
    }
}

#[test]
fn bounds_match_the_reference_at_integer_and_tenth_orders() {
    // (mechanism, count, δ, ε of the reference accountant at its best order of a list): real orders
    // can only improve it, by little.
    let poisson = |rate, sigma| gaussian(sigma, Sampling::Poisson { rate });
    let rows = [
        (
            poisson(0.004_266_666_666_666_667, 1.1),
            14_062,
            1e-5,
            2.596_555_869_794_303_6,
        ),
        (poisson(0.02, 0.5), 100, 1e-5, 11.592_651_821_945_63),
        (poisson(0.0001, 1.0), 100_000, 1e-8, 0.888_511_703_780_842_4),
        (gaussian(10.0, Sampling::Whole), 100, 1e-5, 4.728_507_067_217_623),
        (
            gaussian(1.0, Sampling::FixedSize { rate: 0.01 }),
            1000,
            1e-5,
            3.576_111_482_350_549,
        ),
        (gaussian(10.0, Sampling::Whole), 7, 1e-6, 1.214_881_199_774_048_5),
    ];
    for (kind, count, delta, reference) in rows {
        let found = bound(kind, count, delta).epsilon;
        assert!(found <= reference * (1.0 + 1e-6), "{kind:?}: {found} {reference}");
        assert!(found > reference * 0.97, "{kind:?}: {found} {reference}");
    }
}

#[test]
fn laplace_noise_has_the_curve_of_its_losses() {
    let kind = Kind::Noise {
        base: Base::Laplace { scale: 20.0 },
        sampling: Sampling::Whole,
    };
    let found = bound(kind, 100, 1e-5).epsilon;
    assert!(found <= 2.104_641_754_305_167 && found > 2.1, "{found}");
}

proptest! {
    #[test]
    fn bounds_grow_with_use_and_fall_with_noise(
        sigma in 0.4f64..20.0, rate in 1e-4f64..0.5, count in 1u64..5000, more in 1.01f64..3.0,
    ) {
        let kind = |sigma| gaussian(sigma, Sampling::Poisson { rate });
        let here = bound(kind(sigma), count, 1e-6).epsilon;
        let slack = 1.0 + 1e-5;
        prop_assert!(here <= bound(kind(sigma), count * 2, 1e-6).epsilon * slack);
        prop_assert!(bound(kind(sigma * more), count, 1e-6).epsilon <= here * slack);
        prop_assert!(here <= bound(gaussian(sigma, Sampling::Whole), count, 1e-6).epsilon * slack);
    }
}
