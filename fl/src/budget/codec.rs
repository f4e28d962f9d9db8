//! The byte form of a filter's state.
//!
//! Version 2, little-endian throughout:
//! `version u8 = 2 ‖ relation u8 ‖ order u64 ‖ ε f64 ‖ δ f64 ‖ limit u64 ‖ count u32 ‖ count × (id 32
//! bytes ‖ ρ u64 ‖ state u8)`, ids strictly ascending; the order is in units of 1e-6, 0 for zCDP. Version 1
//! had no order, was always zCDP, and is read and written back as version 2. The encoding of a state is
//! unique, and decoding checks everything that the machine itself would have kept true.

use super::{Accounting, CHARGES_MAX, Charge, ChargeId, ChargeState, Filter, Order};
use crate::privacy::{Delta, Epsilon, PrivacyError, Relation, Rho};
use std::collections::BTreeMap;
use thiserror::Error;

/// The version written here.
const VERSION: u8 = 2;
/// The version before, which is read.
const VERSION_WITHOUT_ORDER: u8 = 1;

/// Why bytes are not a filter's state.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a newer program.
    #[error("the budget has format version {found}, this program reads up to {VERSION}: update it")]
    FutureVersion {
        /// The version found.
        found: u8,
    },
    /// Not a version that ever existed.
    #[error("the budget has format version {found}, which never existed")]
    UnknownVersion {
        /// The version found.
        found: u8,
    },
    /// The bytes end early.
    #[error("the budget's bytes end before its {field}")]
    Truncated {
        /// What was to be read.
        field: &'static str,
    },
    /// Bytes are left over.
    #[error("the budget has {count} bytes too many")]
    LeftOver {
        /// How many.
        count: usize,
    },
    /// A field holds a value it cannot have.
    #[error("the budget's {field} has the impossible value {found}")]
    Impossible {
        /// The field.
        field: &'static str,
        /// The value found.
        found: u64,
    },
    /// The charges are not in strictly ascending order.
    #[error("the budget's charges are out of order")]
    Order,
    /// The charges exceed the limit.
    #[error("the budget's charges exceed its limit")]
    Overspent,
    /// ε or δ is out of range.
    #[error("the budget's promise is out of range")]
    Promise(#[source] PrivacyError),
}

impl Filter {
    /// The unique byte form of the state; persist it before anything that it accounts for leaves.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, relation_code(self.relation)];
        bytes.extend(order_units(self.accounting).to_le_bytes());
        bytes.extend(self.epsilon.value().to_le_bytes());
        bytes.extend(self.delta.value().to_le_bytes());
        bytes.extend(self.limit.units().to_le_bytes());
        let count = u32::try_from(self.charges.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_le_bytes());
        for (id, charge) in &self.charges {
            bytes.extend(id);
            bytes.extend(charge.rho.units().to_le_bytes());
            bytes.push(state_code(charge.state));
        }
        bytes
    }

    /// Reads a state back.
    ///
    /// # Errors
    /// A newer version, missing or extra bytes, or a state that the machine cannot have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let version = reader.byte("version")?;
        match version {
            VERSION | VERSION_WITHOUT_ORDER => {}
            0 => return Err(DecodeError::UnknownVersion { found: 0 }),
            found => return Err(DecodeError::FutureVersion { found }),
        }
        let relation = relation_from(reader.byte("relation")?)?;
        let accounting = if version == VERSION_WITHOUT_ORDER {
            Accounting::Zcdp
        } else {
            accounting_from(u64::from_le_bytes(reader.take("order")?))?
        };
        let epsilon = Epsilon::new(f64::from_le_bytes(reader.take("ε")?)).map_err(DecodeError::Promise)?;
        let delta = Delta::new(f64::from_le_bytes(reader.take("δ")?)).map_err(DecodeError::Promise)?;
        let limit = Rho::from_units(u64::from_le_bytes(reader.take("limit")?));
        // The limit was fixed at creation, perhaps by another release of the conversion.
        if accounting.epsilon(limit, delta) > epsilon.value() * (1.0 + 1e-9) {
            return Err(DecodeError::Impossible {
                field: "limit",
                found: limit.units(),
            });
        }
        let charges = read_charges(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(DecodeError::LeftOver {
                count: reader.0.len(),
            });
        }
        let spent = total(&charges)
            .filter(|&spent| spent <= limit)
            .ok_or(DecodeError::Overspent)?;
        Ok(Self {
            relation,
            accounting,
            epsilon,
            delta,
            limit,
            spent,
            charges,
        })
    }
}

fn read_charges(reader: &mut Reader<'_>) -> Result<BTreeMap<ChargeId, Charge>, DecodeError> {
    let count = u32::from_le_bytes(reader.take("count")?);
    if count as usize > CHARGES_MAX {
        return Err(DecodeError::Impossible {
            field: "count",
            found: u64::from(count),
        });
    }
    let mut charges = BTreeMap::new();
    for _ in 0..count {
        let id: ChargeId = reader.take("charge id")?;
        let rho = Rho::from_units(u64::from_le_bytes(reader.take("charge")?));
        let state = state_from(reader.byte("charge state")?)?;
        if charges.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(DecodeError::Order);
        }
        charges.insert(id, Charge { rho, state });
    }
    Ok(charges)
}

fn total(charges: &BTreeMap<ChargeId, Charge>) -> Option<Rho> {
    charges
        .values()
        .filter(|charge| charge.state != ChargeState::Refunded)
        .try_fold(Rho::ZERO, |sum, charge| sum.checked_add(charge.rho))
}

fn relation_code(relation: Relation) -> u8 {
    match relation {
        Relation::AddOrRemoveOneRecord => 1,
        Relation::ReplaceOneRecord => 2,
        Relation::ReplaceReportByZero => 3,
    }
}

