//! A node's disk: a store in memory that can refuse a write, and that watches every write for what
//! must never be written.
//!
//! The watch is the checker that runs after each step: a noisy share is never drawn again, a place of a
//! log never gets another record, and a budget never forgets a charge.

use std::cell::RefCell;
use std::rc::Rc;

use fieldmark_fl::budget::{ChargeState, Filter};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::machine::{Batch, Column, Entry, Read, Store, StoreError, Write};

use crate::scenario::Fault;

/// Bytes of the batch in the keys of `Column::Aggregation`: task id and window.
const BATCH_BYTES: usize = 40;
/// Tag of the noisy share there.
pub(crate) const NOISY: u8 = b'N';
/// Tag of what the replicate groups were drawn from.
pub(crate) const GROUP_SEED: u8 = b'M';
/// Tag of the batch as concluded.
pub(crate) const CONCLUDED: u8 = b'D';

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Armed {
    commits_left: u64,
    fault: Fault,
}

/// The hand on a disk while a machine runs on it. Clones are the same hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Control(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    commits: u64,
    armed: Option<Armed>,
    struck: Option<Fault>,
    violations: Vec<String>,
}

impl Control {
    /// Lets `fault` strike at the `commits`-th commit from now, the first being 1.
    pub(crate) fn arm(&self, commits: u64, fault: Fault) {
        self.0.borrow_mut().armed = Some(Armed {
            commits_left: commits.max(1),
            fault,
        });
    }

    /// Takes a fault that has not struck back.
    pub(crate) fn disarm(&self) {
        self.0.borrow_mut().armed = None;
    }

    /// The fault that struck since this was asked last.
    pub(crate) fn struck(&self) -> Option<Fault> {
        self.0.borrow_mut().struck.take()
    }

    /// What was written that must not be, since this was asked last.
    pub(crate) fn violations(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().violations)
    }

    /// Commits so far, refused ones included.
    pub(crate) fn commits(&self) -> u64 {
        self.0.borrow().commits
    }

    fn strike(&self) -> Option<Fault> {
        let mut state = self.0.borrow_mut();
        state.commits += 1;
        let armed = state.armed.as_mut()?;
        armed.commits_left -= 1;
        if armed.commits_left > 0 {
            return None;
        }
        let fault = armed.fault;
        state.armed = None;
        state.struck = Some(fault);
        Some(fault)
    }
}

/// A store with faults and a watch.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    store: MemoryStore,
    control: Control,
}

impl Disk {
    /// A disk that something is on already.
    pub(crate) fn with(store: MemoryStore) -> Self {
        Self {
            store,
            control: Control::default(),
        }
    }

    /// The hand on it.
    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    /// What is on it.
    pub(crate) fn into_store(self) -> MemoryStore {
        self.store
    }

    fn watch(&self, write: &Write) -> Result<(), StoreError> {
        let watched = match write.column {
            Column::Logs | Column::Budgets => true,
            Column::Aggregation => write.key.get(BATCH_BYTES) == Some(&NOISY),
            _ => false,
        };
        let held = if watched {
            self.store.get(write.column, &write.key)?
        } else {
            None
        };
        let Some(held) = held.filter(|held| write.value.as_ref() != Some(held)) else {
            return Ok(());
        };
        let violation = match write.column {
            Column::Logs => Some("a place of a log was written again".to_owned()),
            Column::Aggregation => Some("a noisy share was written again".to_owned()),
            _ => match &write.value {
                Some(value) => budget_violation(&held, value),
                None => Some("a budget was deleted".to_owned()),
            },
        };
        self.control.0.borrow_mut().violations.extend(violation);
        Ok(())
    }
}

