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

/// ln E[(mixture/q)^α] under q and ln E[(q/mixture)^α] under the mixture, by the sums over all integers.
fn discrete_cumulants(rate: f64, sigma: f64, shift: i32, order: f64) -> [f64; 2] {
    let weight = |x: i32| exp(-f64::from(x) * f64::from(x) / (2.0 * sigma * sigma));
    // More than forty of the largest σ here.
    let reach = 300;
    let total: f64 = (-reach..=reach).map(weight).sum();
    let sums = (-reach..=reach + shift).fold([0.0; 2], |[forth, back], x| {
        let q = weight(x) / total;
        let mixture = (1.0 - rate) * q + rate * weight(x - shift) / total;
        if q < 1e-290 || mixture < 1e-290 {
            return [forth, back];
        }
        let forth = forth + exp(order * log(mixture) - (order - 1.0) * log(q));
        [forth, back + exp(order * log(q) - (order - 1.0) * log(mixture))]
    });
    sums.map(log)
}

#[test]
fn a_sampled_discrete_gaussian_costs_what_its_sums_say_and_never_less() {
    for (rate, sigma, shift) in [(0.1, 2.0, 1), (0.02, 6.0, 4), (0.3, 1.0, 1), (0.001, 1.5, 2)] {
        let relative = sigma / f64::from(shift);
        for order in [1.25, 1.5, 2.0, 2.6, 3.0, 5.5, 8.0] {
            let bound = sampled::poisson_discrete(rate, relative, order - 1.0);
            let [forth, back] = discrete_cumulants(rate, sigma, shift, order);
            let exact = forth.max(back);
            assert!(
                bound >= exact - 1e-11,
                "{rate} {sigma} {shift} {order}: {bound} {exact}"
            );
            if order == libm::floor(order) {
                assert!(
                    bound <= exact * (1.0 + 1e-8) + 3e-12,
                    "{rate} {sigma} {shift} {order}: {bound} {exact}"
                );
            }
            // A smaller change costs no more.
            let [less, _] = discrete_cumulants(rate, sigma, shift - 1, order);
            assert!(less <= bound);
        }
    }
}

#[test]
fn a_sampled_discrete_gaussian_is_close_to_a_continuous_one() {
    let sampling = Sampling::Poisson { rate: 0.01 };
    let discrete = Kind::Noise {
        base: Base::DiscreteGaussian {
            sigma: 8.0,
            sensitivity: 4,
        },
        sampling,
    };
    let (found, other) = (
        bound(discrete, 1_000, 1e-6).epsilon,
        bound(gaussian(2.0, sampling), 1_000, 1e-6).epsilon,
    );
    assert!(
        found >= other * (1.0 - 1e-9) && found <= other * 1.01,
        "{found} {other}"
    );
}
