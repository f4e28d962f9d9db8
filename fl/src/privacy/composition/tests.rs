//! What holds for every composition.

use proptest::prelude::*;

use super::*;
use crate::privacy::relation::{AddRemove, ReplaceOne};

fn delta(value: f64) -> Delta {
    Delta::new(value).unwrap()
}

fn sampled(rate: f64, sigma: f64) -> Mechanism<AddRemove> {
    Mechanism::gaussian(sigma)
        .unwrap()
        .on_poisson_sample(rate)
        .unwrap()
}

#[test]
fn the_least_bound_says_its_method() {
    let of = |composition: Composition<AddRemove>| composition.epsilon(delta(1e-6)).method.name();
    let gaussian = Mechanism::gaussian(2.0).unwrap();
    let laplace = Mechanism::laplace(10.0).unwrap();
    assert_eq!(of(Composition::new().and(gaussian, 5)), "exact");
    assert_eq!(
        of(Composition::new().and(Mechanism::pure(0.1).unwrap(), 50)),
        "optimal-pure"
    );
    assert_eq!(
        of(Composition::new().and(Mechanism::concentrated(0.1).unwrap(), 2)),
        "zcdp"
    );
    assert_eq!(of(Composition::new().and(gaussian, 2).and(laplace, 3)), "pld");
    let known_by_rho = Mechanism::concentrated(0.01).unwrap();
    assert_eq!(
        of(Composition::new().and(sampled(0.01, 1.0), 9).and(known_by_rho, 1)),
        "rdp"
    );
}

#[test]
fn nothing_costs_nothing_and_too_much_is_refused() {
    let nothing = Composition::<AddRemove>::new();
    assert_eq!(nothing.epsilon(delta(1e-6)).epsilon, 0.0);
    let much = nothing.and(Mechanism::laplace(1e6).unwrap(), USES_MAX + 1);
    assert!(much.epsilon(delta(1e-6)).epsilon.is_infinite());
}

#[test]
fn a_sample_of_fixed_size_costs_no_more_than_everything() {
    let whole = Mechanism::<ReplaceOne>::gaussian(2.0).unwrap();
    let part = whole.on_sample(100, 1000).unwrap();
    let all = whole.on_sample(1000, 1000).unwrap();
    let at = |mechanism| Composition::new().and(mechanism, 10).epsilon(delta(1e-6)).epsilon;
    assert!(at(part) < at(whole) / 3.0);
    assert!(
        (at(all) / at(whole) - 1.0).abs() < 1e-3,
        "{} {}",
        at(all),
        at(whole)
    );
}

#[test]
fn parameters_out_of_range_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Mechanism::<AddRemove>::gaussian(bad).is_err());
        assert!(Mechanism::<AddRemove>::laplace(bad).is_err());
        assert!(Mechanism::<AddRemove>::pure(bad).is_err());
        assert!(Mechanism::<AddRemove>::concentrated(bad).is_err());
        assert!(
            Mechanism::<AddRemove>::gaussian(1.0)
                .unwrap()
                .on_poisson_sample(bad)
                .is_err()
        );
        assert!(Mechanism::<ReplaceOne>::randomized_response(bad, 2).is_err());
    }
    assert!(
        Mechanism::<ReplaceOne>::gaussian(1.0)
            .unwrap()
            .on_sample(11, 10)
            .is_err()
    );
    assert!(sampled(0.1, 1.0).on_poisson_sample(0.1).is_err());
    assert!(Mechanism::<AddRemove>::discrete_laplace(1.0, 0).is_err());
}

/// Any mechanism under add or remove, from small numbers.
fn any_mechanism() -> impl Strategy<Value = Mechanism<AddRemove>> {
    prop_oneof![
        (0.7f64..10.0).prop_map(|s| Mechanism::gaussian(s).unwrap()),
        (0.7f64..20.0).prop_map(|b| Mechanism::laplace(b).unwrap()),
        (1.0f64..10.0, 1u64..4).prop_map(|(s, d)| Mechanism::discrete_gaussian(s, d).unwrap()),
        (1.0f64..10.0, 1u64..4).prop_map(|(b, d)| Mechanism::discrete_laplace(b, d).unwrap()),
        (0.7f64..5.0, 0.001f64..0.5).prop_map(|(s, q)| sampled(q, s)),
        (1.0f64..5.0, 0.001f64..0.5)
            .prop_map(|(b, q)| Mechanism::laplace(b).unwrap().on_poisson_sample(q).unwrap()),
        (0.01f64..2.0).prop_map(|e| Mechanism::pure(e).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn more_uses_cost_more_and_the_parts_pay_for_the_whole(
        a in any_mechanism(), b in any_mechanism(), n in 1u64..30, m in 1u64..30, exponent in 2i32..12,
    ) {
        let small = delta(libm::pow(10.0, -f64::from(exponent)) / 2.0);
        let double = delta(small.value() * 2.0);
        let one = Composition::new().and(a, n);
        let other = Composition::new().and(b, m);
        let both = one.clone().and(b, m);
        let slack = 1.0 + 3e-4;
        let whole = both.epsilon(small).epsilon;
        prop_assert!(one.epsilon(small).epsilon <= whole * slack + 1e-6);
        // (ε₁, δ) and (ε₂, δ) give (ε₁ + ε₂, 2δ).
        let sum = one.epsilon(small).epsilon + other.epsilon(small).epsilon;
        prop_assert!(both.epsilon(double).epsilon <= sum * slack + 1e-6);
        // A larger δ needs no larger ε.
        prop_assert!(both.epsilon(double).epsilon <= whole * slack + 1e-6);
    }

    #[test]
    fn no_bound_is_below_the_floor(a in any_mechanism(), b in any_mechanism(), n in 1u64..40, m in 1u64..40) {
        let composition = Composition::new().and(a, n).and(b, m);
        let bounds = composition.bounds(delta(1e-6));
        let floor = composition.epsilon(delta(1e-6)).floor.unwrap();
        prop_assert!(!bounds.is_empty());
        for bound in bounds {
            prop_assert!(bound.epsilon >= floor, "{bound:?} {floor}");
        }
    }
}
