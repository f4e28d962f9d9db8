//! The persistent privacy filter of one data source.
//!
//! A filter promises that everything ever released from its source is (ε, δ)-differentially
//! private under one neighbour relation. It adds losses up in one accounting fixed when it is created
//! ([`Accounting`]): zero-concentrated DP, or Rényi DP at one order. Charges may be chosen adaptively,
//! from answers already seen, as long as their sum stays at or below the limit (Feldman and Zrnic
//! 2021; Whitehouse, Ramdas, Rogers and Wu 2023). Sums are exact integers of 1e-12. What was spent so
//! far is told by the odometer ([`Filter::odometer`]), which holds at every moment, however the
//! moment is chosen; the least of several bounds, which is valid for plans fixed in advance only, is
//! never shown as spending.
//!
//! The machine is pure: the caller persists [`Filter::encode`] before anything leaves. A charge
//! is reserved before its report is sent, committed when the batch is released, and refunded only
//! by an explicit call; a crash refunds nothing. A reserved charge counts as spent.

use crate::privacy::{Delta, Epsilon, Relation, Rho};
use std::collections::BTreeMap;
use thiserror::Error;

mod accounting;
mod codec;
mod convert;
mod odometer;
mod sketch;

pub use accounting::{Accounting, Order, OrderError};
pub use codec::DecodeError;
pub use sketch::{Overlap, RecordSketch};

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
    /// The loss it stands for: ρ of zCDP, or the Rényi loss at the filter's order divided by that
    /// order, which for a Gaussian release is the same number.
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
        "the charge needs {:.1}% of the budget, {:.1}% remains (ρ = {:.6} and {:.6} of {:.6})",
        100.0 * needed.value() / limit.value(), 100.0 * remaining.value() / limit.value(),
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
    /// A loss known at one Rényi order only cannot be charged in another accounting.
    #[error("the loss is known at order {found} only, the budget is kept {kept}")]
    Order {
        /// How the filter adds losses up.
        kept: Accounting,
        /// The order of the loss.
        found: Order,
    },
    /// The task's neighbour relation bounds nothing under the filter's.
    #[error("a loss under '{task}' bounds nothing under '{filter}', which this budget is kept for")]
    Relation {
        /// The filter's relation.
        filter: Relation,
        /// The task's relation.
        task: Relation,
    },
    /// A new promise is below what is spent already.
    #[error(
        "ρ = {:.6} is spent already, the new limit would allow {:.6}",
        spent.value(), limit.value()
    )]
    Spent {
        /// ρ spent.
        spent: Rho,
        /// ρ that the new promise would allow.
        limit: Rho,
    },
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
    accounting: Accounting,
    epsilon: Epsilon,
    delta: Delta,
    limit: Rho,
    spent: Rho,
    charges: BTreeMap<ChargeId, Charge>,
}

impl Filter {
    /// A fresh filter in zCDP, whose limit is the largest ρ that stays within (ε, δ).
    ///
    /// # Errors
    /// ε is so small that nothing could ever be charged.
    pub fn new(relation: Relation, epsilon: Epsilon, delta: Delta) -> Result<Self, BudgetError> {
        Self::with_accounting(relation, Accounting::Zcdp, epsilon, delta)
    }

    /// A fresh filter in this accounting. An order fits charges of about its own size: a low one
    /// leaves nothing at a small δ, a high one little for many small charges.
    ///
    /// # Errors
    /// ε is so small that nothing could ever be charged.
    pub fn with_accounting(
        relation: Relation,
        accounting: Accounting,
        epsilon: Epsilon,
        delta: Delta,
    ) -> Result<Self, BudgetError> {
        let limit = accounting.limit(epsilon, delta);
        if limit == Rho::ZERO {
            return Err(BudgetError::NoBudget);
        }
        Ok(Self {
            relation,
            accounting,
            epsilon,
            delta,
            limit,
            spent: Rho::ZERO,
            charges: BTreeMap::new(),
        })
    }

    /// The same filter, with all its charges, under another promise. A lower one keeps the old
    /// promise too. A higher one gives the old one up: what is released from then on may bring the
    /// total to the new ε.
    ///
    /// # Errors
    /// More is spent than the new promise allows, or it allows nothing.
    pub fn with_promise(&self, epsilon: Epsilon, delta: Delta) -> Result<Self, BudgetError> {
        let fresh = Self::with_accounting(self.relation, self.accounting, epsilon, delta)?;
        if self.spent > fresh.limit {
            return Err(BudgetError::Spent {
                spent: self.spent,
                limit: fresh.limit,
            });
        }
        Ok(Self {
            spent: self.spent,
            charges: self.charges.clone(),
            ..fresh
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

    /// Sets a loss aside that is known at one Rényi order only: `loss` is the Rényi divergence of
    /// that order. Otherwise as [`Self::reserve`].
    ///
    /// # Errors
    /// As [`Self::reserve`], or the filter is kept in another accounting.
    pub fn reserve_at_order(&mut self, id: ChargeId, order: Order, loss: f64) -> Result<Charge, BudgetError> {
        if self.accounting != Accounting::Renyi(order) {
            return Err(BudgetError::Order {
                kept: self.accounting,
                found: order,
            });
        }
        self.reserve(id, order.rho_of(loss))
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

    /// Takes note of a charge that was refunded elsewhere.
    fn note_refunded(&mut self, id: ChargeId, rho: Rho) {
        let state = ChargeState::Refunded;
        self.charges.entry(id).or_insert(Charge { rho, state });
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

    /// How it adds losses up.
    pub fn accounting(&self) -> Accounting {
        self.accounting
    }

    /// ρ of all charges in a state.
    pub fn total(&self, state: ChargeState) -> Rho {
        let mut of_state = self.charges.values().filter(|charge| charge.state == state);
        of_state
            .try_fold(Rho::ZERO, |sum, charge| sum.checked_add(charge.rho))
            .unwrap_or(Rho::from_units(u64::MAX))
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
mod tests;
