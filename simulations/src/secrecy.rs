//! The watch over what leaves a node: no measurement in the clear in any message, no share for anyone but
//! whom it is sealed to, and at the end no measurement in the store of another node.
//!
//! A measurement is looked for as numbers of eight bytes, as field elements, and as text.

use std::collections::BTreeMap;

use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::wire::rpc_request;
use fieldmark_protocol::{PublicKey, wire};

/// Fewest values of a measurement that is looked for: fewer would be found by chance.
const VALUES_MIN: usize = 3;
/// Bytes by which a place is recognised before it is compared.
const HEAD_BYTES: usize = 8;

/// The measurements that must not be seen, by whose they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    needles: Vec<(PublicKey, Vec<u8>)>,
    /// Measurements of several: whose bytes those are cannot be told.
    shared: Vec<Vec<u8>>,
    heads: BTreeMap<[u8; HEAD_BYTES], Vec<usize>>,
    /// First bytes of heads, for a quick look.
    first: Vec<bool>,
}

impl Secrets {
    /// Keeps a measurement in mind.
    pub(crate) fn keep(&mut self, whose: PublicKey, values: &[u64]) {
        let telling = values.iter().filter(|value| **value != 0).count();
        if values.len() < VALUES_MIN || telling < VALUES_MIN {
            return;
        }
        let numbers = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let elements = values
            .iter()
            .flat_map(|value| u128::from(*value).to_le_bytes())
            .collect();
        let text: Vec<String> = values.iter().map(u64::to_string).collect();
        for needle in [numbers, elements, text.join(",").into_bytes()] {
            self.add(whose, needle);
        }
    }

    fn add(&mut self, whose: PublicKey, needle: Vec<u8>) {
        let Some(head) = needle.first_chunk::<HEAD_BYTES>().copied() else {
            return;
        };
        if let Some((other, _)) = self.needles.iter().find(|(_, known)| *known == needle) {
            if *other != whose && !self.shared.contains(&needle) {
                self.shared.push(needle);
            }
            return;
        }
        self.first.resize(256, false);
        if let Some(seen) = self.first.get_mut(usize::from(head[0])) {
            *seen = true;
        }
        self.heads.entry(head).or_default().push(self.needles.len());
        self.needles.push((whose, needle));
    }

    /// Whose measurement is somewhere in `data`, if anyone's is.
    pub(crate) fn seen(&self, data: &[u8]) -> Option<PublicKey> {
        self.find(data).map(|(whose, _)| whose)
    }

    fn find(&self, data: &[u8]) -> Option<(PublicKey, &Vec<u8>)> {
        if self.needles.is_empty() {
            return None;
        }
        data.windows(HEAD_BYTES).enumerate().find_map(|(at, window)| {
            let byte = window.first().copied().unwrap_or(0);
            if !self.first.get(usize::from(byte)).copied().unwrap_or(false) {
                return None;
            }
            let found = self.heads.get(window)?;
            found.iter().find_map(|number| {
                let (whose, needle) = self.needles.get(*number)?;
                data.get(at..)?.starts_with(needle).then_some((*whose, needle))
            })
        })
    }

    /// What another node's measurements are found in a store of `whose` node.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub(crate) fn in_store(&self, store: &dyn Read, whose: &PublicKey) -> Result<Option<String>, StoreError> {
        for column in Column::ALL {
            for (_, value) in store.scan_all(column, &[])? {
                let found = self.find(&value).filter(|(other, _)| other != whose);
                // Two companies may have measured the same.
                if let Some((other, _)) = found.filter(|(_, needle)| !self.shared.contains(needle)) {
                    let column = column.name();
                    return Ok(Some(format!("the measurement of {} in {column}", other.short())));
                }
            }
        }
        Ok(None)
    }
}

/// What is wrong with a request of an honest leader to `peer`, if anything: a helper gets its own share.
pub(crate) fn misdirected(task: &Task, peer: &PublicKey, body: &rpc_request::Body) -> Option<String> {
    let rpc_request::Body::VerifyInit(init) = body else {
        return None;
    };
    let seat = task.seat(peer)?;
    let own = |report: &wire::HelperReport| {
        let digest = ContentHash::of(&report.sealed).to_vec();
        report.sealed_digests.get(seat) == Some(&digest)
    };
    let all = init.reports.iter().all(own);
    (!all).then(|| format!("the helper in seat {seat} got a share that is not sealed to it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32])
    }

    #[test]
    fn a_measurement_is_seen_in_every_form_and_chance_is_not() {
        let mut secrets = Secrets::default();
        let values = [12, 9, 7, 0, 5];
        secrets.keep(key(1), &values);
        let numbers: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let elements: Vec<u8> = values
            .iter()
            .flat_map(|value| u128::from(*value).to_le_bytes())
            .collect();
        for form in [numbers.clone(), elements, b"12,9,7,0,5".to_vec()] {
            let hidden = [b"some bytes".as_slice(), &form, b"more"].concat();
            assert_eq!(secrets.seen(&hidden), Some(key(1)));
        }
        assert_eq!(secrets.seen(&numbers[..32]), None);
        assert_eq!(secrets.seen(b"12,9,7,0,6 and more"), None);
    }

    #[test]
    fn what_chance_could_bring_is_not_looked_for() {
        let mut secrets = Secrets::default();
        secrets.keep(key(1), &[1, 0, 0, 0, 2]);
        assert_eq!(secrets.seen(&[0; 64]), None);
    }
}
