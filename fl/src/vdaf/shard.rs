//! Splitting a measurement into shares with a proof, deterministic in a seed.
//!
//! The algorithm is Prio3's sharding with joint randomness (draft-irtf-cfrg-vdaf-18)
//! over one proof. `prio` draws its randomness from the operating system inside `shard`; here
//! nothing does, so the steps are written out over its public proof system and XOF and produce
//! exactly the messages that its verifier reads. The tests hold the two together.
//!
//! Deviation: the randomness is not the caller's seed itself but a keyed hash of the context, the
//! nonce and the measurement under it, so that a seed used twice by mistake does not reveal the
//! difference of two measurements.

use super::circuit::{Circuit, Field};
use super::{ALGORITHM_ID, Shares, VdafError};
use crate::schema::Measurement;
use prio::codec::Encode;
use prio::field::FieldElement;
use prio::flp::{Flp, Type};
use prio::vdaf::xof::{IntoFieldVec, Seed, Xof, XofTurboShake128};

/// Version byte of the draft that `prio` implements.
const DRAFT: u8 = 18;
const PROOFS: u8 = 1;

const MEASUREMENT_SHARE: u16 = 1;
const PROOF_SHARE: u16 = 2;
const JOINT_RANDOMNESS: u16 = 3;
const PROVE_RANDOMNESS: u16 = 4;
const JOINT_RAND_SEED: u16 = 6;
const JOINT_RAND_PART: u16 = 7;

/// What every derivation of one report shares.
struct Context<'a> {
    ctx: &'a [u8],
    nonce: &'a [u8; 16],
}

/// The seeds of one report.
struct Seeds {
    helpers: Vec<HelperSeeds>,
    leader_blind: [u8; 32],
    prove: [u8; 32],
}

struct HelperSeeds {
    share: [u8; 32],
    blind: [u8; 32],
}

/// Shards a measurement among `aggregators`, the leader first.
pub(super) fn shard(
    circuit: &Circuit,
    aggregators: u8,
    ctx: &[u8],
    measurement: &Measurement,
    nonce: &[u8; 16],
    seed: &[u8; 32],
) -> Result<Shares, VdafError> {
    let context = Context { ctx, nonce };
    let seeds = Seeds::derive(&context, aggregators, measurement, seed);
    let encoded = circuit
        .encode_measurement(measurement)
        .map_err(VdafError::Measurement)?;
    context.shard_encoded(circuit, &seeds, &encoded)
}

impl Seeds {
    fn derive(context: &Context<'_>, aggregators: u8, measurement: &Measurement, seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(seed);
        hasher.update(b"fieldmark shard v1");
        hasher.update(&(context.ctx.len() as u64).to_le_bytes());
        hasher.update(context.ctx);
        hasher.update(context.nonce);
        for value in measurement.values() {
            hasher.update(&value.to_le_bytes());
        }
        let mut stream = hasher.finalize_xof();
        let mut next = || {
            let mut seed = [0; 32];
            stream.fill(&mut seed);
            seed
        };
        let helpers = (1..aggregators)
            .map(|_| HelperSeeds {
                share: next(),
                blind: next(),
            })
            .collect();
        Self {
            helpers,
            leader_blind: next(),
            prove: next(),
        }
    }
}

