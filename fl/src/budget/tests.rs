//! Tests of filters and odometers: what an owner of data is promised.

use super::*;
use crate::privacy::epsilon_of;
use proptest::prelude::*;

fn filter(epsilon: f64) -> Filter {
    let (epsilon, delta) = (Epsilon::new(epsilon).unwrap(), Delta::new(1e-6).unwrap());
    Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta).unwrap()
}

#[test]
fn the_limit_is_the_largest_that_keeps_the_promise() {
    let filter = filter(2.0);
    assert!(epsilon_of(filter.limit(), filter.delta()) <= 2.0);
    assert!(epsilon_of(Rho::from_units(filter.limit().units() + 1), filter.delta()) > 2.0);
}

#[test]
fn a_charge_is_counted_once_and_its_id_keeps_its_size() {
    let mut filter = filter(2.0);
    let rho = Rho::from_units(1_000);
    filter.reserve([1; 32], rho).unwrap();
    filter.commit(&[1; 32]).unwrap();
    assert_eq!(
        filter.reserve([1; 32], rho).unwrap().state,
        ChargeState::Committed
    );
    assert_eq!(filter.spent(), rho);
    let error = filter.reserve([1; 32], Rho::from_units(999)).unwrap_err();
    assert_eq!(
        error,
        BudgetError::Mismatch {
            expected: rho,
            found: Rho::from_units(999)
        }
    );
}

#[test]
fn a_refund_is_explicit_final_and_counted_once() {
    let mut filter = filter(2.0);
    let rho = Rho::from_units(1_000);
    filter.reserve([1; 32], rho).unwrap();
    filter.reserve([2; 32], rho).unwrap();
    filter.refund(&[1; 32]).unwrap();
    filter.refund(&[1; 32]).unwrap();
    assert_eq!(filter.spent(), rho);
    assert_eq!(filter.reserve([1; 32], rho), Err(BudgetError::Refunded));
    assert_eq!(filter.commit(&[1; 32]), Err(BudgetError::Refunded));
    assert_eq!(filter.commit(&[9; 32]), Err(BudgetError::Unknown));
    assert_eq!(filter.refund(&[9; 32]), Err(BudgetError::Unknown));
}

#[test]
fn the_limit_can_be_reached_exactly_and_not_passed() {
    let mut filter = filter(1.0);
    let limit = filter.limit();
    filter.reserve([1; 32], limit).unwrap();
    assert_eq!(filter.remaining(), Rho::ZERO);
    assert!(matches!(
        filter.reserve([2; 32], Rho::from_units(1)),
        Err(BudgetError::Exhausted { .. })
    ));
    assert!(matches!(
        filter.reserve([2; 32], Rho::from_units(u64::MAX)),
        Err(BudgetError::Exhausted { .. })
    ));
    assert!(filter.odometer() <= 1.0);
}

#[test]
fn totals_by_state_add_up_to_what_was_asked() {
    let mut filter = filter(2.0);
    for id in 1..5 {
        filter
            .reserve([id; 32], Rho::from_units(u64::from(id) * 10))
            .unwrap();
    }
    filter.commit(&[2; 32]).unwrap();
    filter.refund(&[4; 32]).unwrap();
    let totals = [
        ChargeState::Reserved,
        ChargeState::Committed,
        ChargeState::Refunded,
    ];
    assert_eq!(totals.map(|state| filter.total(state).units()), [40, 20, 40]);
    assert_eq!(filter.spent().units(), 60);
}

#[test]
fn a_promise_is_raised_and_lowered_but_not_below_what_is_spent() {
    let mut filter = filter(2.0);
    let half = Rho::from_units(filter.limit().units() / 2);
    filter.reserve([1; 32], half).unwrap();
    let delta = filter.delta();
    let raised = filter.with_promise(Epsilon::new(3.0).unwrap(), delta).unwrap();
    assert_eq!(
        (raised.spent(), raised.charge(&[1; 32])),
        (half, filter.charge(&[1; 32]))
    );
    assert!(raised.limit() > filter.limit());
    let error = filter
        .with_promise(Epsilon::new(0.5).unwrap(), delta)
        .unwrap_err();
    assert!(matches!(error, BudgetError::Spent { spent, .. } if spent == half));
}

#[test]
fn losses_of_one_order_are_charged_at_that_order_only() {
    let (epsilon, delta) = (Epsilon::new(4.0).unwrap(), Delta::new(1e-6).unwrap());
    let order = Order::from_units(8_000_000).unwrap();
    let kept = Accounting::Renyi(order);
    let mut filter = Filter::with_accounting(Relation::AddOrRemoveOneRecord, kept, epsilon, delta).unwrap();
    filter.reserve_at_order([1; 32], order, 0.8).unwrap();
    // A Gaussian release costs the same here as in zCDP.
    filter.reserve([2; 32], Rho::from_units(5)).unwrap();
    assert!((filter.spent().value() - 0.1).abs() < 1e-9);
    let found = Order::from_units(9_000_000).unwrap();
    let refused = Err(BudgetError::Order { kept, found });
    assert_eq!(filter.reserve_at_order([3; 32], found, 0.1), refused);
    let mut zcdp = self::filter(4.0);
    assert!(zcdp.reserve_at_order([1; 32], order, 0.1).is_err());
    let left = Err(BudgetError::Exhausted {
        needed: Rho::from_units(u64::MAX),
        remaining: filter.remaining(),
        limit: filter.limit(),
    });
    assert_eq!(filter.reserve_at_order([4; 32], order, f64::NAN), left);
}

proptest! {
    #[test]
    fn no_history_passes_the_limit_or_charges_twice(
        steps in proptest::collection::vec((0u8..3, 0u8..12, 0u64..40), 0..200),
    ) {
        let mut filter = filter(1.0);
        let unit = filter.limit().units() / 100;
        for (action, id, size) in steps {
            let id = [id; 32];
            let before = filter.clone();
            let rho = Rho::from_units(size * unit);
            let failed = match action {
                0 => filter.reserve(id, rho).is_err(),
                1 => filter.commit(&id).is_err(),
                _ => filter.refund(&id).is_err(),
            };
            prop_assert!(!failed || filter == before);
            prop_assert!(filter.spent() <= filter.limit());
            let counted: u64 = filter
                .charges()
                .filter(|(_, charge)| charge.state != ChargeState::Refunded)
                .map(|(_, charge)| charge.rho.units())
                .sum();
            prop_assert_eq!(counted, filter.spent().units());
            prop_assert_eq!(&Filter::decode(&filter.encode()).unwrap(), &filter);
        }
    }
}
