//! In what losses are added up, and what a sum of them promises.
//!
//! A loss is kept as ρ in units of 1e-12: of zCDP, or, at a Rényi order α, as the Rényi loss divided
//! by α. A release that is ρ-zCDP has a Rényi loss of αρ at every order, so its charge is the same
//! number in both.

use crate::privacy::{Delta, Epsilon, Rho, rho_limit};
use libm::{log, log1p};
use std::fmt;
use thiserror::Error;

/// Units of [`Order`] in 1.
const ORDER_UNIT: u64 = 1_000_000;
/// Units of [`Rho`] in 1.
const RHO_UNIT: f64 = 1e12;

/// A Rényi order: above 1, at most 10⁶, in exact units of 1e-6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u64);

/// Not a Rényi order.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("the order is {found}, must be above 1 and at most 1000000")]
pub struct OrderError {
    /// The value given.
    pub found: f64,
}

impl Order {
    /// The order nearest to a number.
    ///
    /// # Errors
    /// Not above 1, above 10⁶, or not a number.
    pub fn new(value: f64) -> Result<Self, OrderError> {
        let units = libm::round(value * ORDER_UNIT as f64);
        if units >= 0.0 {
            Self::from_units(whole(units)).map_err(|_| OrderError { found: value })
        } else {
            Err(OrderError { found: value })
        }
    }

    /// From units of 1e-6.
    ///
    /// # Errors
    /// Not above 1, or above 10⁶.
    pub fn from_units(units: u64) -> Result<Self, OrderError> {
        if units > ORDER_UNIT && units <= ORDER_UNIT * ORDER_UNIT {
            Ok(Self(units))
        } else {
            Err(OrderError {
                found: units as f64 / ORDER_UNIT as f64,
            })
        }
    }

    /// In units of 1e-6.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0 as f64 / ORDER_UNIT as f64
    }

    /// What a Rényi loss at this order is charged as, rounded up; a loss that is not a number or not
    /// finite costs more than any filter has.
    #[must_use]
    pub fn rho_of(self, loss: f64) -> Rho {
        let units = libm::ceil(loss.max(0.0) / self.value() * RHO_UNIT * (1.0 + 4.0 * f64::EPSILON));
        if loss.is_nan() || units >= u64::MAX as f64 {
            return Rho::from_units(u64::MAX);
        }
        Rho::from_units(whole(units))
    }
}

/// How a filter adds losses up, fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accounting {
    /// Zero-concentrated differential privacy, which holds at every order at once.
    Zcdp,
    /// Rényi differential privacy at one order.
    Renyi(Order),
}

impl Accounting {
    /// The largest sum of losses that stays within (ε, δ), rounded down; zero if there is none.
    ///
    /// At order α a sum S of ρ promises ε = αS + ln(1 − 1/α) − ln(αδ)/(α − 1) (Canonne, Kamath and
    /// Steinke 2020, proposition 12).
    #[must_use]
    pub fn limit(self, epsilon: Epsilon, delta: Delta) -> Rho {
        match self {
            Self::Zcdp => rho_limit(epsilon, delta),
            Self::Renyi(order) => {
                let left = (epsilon.value() - conversion(order, delta)) / order.value();
                // A margin over the rounding of the terms.
                let margin = 16.0 * f64::EPSILON * (epsilon.value() + conversion(order, delta).abs());
                Rho::from_units(whole(((left - margin) * RHO_UNIT).max(0.0)))
            }
        }
    }

    /// ε at δ that a sum of losses promises; infinite when it promises none.
    #[must_use]
    pub fn epsilon(self, spent: Rho, delta: Delta) -> f64 {
        match self {
            Self::Zcdp => crate::privacy::epsilon_of(spent, delta),
            Self::Renyi(order) => {
                let terms = (order.value() * spent.value(), conversion(order, delta));
                let size = terms.0 + terms.1.abs();
                (terms.0 + terms.1 + 16.0 * f64::EPSILON * size).max(0.0)
            }
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl fmt::Display for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zcdp => f.write_str("in zCDP"),
            Self::Renyi(order) => write!(f, "in Rényi DP of order {order}"),
        }
    }
}

/// What converting from order α to δ adds: ln(1 − 1/α) − ln(αδ)/(α − 1).
fn conversion(order: Order, delta: Delta) -> f64 {
    let alpha = order.value();
    log1p(-1.0 / alpha) - (log(delta.value()) + log(alpha)) / (alpha - 1.0)
}

/// A number in 0..2⁶⁴ without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller holds the number in the range; the cast saturates"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(epsilon: f64, delta: f64) -> (Epsilon, Delta) {
        (Epsilon::new(epsilon).unwrap(), Delta::new(delta).unwrap())
    }

    fn order(value: f64) -> Order {
        Order::new(value).unwrap()
    }

    #[test]
    fn the_limit_at_an_order_is_the_largest_that_keeps_the_promise() {
        for (eps, alpha) in [(1.0, 30.0), (4.0, 8.0), (8.0, 4.5), (50.0, 1.9)] {
            let (epsilon, delta) = parts(eps, 1e-6);
            let accounting = Accounting::Renyi(order(alpha));
            let limit = accounting.limit(epsilon, delta);
            assert!(accounting.epsilon(limit, delta) <= eps * (1.0 + 1e-12));
            let above = Rho::from_units(limit.units() + 100);
            assert!(accounting.epsilon(above, delta) > eps);
        }
    }

    #[test]
    fn no_order_allows_more_than_all_of_them() {
        let (epsilon, delta) = parts(4.0, 1e-6);
        let all = Accounting::Zcdp.limit(epsilon, delta);
        let best = (11..400)
            .map(|tenths| Accounting::Renyi(order(f64::from(tenths) / 10.0)).limit(epsilon, delta))
            .max();
        let best = best.unwrap();
        assert!(best <= all, "{best:?} {all:?}");
        assert!(best.value() > all.value() * 0.999, "{best:?} {all:?}");
    }

    #[test]
    fn a_low_order_leaves_nothing_at_a_small_delta() {
        let (epsilon, delta) = parts(1.0, 1e-6);
        assert_eq!(Accounting::Renyi(order(2.0)).limit(epsilon, delta), Rho::ZERO);
    }

    #[test]
    fn losses_are_rounded_up_and_nonsense_costs_everything() {
        let order = order(4.0);
        assert_eq!(order.rho_of(0.0), Rho::ZERO);
        assert!(order.rho_of(2.0).value() >= 0.5 && order.rho_of(2.0).value() < 0.500_001);
        for loss in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(order.rho_of(loss).units(), u64::MAX);
        }
    }

    #[test]
    fn orders_out_of_range_are_refused() {
        for units in [0, 1_000_000, 1_000_000_000_001] {
            assert!(Order::from_units(units).is_err());
        }
        for value in [f64::NAN, 1.0, -3.0, f64::INFINITY, 1e7] {
            assert!(Order::new(value).is_err(), "{value}");
        }
        assert_eq!(Order::new(1.5).unwrap().units(), 1_500_000);
    }
}
