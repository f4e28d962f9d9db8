//! The validity circuit of a schema: what a report's proof proves.
//!
//! Every integer x in `0..=max` is encoded as ⌊log₂ max⌋ + 1 bits of which the last has the weight
//! `max − (2^(bits−1) − 1)`, so that every string of bits decodes into the range and no string
//! exceeds it. The input holds the bits of n (with max = cap) and, for every other entry, the bits
//! of its value v and of a slack s (both with max = `per_record_max · cap`). The circuit checks
//! - that every input element is a bit, by one random linear combination per chunk of products
//!   x·(x − 1), with joint randomness;
//! - for every entry that v + s − `per_record_max`·n = 0. All terms are far below the modulus, so
//!   this holds over the integers and v ≤ `per_record_max`·n follows from s ≥ 0.
//!
//! The field has 128 bits: a false proof passes with probability around 2⁻¹²⁰ with a single proof.
//! The encoding of integers follows draft-irtf-cfrg-vdaf-18 (range-checked integers of `Sum`).

use crate::schema::{EntryKind, Measurement, Schema};
use prio::field::{Field128, FieldElement};
use prio::flp::gadgets::{Mul, ParallelSum, ParallelSumGadget};
use prio::flp::{Flp, FlpError, Gadget, Type};

/// The field of all shares.
pub(super) type Field = Field128;

/// An integer in `0..=max` as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    bits: usize,
    last_weight: u128,
}

impl Range {
    fn new(max: u64) -> Self {
        let bits = max.max(1).ilog2() as usize + 1;
        let below_last = (1u128 << (bits - 1)) - 1;
        Self {
            bits,
            last_weight: u128::from(max.max(1)) - below_last,
        }
    }

    /// Appends the bits of a value within the range.
    fn encode(&self, value: u64, out: &mut Vec<Field>) {
        let value = u128::from(value);
        let last = value >= 1 << (self.bits - 1);
        let rest = if last { value - self.last_weight } else { value };
        let bit = |set: bool| if set { Field::one() } else { Field::zero() };
        out.extend((0..self.bits - 1).map(|position| bit(rest >> position & 1 == 1)));
        out.push(bit(last));
    }

    /// Reads the integer off the front of `input`, which then holds the rest. Linear, so it works
    /// on shares.
    fn decode(&self, input: &mut &[Field]) -> Option<Field> {
        let (bits, rest) = input.split_at_checked(self.bits)?;
        let (last, low) = bits.split_last()?;
        *input = rest;
        let mut value = *last * Field::from(self.last_weight);
        let mut weight = Field::one();
        for bit in low {
            value += *bit * weight;
            weight += weight;
        }
        Some(value)
    }
}

/// An entry other than the record count.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bounded {
    range: Range,
    per_record_max: u64,
    weight: u64,
    centred: bool,
}

/// The circuit of one schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Circuit {
    records: Range,
    records_weight: u64,
    entries: Vec<Bounded>,
    input_len: usize,
    chunk_length: usize,
    gadget_calls: usize,
}

impl Circuit {
    pub(super) fn new(schema: &Schema) -> Self {
        let cap = u64::from(schema.cap());
        let records = Range::new(cap);
        let is_records = |kind| kind == EntryKind::Records;
        let entries: Vec<_> = schema
            .entries()
            .iter()
            .filter(|entry| !is_records(entry.kind))
            .map(|entry| Bounded {
                range: Range::new(u64::from(entry.per_record_max) * cap),
                per_record_max: u64::from(entry.per_record_max),
                weight: entry.weight,
                centred: entry.centred,
            })
            .collect();
        let records_weight = schema
            .entries()
            .iter()
            .find(|entry| is_records(entry.kind))
            .map_or(1, |entry| entry.weight);
        let input_len = records.bits + entries.iter().map(|entry| 2 * entry.range.bits).sum::<usize>();
        let (chunk_length, gadget_calls) = chunks(input_len);
        Self {
            records,
            records_weight,
            entries,
            input_len,
            chunk_length,
            gadget_calls,
        }
    }

    /// Σ over chunks of Σ rⁱ·x·(x − 1), on shares: the constant 1 is split evenly.
    fn bit_check(
        &self,
        gadget: &mut dyn Gadget<Field>,
        input: &[Field],
        joint_rand: &[Field],
        num_shares: usize,
    ) -> Result<Field, FlpError> {
        let one_share = Field::from(num_shares as u128).inv();
        let mut check = Field::zero();
        for (chunk, &r) in input.chunks(self.chunk_length).zip(joint_rand) {
            let mut power = Field::one();
            let mut arguments = Vec::with_capacity(2 * self.chunk_length);
            for &x in chunk {
                power *= r;
                arguments.extend([power * x, x - one_share]);
            }
            // A short last chunk is padded with zeros, which pass as bits.
            while arguments.len() < 2 * self.chunk_length {
                arguments.extend([Field::zero(), -one_share]);
            }
            check += gadget.eval(&arguments)?;
        }
        Ok(check)
    }
}

/// Chunk length and number of gadget calls that make the shortest proof: the gadget polynomial is
/// padded to a power of two, so only call counts just below one are worth trying.
fn chunks(input_len: usize) -> (usize, usize) {
    (1..=16)
        .map(|exponent| {
            let chunk_length = input_len.div_ceil((1usize << exponent) - 1);
            (chunk_length, input_len.div_ceil(chunk_length))
        })
        .min_by_key(|&(chunk_length, calls)| proof_len(chunk_length, calls))
        .unwrap_or((input_len, 1))
}