impl Context<'_> {
    /// Splits an encoded input and proves it. What is not a valid encoding gives shares that no
    /// verifier accepts.
    fn shard_encoded(
        &self,
        circuit: &Circuit,
        seeds: &Seeds,
        encoded: &[Field],
    ) -> Result<Shares, VdafError> {
        let mut leader_share = encoded.to_vec();
        let mut helper_parts = Vec::with_capacity(seeds.helpers.len());
        for (helper, index) in seeds.helpers.iter().zip(1..) {
            let share = self.field_vec(&helper.share, MEASUREMENT_SHARE, &[index], encoded.len());
            subtract(&mut leader_share, &share);
            helper_parts.push(self.joint_rand_part(&helper.blind, index, &share)?);
        }
        let leader_part = self.joint_rand_part(&seeds.leader_blind, 0, &leader_share)?;
        let parts: Vec<_> = std::iter::once(leader_part).chain(helper_parts).collect();

        let mut leader_proof = self.prove(circuit, encoded, &parts, &seeds.prove)?;
        for (helper, index) in seeds.helpers.iter().zip(1..) {
            let len = leader_proof.len();
            let share = self.field_vec(&helper.share, PROOF_SHARE, &[PROOFS, index], len);
            subtract(&mut leader_proof, &share);
        }

        let mut leader = encode_all(leader_share.iter().chain(&leader_proof))?;
        leader.extend(seeds.leader_blind);
        let helpers = seeds
            .helpers
            .iter()
            .map(|helper| [helper.share, helper.blind].concat());
        Ok(Shares {
            public: parts.iter().flat_map(|part| *part.as_ref()).collect(),
            inputs: std::iter::once(leader).chain(helpers).collect(),
        })
    }

    fn xof(&self, seed: &[u8; 32], usage: u16) -> XofTurboShake128 {
        XofTurboShake128::init(seed, &[&domain_separation_tag(usage), self.ctx])
    }

    fn field_vec(&self, seed: &[u8; 32], usage: u16, binder: &[u8], len: usize) -> Vec<Field> {
        let mut xof = self.xof(seed, usage);
        xof.update(binder);
        xof.into_seed_stream().into_field_vec(len)
    }

    fn joint_rand_part(&self, blind: &[u8; 32], index: u8, share: &[Field]) -> Result<Seed<32>, VdafError> {
        let mut xof = self.xof(blind, JOINT_RAND_PART);
        xof.update(&[index]);
        xof.update(self.nonce);
        xof.update(&encode_all(share)?);
        Ok(xof.into_seed())
    }

    fn prove(
        &self,
        circuit: &Circuit,
        encoded: &[Field],
        parts: &[Seed<32>],
        prove_seed: &[u8; 32],
    ) -> Result<Vec<Field>, VdafError> {
        let mut xof = self.xof(&[0; 32], JOINT_RAND_SEED);
        parts.iter().for_each(|part| xof.update(part.as_ref()));
        let joint_seed = xof.into_seed();
        let joint_rand = self.field_vec(
            joint_seed.as_ref(),
            JOINT_RANDOMNESS,
            &[PROOFS],
            circuit.joint_rand_len(),
        );
        let prove_rand = self.field_vec(prove_seed, PROVE_RANDOMNESS, &[PROOFS], circuit.prove_rand_len());
        circuit
            .prove(encoded, &prove_rand, &joint_rand)
            .map_err(VdafError::Proof)
    }
}

/// Version, class 0 (VDAF), algorithm, usage.
fn domain_separation_tag(usage: u16) -> [u8; 8] {
    let ([a, b, c, d], [e, f]) = (ALGORITHM_ID.to_be_bytes(), usage.to_be_bytes());
    [DRAFT, 0, a, b, c, d, e, f]
}

fn subtract(from: &mut [Field], share: &[Field]) {
    for (element, &taken) in from.iter_mut().zip(share) {
        *element -= taken;
    }
}

fn encode_all<'a>(elements: impl IntoIterator<Item = &'a Field>) -> Result<Vec<u8>, VdafError> {
    let elements = elements.into_iter();
    let mut bytes = Vec::with_capacity(elements.size_hint().0 * Field::ENCODED_SIZE);
    for element in elements {
        element.encode(&mut bytes).map_err(|source| VdafError::Codec {
            what: "share",
            source,
        })?;
    }
    Ok(bytes)
}

/// Shards any input at all, for tests of what the verifiers refuse.
#[cfg(test)]
pub(super) fn shard_unchecked(
    circuit: &Circuit,
    aggregators: u8,
    ctx: &[u8],
    nonce: &[u8; 16],
    encoded: &[Field],
) -> Shares {
    let context = Context { ctx, nonce };
    let helpers = (1..aggregators).map(|index| HelperSeeds {
        share: [index; 32],
        blind: [index + 10; 32],
    });
    let seeds = Seeds {
        helpers: helpers.collect(),
        leader_blind: [20; 32],
        prove: [21; 32],
    };
    context.shard_encoded(circuit, &seeds, encoded).unwrap()
}