/// What is wrong with the change of a filter.
fn budget_violation(before: &[u8], after: &[u8]) -> Option<String> {
    let (before, after) = match (Filter::decode(before), Filter::decode(after)) {
        (Ok(before), Ok(after)) => (before, after),
        (_, Err(error)) | (Err(error), _) => return Some(format!("a budget does not decode: {error}")),
    };
    for (id, charge) in before.charges() {
        match after.charge(id) {
            None => return Some("a budget forgot a charge".to_owned()),
            Some(now) if now.rho != charge.rho => return Some("a budget changed a charge".to_owned()),
            Some(now) if charge.state == ChargeState::Refunded && now.state != ChargeState::Refunded => {
                return Some("a budget took a refund back".to_owned());
            }
            Some(_) => {}
        }
    }
    None
}

impl Read for Disk {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.store.scan(column, prefix, from, limit)
    }
}

impl Store for Disk {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.control.strike() == Some(Fault::Disk) {
            return Err(StoreError::Engine {
                step: "commit",
                detail: "simulated fault".to_owned(),
            });
        }
        for write in batch.writes() {
            self.watch(write)?;
        }
        self.store.commit(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_fl::privacy::{Delta, Epsilon, Relation, Rho};

    fn put(column: Column, key: &[u8], value: &[u8]) -> Batch {
        let mut batch = Batch::new();
        batch.put(column, key, value);
        batch
    }

    fn noisy_key() -> Vec<u8> {
        [&[7; BATCH_BYTES][..], &[NOISY]].concat()
    }

    #[test]
    fn a_disk_fault_leaves_nothing_behind_and_strikes_once() {
        let mut disk = Disk::default();
        disk.control().arm(2, Fault::Disk);
        disk.commit(&put(Column::Meta, b"a", b"1")).unwrap();
        disk.commit(&put(Column::Meta, b"a", b"2")).unwrap_err();
        assert_eq!(disk.get(Column::Meta, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(
            (disk.control().struck(), disk.control().struck()),
            (Some(Fault::Disk), None)
        );
        disk.commit(&put(Column::Meta, b"a", b"3")).unwrap();
    }

    #[test]
    fn noise_drawn_twice_is_seen() {
        let mut disk = Disk::default();
        for value in [b"x", b"x"] {
            disk.commit(&put(Column::Aggregation, &noisy_key(), value))
                .unwrap();
        }
        assert!(disk.control().violations().is_empty());
        disk.commit(&put(Column::Aggregation, &noisy_key(), b"y"))
            .unwrap();
        let mut forget = Batch::new();
        forget.delete(Column::Aggregation, noisy_key());
        disk.commit(&forget).unwrap();
        assert_eq!(
            disk.control().violations(),
            ["a noisy share was written again"; 2]
        );
    }

    #[test]
    fn a_second_record_at_one_place_is_seen() {
        let mut disk = Disk::default();
        disk.commit(&put(Column::Logs, b"place", b"x")).unwrap();
        disk.commit(&put(Column::Logs, b"place", b"y")).unwrap();
        assert_eq!(
            disk.control().violations(),
            ["a place of a log was written again"]
        );
    }

    #[test]
    fn a_budget_that_forgets_or_overspends_is_seen() {
        let (epsilon, delta) = (Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
        let empty = Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta).unwrap();
        let mut charged = empty.clone();
        charged.reserve([1; 32], Rho::from_units(1_000)).unwrap();
        let mut disk = Disk::default();
        disk.commit(&put(Column::Budgets, b"source", &empty.encode()))
            .unwrap();
        disk.commit(&put(Column::Budgets, b"source", &charged.encode()))
            .unwrap();
        assert!(disk.control().violations().is_empty());
        disk.commit(&put(Column::Budgets, b"source", &empty.encode()))
            .unwrap();
        assert_eq!(disk.control().violations(), ["a budget forgot a charge"]);
        let mut overspent = charged.encode();
        overspent[70..78].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        disk.commit(&put(Column::Budgets, b"source", &overspent)).unwrap();
        assert!(disk.control().violations()[0].contains("exceed its limit"));
    }
}