fn relation_from(code: u8) -> Result<Relation, DecodeError> {
    match code {
        1 => Ok(Relation::AddOrRemoveOneRecord),
        2 => Ok(Relation::ReplaceOneRecord),
        3 => Ok(Relation::ReplaceReportByZero),
        found => Err(DecodeError::Impossible {
            field: "relation",
            found: u64::from(found),
        }),
    }
}

fn order_units(accounting: Accounting) -> u64 {
    match accounting {
        Accounting::Zcdp => 0,
        Accounting::Renyi(order) => order.units(),
    }
}

fn accounting_from(units: u64) -> Result<Accounting, DecodeError> {
    if units == 0 {
        return Ok(Accounting::Zcdp);
    }
    let order = Order::from_units(units).map_err(|_| DecodeError::Impossible {
        field: "order",
        found: units,
    })?;
    Ok(Accounting::Renyi(order))
}

fn state_code(state: ChargeState) -> u8 {
    match state {
        ChargeState::Reserved => 1,
        ChargeState::Committed => 2,
        ChargeState::Refunded => 3,
    }
}

fn state_from(code: u8) -> Result<ChargeState, DecodeError> {
    match code {
        1 => Ok(ChargeState::Reserved),
        2 => Ok(ChargeState::Committed),
        3 => Ok(ChargeState::Refunded),
        found => Err(DecodeError::Impossible {
            field: "charge state",
            found: u64::from(found),
        }),
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .0
            .split_first_chunk()
            .ok_or(DecodeError::Truncated { field })?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.take::<1>(field).map(|[byte]| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Filter {
        let (epsilon, delta) = (Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
        let mut filter = Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta).unwrap();
        for id in 1..4 {
            filter
                .reserve([id; 32], Rho::from_units(u64::from(id) * 1_000_000))
                .unwrap();
        }
        filter.commit(&[2; 32]).unwrap();
        filter.refund(&[3; 32]).unwrap();
        filter
    }

    /// The same state as version 1 wrote it: without the order.
    fn sample_of_version_1() -> Vec<u8> {
        let mut bytes = sample().encode();
        bytes[0] = 1;
        bytes.drain(2..10);
        bytes
    }

    #[test]
    fn the_byte_form_is_fixed() {
        let digest = blake3::hash(&sample().encode());
        assert_eq!(sample().encode().len(), 38 + 3 * 41);
        assert_eq!(digest.to_hex().as_str(), GOLDEN);
        let ordered = blake3::hash(&sample_at_order().encode());
        assert_eq!(ordered.to_hex().as_str(), GOLDEN_AT_ORDER);
    }

    const GOLDEN: &str = "5ffd98e11dba27d64960fc2ae8f9a9bf2cb0b2f03d4123f3da8b0117b09dde0e";
    const GOLDEN_AT_ORDER: &str = "a3e0732d600d48912b0e02645c718aefb63de56ce235cc616533ca30a034a1f8";

    fn sample_at_order() -> Filter {
        let (epsilon, delta) = (Epsilon::new(4.0).unwrap(), Delta::new(1e-6).unwrap());
        let order = Order::from_units(9_500_000).unwrap();
        let kept = Accounting::Renyi(order);
        let mut filter = Filter::with_accounting(Relation::ReplaceOneRecord, kept, epsilon, delta).unwrap();
        filter.reserve_at_order([7; 32], order, 0.25).unwrap();
        filter
    }

    #[test]
    fn bytes_of_version_1_are_read_and_become_version_2() {
        let old = sample_of_version_1();
        // The digest that version 1's own test held.
        let digest = blake3::hash(&old);
        assert_eq!(digest.to_hex().as_str(), GOLDEN_OF_VERSION_1);
        let filter = Filter::decode(&old).unwrap();
        assert_eq!(filter, sample());
        assert_eq!(Filter::decode(&filter.encode()).unwrap(), sample());
    }

    const GOLDEN_OF_VERSION_1: &str = "f57fd773feb5222ea996b7930abee529e8f0d84259a89794189ba690b512c6db";

    #[test]
    fn a_newer_version_says_so() {
        let mut bytes = sample().encode();
        bytes[0] = 3;
        assert_eq!(
            Filter::decode(&bytes),
            Err(DecodeError::FutureVersion { found: 3 })
        );
    }

    #[test]
    fn impossible_states_are_refused() {
        let good = sample().encode();
        for cut in 0..good.len() {
            assert!(matches!(
                Filter::decode(&good[..cut]),
                Err(DecodeError::Truncated { .. })
            ));
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(Filter::decode(&longer), Err(DecodeError::LeftOver { count: 1 }));
        let mut doubled = good.clone();
        let first: Vec<u8> = good[38..79].to_vec();
        doubled[79..120].copy_from_slice(&first);
        assert_eq!(Filter::decode(&doubled), Err(DecodeError::Order));
        let mut overspent = good.clone();
        overspent[70..78].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        assert_eq!(Filter::decode(&overspent), Err(DecodeError::Overspent));
        let mut wider = good;
        wider[26..34].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(
            Filter::decode(&wider),
            Err(DecodeError::Impossible { field: "limit", .. })
        ));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_state_with_that_encoding(
            flips in proptest::collection::vec((0usize..161, any::<u8>()), 1..6),
        ) {
            let mut bytes = sample().encode();
            for (at, value) in flips {
                bytes[at] = value;
            }
            if let Ok(filter) = Filter::decode(&bytes) {
                let mut again = filter.encode();
                if bytes[0] == 1 {
                    again[0] = 1;
                    again.drain(2..10);
                }
                prop_assert_eq!(again, bytes);
                prop_assert!(filter.spent() <= filter.limit());
            }
        }
    }
}
