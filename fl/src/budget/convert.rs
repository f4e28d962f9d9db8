//! What a loss under a task's neighbour relation costs a filter kept under another.
//!
//! A change that is two changes of the task's kind, one after the other, costs four times its ρ
//! (Bun and Steinke 2016, proposition 1.9, for a group of two):
//! - exchanging a record is taking one away and adding another;
//! - any change of one record changes one organisation's report, and so is the report's way to the
//!   zero report and from there to the changed one.
//!
//! Nothing follows the other way round: a release that protects which record is there need not protect
//! how many there are, and one that protects a record need not protect a whole report. Those are refused.

use super::{Accounting, BudgetError, Charge, ChargeId, ChargeState, Filter};
use crate::privacy::{Relation, Rho};

/// What two steps cost, relative to one.
const TWO_STEPS: u64 = 4;

impl Filter {
    /// The ρ under this filter's relation of a release that is `rho`-zCDP under `task`'s.
    ///
    /// # Errors
    /// [`BudgetError::Relation`] when nothing follows.
    pub fn cost_under(&self, task: Relation, rho: Rho) -> Result<Rho, BudgetError> {
        use Relation::{AddOrRemoveOneRecord, ReplaceOneRecord, ReplaceReportByZero};
        let steps = match (self.relation(), task) {
            (filter, task) if filter == task => 1,
            (ReplaceOneRecord, AddOrRemoveOneRecord)
            | (AddOrRemoveOneRecord | ReplaceOneRecord, ReplaceReportByZero) => TWO_STEPS,
            (filter, task) => return Err(BudgetError::Relation { filter, task }),
        };
        Ok(Rho::from_units(rho.units().saturating_mul(steps)))
    }

    /// A filter with this one's promise that holds the charges of many: what they promise together.
    /// `id` gives each charge an id of its own.
    ///
    /// # Errors
    /// Together they do not fit, one has charges under a relation of which nothing follows, or is kept at
    /// one Rényi order, with charges or without.
    pub fn over<'a>(
        &self,
        others: impl Iterator<Item = (&'a str, &'a Self)>,
        id: impl Fn(&str, &ChargeId) -> ChargeId,
    ) -> Result<Self, BudgetError> {
        let mut whole = self.clone();
        for (name, other) in others {
            if let Accounting::Renyi(found) = other.accounting() {
                let kept = self.accounting();
                return Err(BudgetError::Order { kept, found });
            }
            for (inner, charge) in other.charges() {
                let id = id(name, inner);
                let cost = self.cost_under(other.relation(), charge.rho)?;
                match charge.state {
                    ChargeState::Reserved => whole.reserve(id, cost).map(|_| ())?,
                    ChargeState::Committed => {
                        whole.reserve(id, cost)?;
                        whole.commit(&id)?;
                    }
                    ChargeState::Refunded => whole.note_refunded(id, cost),
                }
            }
        }
        Ok(whole)
    }

    /// Sets aside what a release that is `rho`-zCDP under `task`'s relation costs under the filter's.
    ///
    /// # Errors
    /// As [`Self::cost_under`] and [`Self::reserve`].
    pub fn reserve_under(&mut self, id: ChargeId, task: Relation, rho: Rho) -> Result<Charge, BudgetError> {
        let cost = self.cost_under(task, rho)?;
        self.reserve(id, cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::{Delta, Epsilon};

    #[test]
    fn relations_are_converted_soundly_or_refused() {
        use Relation::{AddOrRemoveOneRecord, ReplaceOneRecord, ReplaceReportByZero};
        let rows = [
            (AddOrRemoveOneRecord, AddOrRemoveOneRecord, Some(1)),
            (AddOrRemoveOneRecord, ReplaceOneRecord, None),
            (AddOrRemoveOneRecord, ReplaceReportByZero, Some(4)),
            (ReplaceOneRecord, AddOrRemoveOneRecord, Some(4)),
            (ReplaceOneRecord, ReplaceOneRecord, Some(1)),
            (ReplaceOneRecord, ReplaceReportByZero, Some(4)),
            (ReplaceReportByZero, AddOrRemoveOneRecord, None),
            (ReplaceReportByZero, ReplaceOneRecord, None),
            (ReplaceReportByZero, ReplaceReportByZero, Some(1)),
        ];
        for (kept, task, factor) in rows {
            let (epsilon, delta) = (Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
            let mut filter = Filter::new(kept, epsilon, delta).unwrap();
            let reserved = filter.reserve_under([1; 32], task, Rho::from_units(1_000));
            match factor {
                Some(factor) => assert_eq!(reserved.unwrap().rho.units(), 1_000 * factor),
                None => {
                    let refused = Err(BudgetError::Relation { filter: kept, task });
                    assert_eq!(reserved, refused);
                    assert_eq!(filter.spent(), Rho::ZERO);
                }
            }
        }
    }

    #[test]
    fn a_filter_over_others_counts_each_of_their_charges_once() {
        let (epsilon, delta) = (Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap());
        let kept = Relation::AddOrRemoveOneRecord;
        let promise = Filter::new(kept, epsilon, delta).unwrap();
        let mut ward = Filter::new(kept, Epsilon::new(4.0).unwrap(), delta).unwrap();
        let mut lab = Filter::new(kept, epsilon, delta).unwrap();
        let part = Rho::from_units(promise.limit().units() / 4);
        for id in 1..4 {
            ward.reserve([id; 32], part).unwrap();
        }
        ward.commit(&[2; 32]).unwrap();
        ward.refund(&[3; 32]).unwrap();
        lab.reserve([1; 32], part).unwrap();
        let id = |name: &str, id: &ChargeId| *blake3::hash(&[name.as_bytes(), id].concat()).as_bytes();
        let over = |ward: &Filter| promise.over([("ward", ward), ("lab", &lab)].into_iter(), id);
        let whole = over(&ward).unwrap();
        assert_eq!(whole.spent().units(), 3 * part.units());
        assert_eq!(whole.total(ChargeState::Committed), part);
        assert_eq!(whole.total(ChargeState::Refunded), part);
        ward.reserve([5; 32], part).unwrap();
        ward.reserve([6; 32], part).unwrap();
        assert!(matches!(over(&ward), Err(BudgetError::Exhausted { .. })));
        let replace = Filter::new(Relation::ReplaceOneRecord, epsilon, delta).unwrap();
        assert!(promise.over([("other", &replace)].into_iter(), id).is_ok());
        let mut replace = replace;
        replace.reserve([1; 32], part).unwrap();
        let refused = promise.over([("other", &replace)].into_iter(), id);
        assert!(matches!(refused, Err(BudgetError::Relation { .. })));
    }
}
