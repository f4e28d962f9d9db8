//! The persistent privacy filter of one data source.
//!
//! A filter promises that everything ever released from its source is (ε, δ)-differentially
//! private under one neighbour relation. It works in zero-concentrated DP at a limit fixed when
//! it is created: charges may be chosen adaptively, from answers already seen, as long as their
//! sum stays at or below the limit (Feldman and Zrnic 2021; Whitehouse et al. 2023, the filter
//! for zCDP). Sums are exact integers of 1e-12.
//!
//! The machine is pure: the caller persists [`Filter::encode`] before anything leaves. A charge
//! is reserved before its report is sent, committed when the batch is released, and refunded only
//! by an explicit call; a crash refunds nothing. A reserved charge counts as spent.

use crate::privacy::{Delta, Epsilon, Relation, Rho, epsilon_of, rho_limit};
use std::collections::BTreeMap;
use thiserror::Error;

mod codec;

pub use codec::DecodeError;

/// Names one charge; the same id is never charged twice.
pub type ChargeId = [u8; 32];

/// Most charges that a filter remembers (each keeps 41 bytes).
pub const CHARGES_MAX: usize = 1 << 20;

/// Where a charge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChargeState {
    /// Set aside before the report leaves.
    Reserved,
    /// The batch was released, or is treated as released.
    Committed,
    /// Given back; the id stays used.
    Refunded,
}

/// One charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The loss it stands for.
    pub rho: Rho,
    /// Where it stands.
    pub state: ChargeState,
}

/// Why a charge cannot be made or moved. The filter is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// ε is so small that not even 1e-12 of ρ fits.
    #[error("ε is too small for any charge")]
    NoBudget,
    /// The charge does not fit into what remains.
    #[error(
        "the charge needs ρ = {:.6}, {:.6} of {:.6} remains",
        needed.value(), remaining.value(), limit.value()
    )]
    Exhausted {
        /// ρ of the charge.
        needed: Rho,
        /// ρ that remains.
        remaining: Rho,
        /// The filter's limit.
        limit: Rho,
    },
    /// The id was charged with another ρ before.
    #[error("the id was charged with ρ = {:.6} before, now {:.6} is asked", expected.value(), found.value())]
    Mismatch {
        /// ρ of the earlier charge.
        expected: Rho,
        /// ρ asked for now.
        found: Rho,
    },
    /// No charge has this id.
    #[error("no charge has this id")]
    Unknown,
    /// The charge was refunded, so it can neither be reserved again nor committed.
    #[error("the charge was refunded")]
    Refunded,
    /// The filter remembers as many charges as it can.
    #[error("the filter holds {CHARGES_MAX} charges, the most it can")]
    Full,
}

/// A privacy filter.
///
/// ```
/// use fieldmark_fl::budget::Filter;
/// use fieldmark_fl::privacy::{Delta, Epsilon, Relation, Rho};
/// let (epsilon, delta) = (Epsilon::new(8.0)?, Delta::new(1e-6)?);
/// let mut filter = Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta)?;
/// filter.reserve([1; 32], Rho::from_units(50_000_000_000))?;
/// filter.reserve([1; 32], Rho::from_units(50_000_000_000))?; // the same charge, once
/// assert_eq!(filter.spent().units(), 50_000_000_000);
/// assert_eq!(Filter::decode(&filter.encode())?, filter);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    relation: Relation,
    epsilon: Epsilon,
    delta: Delta,
    limit: Rho,
    spent: Rho,
    charges: BTreeMap<ChargeId, Charge>,
}

impl Filter {
    /// A fresh filter whose limit is the largest ρ that stays within (ε, δ).
    ///
    /// # Errors
    /// ε is so small that nothing could ever be charged.
    pub fn new(relation: Relation, epsilon: Epsilon, delta: Delta) -> Result<Self, BudgetError> {
        let limit = rho_limit(epsilon, delta);
        if limit == Rho::ZERO {
            return Err(BudgetError::NoBudget);
        }
        Ok(Self {
            relation,
            epsilon,
            delta,
            limit,
            spent: Rho::ZERO,
            charges: BTreeMap::new(),
        })
    }