/// Wire seeds, and a gadget polynomial of degree 2 over the padded calls.
fn proof_len(chunk_length: usize, calls: usize) -> usize {
    2 * chunk_length + 2 * ((1 + calls).next_power_of_two() - 1) + 1
}

fn short_input() -> FlpError {
    FlpError::Valid("input shorter than the circuit's".to_owned())
}

impl Flp for Circuit {
    type Field = Field;

    fn gadget(&self) -> Vec<Box<dyn Gadget<Field>>> {
        let gadget: ParallelSum<Field, Mul> =
            ParallelSumGadget::new(Mul::new(self.gadget_calls), self.chunk_length);
        vec![Box::new(gadget)]
    }

    fn num_gadgets(&self) -> usize {
        1
    }

    fn valid(
        &self,
        gadgets: &mut Vec<Box<dyn Gadget<Field>>>,
        input: &[Field],
        joint_rand: &[Field],
        num_shares: usize,
    ) -> Result<Vec<Field>, FlpError> {
        self.valid_call_check(input, joint_rand)?;
        let gadget = gadgets.first_mut().ok_or_else(short_input)?;
        let mut output = vec![self.bit_check(gadget.as_mut(), input, joint_rand, num_shares)?];
        let mut rest = input;
        let records = self.records.decode(&mut rest).ok_or_else(short_input)?;
        for entry in &self.entries {
            let value = entry.range.decode(&mut rest).ok_or_else(short_input)?;
            let slack = entry.range.decode(&mut rest).ok_or_else(short_input)?;
            output.push(value + slack - Field::from(u128::from(entry.per_record_max)) * records);
        }
        Ok(output)
    }

    fn input_len(&self) -> usize {
        self.input_len
    }

    fn proof_len(&self) -> usize {
        proof_len(self.chunk_length, self.gadget_calls)
    }

    fn verifier_len(&self) -> usize {
        2 + 2 * self.chunk_length
    }

    fn joint_rand_len(&self) -> usize {
        self.gadget_calls
    }

    fn eval_output_len(&self) -> usize {
        1 + self.entries.len()
    }

    fn prove_rand_len(&self) -> usize {
        2 * self.chunk_length
    }
}

impl Type for Circuit {
    type Measurement = Measurement;
    type AggregateResult = Vec<u128>;

    fn encode_measurement(&self, measurement: &Measurement) -> Result<Vec<Field>, FlpError> {
        let (&records, values) = measurement.values().split_first().ok_or_else(short_input)?;
        if values.len() != self.entries.len() {
            return Err(FlpError::Encode("measurement of another schema".to_owned()));
        }
        let mut out = Vec::with_capacity(self.input_len);
        self.records.encode(records, &mut out);
        for (entry, &value) in self.entries.iter().zip(values) {
            let slack = (entry.per_record_max * records).checked_sub(value);
            let slack = slack.ok_or_else(|| FlpError::Encode("value above its bound".to_owned()))?;
            entry.range.encode(value, &mut out);
            entry.range.encode(slack, &mut out);
        }
        Ok(out)
    }

    fn truncate(&self, input: Vec<Field>) -> Result<Vec<Field>, FlpError> {
        self.truncate_call_check(&input)?;
        let mut rest = input.as_slice();
        let records = self.records.decode(&mut rest).ok_or_else(short_input)?;
        let mut output = vec![Field::from(u128::from(self.records_weight)) * records];
        for entry in &self.entries {
            let value = entry.range.decode(&mut rest).ok_or_else(short_input)?;
            entry.range.decode(&mut rest).ok_or_else(short_input)?;
            let weight = Field::from(u128::from(entry.weight));
            let centre = Field::from(u128::from(entry.per_record_max)) * records;
            output.push(
                weight
                    * if entry.centred {
                        value + value - centre
                    } else {
                        value
                    },
            );
        }
        Ok(output)
    }

    fn decode_result(&self, data: &[Field], _num_measurements: usize) -> Result<Vec<u128>, FlpError> {
        Ok(data.iter().map(|&element| u128::from(element)).collect())
    }

    fn output_len(&self) -> usize {
        1 + self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prio::field::FieldElementWithInteger;

    #[test]
    fn every_value_of_a_range_round_trips_and_no_bits_exceed_it() {
        for max in [1u64, 2, 3, 4, 7, 8, 10, 100, 399, 400, 1023] {
            let range = Range::new(max);
            for value in 0..=max {
                let mut bits = Vec::new();
                range.encode(value, &mut bits);
                assert_eq!(bits.len(), range.bits);
                assert!(
                    bits.iter()
                        .all(|&bit| bit == Field::zero() || bit == Field::one())
                );
                assert_eq!(
                    range.decode(&mut bits.as_slice()),
                    Some(Field::from(u128::from(value)))
                );
            }
            let ones = vec![Field::one(); range.bits];
            assert_eq!(
                range.decode(&mut ones.as_slice()),
                Some(Field::from(u128::from(max)))
            );
        }
    }

    #[test]
    fn the_largest_schema_keeps_all_terms_far_below_the_modulus() {
        let largest = u128::from(crate::schema::CAP_MAX) * 1024 * 4;
        assert!(largest < Field::modulus() / (1 << 80));
    }
}