    /// Sets ρ aside under an id. Reserving the same id again with the same ρ changes nothing and
    /// returns the charge as it stands.
    ///
    /// # Errors
    /// The charge does not fit, the id was used with another ρ or refunded, or the filter is full.
    pub fn reserve(&mut self, id: ChargeId, rho: Rho) -> Result<Charge, BudgetError> {
        if let Some(&charge) = self.charges.get(&id) {
            return repeated(charge, rho);
        }
        if self.charges.len() >= CHARGES_MAX {
            return Err(BudgetError::Full);
        }
        let exhausted = BudgetError::Exhausted {
            needed: rho,
            remaining: self.remaining(),
            limit: self.limit,
        };
        let spent = self
            .spent
            .checked_add(rho)
            .filter(|&spent| spent <= self.limit)
            .ok_or(exhausted)?;
        let charge = Charge {
            rho,
            state: ChargeState::Reserved,
        };
        self.charges.insert(id, charge);
        self.spent = spent;
        Ok(charge)
    }

    /// Marks a charge as released. Committing again changes nothing.
    ///
    /// # Errors
    /// The id is unknown or was refunded.
    pub fn commit(&mut self, id: &ChargeId) -> Result<Charge, BudgetError> {
        let charge = self.charges.get_mut(id).ok_or(BudgetError::Unknown)?;
        if charge.state == ChargeState::Refunded {
            return Err(BudgetError::Refunded);
        }
        charge.state = ChargeState::Committed;
        Ok(*charge)
    }

    /// Gives a charge back. The caller vouches that nothing derived from it was or will be
    /// released. Refunding again changes nothing.
    ///
    /// # Errors
    /// The id is unknown.
    pub fn refund(&mut self, id: &ChargeId) -> Result<Charge, BudgetError> {
        let charge = self.charges.get_mut(id).ok_or(BudgetError::Unknown)?;
        if charge.state != ChargeState::Refunded {
            charge.state = ChargeState::Refunded;
            self.spent = self.spent.saturating_sub(charge.rho);
        }
        Ok(*charge)
    }

    /// The charge of an id.
    pub fn charge(&self, id: &ChargeId) -> Option<Charge> {
        self.charges.get(id).copied()
    }

    /// All charges, by id.
    pub fn charges(&self) -> impl Iterator<Item = (&ChargeId, &Charge)> {
        self.charges.iter()
    }

    /// The neighbour relation of its promise.
    pub fn relation(&self) -> Relation {
        self.relation
    }

    /// ε of its promise.
    pub fn epsilon(&self) -> Epsilon {
        self.epsilon
    }

    /// δ of its promise.
    pub fn delta(&self) -> Delta {
        self.delta
    }

    /// The most ρ it allows in total.
    pub fn limit(&self) -> Rho {
        self.limit
    }

    /// ρ reserved or committed.
    pub fn spent(&self) -> Rho {
        self.spent
    }

    /// ρ that can still be reserved.
    pub fn remaining(&self) -> Rho {
        self.limit.saturating_sub(self.spent)
    }

    /// ε at the filter's δ of what is spent. It describes the spending so far; the promise to the
    /// data's owner is [`Filter::epsilon`].
    pub fn epsilon_spent(&self) -> f64 {
        epsilon_of(self.spent, self.delta)
    }
}

/// What reserving a known id again comes to.
fn repeated(charge: Charge, asked: Rho) -> Result<Charge, BudgetError> {
    if charge.rho != asked {
        Err(BudgetError::Mismatch {
            expected: charge.rho,
            found: asked,
        })
    } else if charge.state == ChargeState::Refunded {
        Err(BudgetError::Refunded)
    } else {
        Ok(charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(filter.epsilon_spent() <= 1.0);
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
}
