//! Prio3 for a schema among k aggregators, as functions over bytes.
//!
//! The contributor shards its measurement; every aggregator starts verification with its own
//! share and publishes a verifier share; all k verifier shares combine into one message, which
//! fails unless the proof holds; with the message each aggregator finishes and holds an output
//! share. Output shares add up to aggregate shares, aggregate shares to the released vector.
//! Follows draft-irtf-cfrg-vdaf-18 with a circuit of our own (`vdaf/circuit.rs`) and TurboSHAKE128.
//!
//! Every function is total on hostile bytes. What this file does not do: there is no protection
//! against replays here, and nothing says which aggregator a share came from; reports are kept
//! unique, and shares attributed, by the roles above.

use crate::schema::{Measurement, Schema};
use crate::seal;
use circuit::{Circuit, Field};
use prio::codec::{Encode, ParameterizedDecode};
use prio::field::FieldElement;
use prio::flp::{Flp, FlpError, Type};
use prio::vdaf::prio3::{
    Prio3, Prio3InputShare, Prio3PublicShare, Prio3VerifierMessage, Prio3VerifierShare, Prio3VerifyState,
};
use prio::vdaf::xof::XofTurboShake128;
use prio::vdaf::{Aggregator, VerifyTransition};

mod circuit;
mod error;
mod shard;
mod share;
#[cfg(test)]
mod tests;

pub use error::VdafError;
pub use share::{AggregateShare, OutputShare};

/// Fewest aggregators: with one there is no secret sharing.
pub const AGGREGATORS_MIN: u8 = 2;
/// Most aggregators.
pub const AGGREGATORS_MAX: u8 = 5;
/// Longest context string.
pub const CTX_BYTES_MAX: usize = 1024;

/// In the range that the draft leaves to private use.
const ALGORITHM_ID: u32 = 0xffff_f1e1;
const SEED_BYTES: usize = 32;

type Inner = Prio3<Circuit, XofTurboShake128, SEED_BYTES>;

/// A report before sealing: the public share and one input share per aggregator.
#[derive(Clone, PartialEq, Eq)]
pub struct Shares {
    /// Seen by all aggregators.
    pub public: Vec<u8>,
    /// One per aggregator, in the order of their indices; each is secret.
    pub inputs: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shares({} inputs)", self.inputs.len())
    }
}

/// An aggregator's state between the start and the end of verification.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyState {
    index: u8,
    inner: Prio3VerifyState<Field, SEED_BYTES>,
}

impl VerifyState {
    /// `index u8 ‖ state`; secret.
    ///
    /// # Errors
    /// The state cannot be written (does not happen for states made here).
    pub fn encode(&self) -> Result<Vec<u8>, VdafError> {
        let mut bytes = vec![self.index];
        self.inner.encode(&mut bytes).map_err(|source| VdafError::Codec {
            what: "verification state",
            source,
        })?;
        Ok(bytes)
    }

    /// The aggregator it belongs to.
    pub fn index(&self) -> u8 {
        self.index
    }
}

impl std::fmt::Debug for VerifyState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "VerifyState(aggregator {})", self.index)
    }
}

/// Prio3 for one schema and one number of aggregators.
#[derive(Clone, Debug)]
pub struct Vdaf {
    schema: Schema,
    aggregators: u8,
    circuit: Circuit,
    inner: Inner,
}

impl Vdaf {
    /// For a schema among 2 to 5 aggregators.
    ///
    /// # Errors
    /// The number of aggregators is out of range.
    pub fn new(schema: &Schema, aggregators: u8) -> Result<Self, VdafError> {
        if !(AGGREGATORS_MIN..=AGGREGATORS_MAX).contains(&aggregators) {
            return Err(VdafError::Aggregators { found: aggregators });
        }
        let circuit = Circuit::new(schema);
        let inner = Prio3::new(aggregators, 1, ALGORITHM_ID, circuit.clone())
            .map_err(|_| VdafError::Aggregators { found: aggregators })?;
        Ok(Self {
            schema: schema.clone(),
            aggregators,
            circuit,
            inner,
        })
    }

    /// The schema of its measurements.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Number of aggregators k.
    pub fn aggregators(&self) -> u8 {
        self.aggregators
    }

    /// Splits a measurement into k shares with a proof. The result is a function of the
    /// arguments; `seed` must be secret and unpredictable, `nonce` unique per report.
    ///
    /// # Errors
    /// The measurement is of another schema or the context is too long.
    pub fn shard(
        &self,
        ctx: &[u8],
        measurement: &Measurement,
        nonce: &[u8; 16],
        seed: &[u8; 32],
    ) -> Result<Shares, VdafError> {
        check_ctx(ctx)?;
        // A measurement of a schema with the same length but other bounds would make a proof that
        // nobody accepts: refuse it here.
        Measurement::new(&self.schema, measurement.values().to_vec())
            .map_err(|error| VdafError::Measurement(FlpError::Encode(error.to_string())))?;
        shard::shard(&self.circuit, self.aggregators, ctx, measurement, nonce, seed)
    }

    /// Starts verification of a report at aggregator `index`; returns its state and the verifier
    /// share to publish. `verify_key` is shared by the aggregators and unknown to contributors.
    ///
    /// # Errors
    /// Bytes that cannot be read, or a share that fails at once.
    pub fn verify_init(
        &self,
        verify_key: &[u8; 32],
        ctx: &[u8],
        index: u8,
        nonce: &[u8; 16],
        public: &[u8],
        input: &[u8],
    ) -> Result<(VerifyState, Vec<u8>), VdafError> {
        check_ctx(ctx)?;
        self.check_index(index)?;
        expect_bytes("public share", self.public_share_bytes(), public)?;
        expect_bytes("input share", self.input_share_bytes(index), input)?;
        let agg_id = usize::from(index);
        let public = Prio3PublicShare::get_decoded_with_param(&self.inner, public).map_err(|source| {
            VdafError::Codec {
                what: "public share",
                source,
            }
        })?;
        let input =
            Prio3InputShare::get_decoded_with_param(&(&self.inner, agg_id), input).map_err(|source| {
                VdafError::Codec {
                    what: "input share",
                    source,
                }
            })?;
        let (inner, verifier_share) = self
            .inner
            .verify_init(verify_key, ctx, agg_id, &(), nonce, &public, &input)
            .map_err(|source| VdafError::Rejected {
                step: "verify",
                source,
            })?;
        let bytes = verifier_share.get_encoded().map_err(|source| VdafError::Codec {
            what: "verifier share",
            source,
        })?;
        Ok((VerifyState { index, inner }, bytes))
    }

    /// Combines the verifier shares of all k aggregators, in the order of their indices, into the
    /// message that finishes verification.
    ///
    /// # Errors
    /// Not exactly k shares, bytes that cannot be read, or a proof that fails.
    pub fn combine(&self, ctx: &[u8], shares: &[Vec<u8>]) -> Result<Vec<u8>, VdafError> {
        check_ctx(ctx)?;
        let expected = usize::from(self.aggregators);
        if shares.len() != expected {
            return Err(VdafError::Incomplete {
                what: "verifier shares",
                expected,
                found: shares.len(),
            });
        }
        let shape = self.message_shape()?;
        let read = |bytes: &Vec<u8>| {
            expect_bytes("verifier share", self.verifier_share_bytes(), bytes)?;
            Prio3VerifierShare::get_decoded_with_param(&shape, bytes).map_err(|source| VdafError::Codec {
                what: "verifier share",
                source,
            })
        };
        let shares = shares.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let message = self
            .inner
            .verifier_shares_to_message(ctx, &(), shares)
            .map_err(|source| VdafError::Rejected {
                step: "combine",
                source,
            })?;
        message.get_encoded().map_err(|source| VdafError::Codec {
            what: "verifier message",
            source,
        })
    }

    /// Whether bytes have the form of a verifier share: the right length, and nothing but field elements.
    /// Whether it is the right one only the proof tells.
    pub fn is_verifier_share(&self, bytes: &[u8]) -> bool {
        let read =
            |shape| Prio3VerifierShare::<Field, SEED_BYTES>::get_decoded_with_param(&shape, bytes).is_ok();
        bytes.len() == self.verifier_share_bytes() && self.message_shape().is_ok_and(read)
    }

    /// Finishes verification with the combined message.
    ///
    /// # Errors
    /// Bytes that cannot be read, or a message that does not belong to this share.
    pub fn verify_next(
        &self,
        ctx: &[u8],
        state: VerifyState,
        message: &[u8],
    ) -> Result<OutputShare, VdafError> {
        check_ctx(ctx)?;
        expect_bytes("verifier message", self.message_bytes(), message)?;
        let message =
            Prio3VerifierMessage::get_decoded_with_param(&state.inner, message).map_err(|source| {
                VdafError::Codec {
                    what: "verifier message",
                    source,
                }
            })?;
        match self.inner.verify_next(ctx, state.inner, message) {
            Ok(VerifyTransition::Finish(share)) => Ok(OutputShare(share.as_ref().to_vec())),
            Ok(VerifyTransition::Continue(..)) => {
                let source = prio::vdaf::VdafError::Uncategorized("more rounds than one".to_owned());
                Err(VdafError::Rejected {
                    step: "finish",
                    source,
                })
            }
            Err(source) => Err(VdafError::Rejected {
                step: "finish",
                source,
            }),
        }
    }

    /// Reads a state written by [`VerifyState::encode`].
    ///
    /// # Errors
    /// Bytes that cannot be read.
    pub fn decode_state(&self, bytes: &[u8]) -> Result<VerifyState, VdafError> {
        let what = "verification state";
        let Some((&index, rest)) = bytes.split_first() else {
            return Err(VdafError::Bytes {
                what,
                expected: 1,
                found: 0,
            });
        };
        self.check_index(index)?;
        let inner = Prio3VerifyState::get_decoded_with_param(&(&self.inner, usize::from(index)), rest)
            .map_err(|source| VdafError::Codec { what, source })?;
        Ok(VerifyState { index, inner })
    }

    /// Reads an output share.
    ///
    /// # Errors
    /// A wrong length, or a value that is not a field element.
    pub fn decode_output(&self, bytes: &[u8]) -> Result<OutputShare, VdafError> {
        share::decode("output share", self.schema.len(), bytes).map(OutputShare)
    }

    /// Reads an aggregate share.
    ///
    /// # Errors
    /// A wrong length, or a value that is not a field element.
    pub fn decode_share(&self, bytes: &[u8]) -> Result<AggregateShare, VdafError> {
        share::decode("aggregate share", self.schema.len(), bytes).map(AggregateShare)
    }

    /// The aggregate share of no reports.
    pub fn zero(&self) -> AggregateShare {
        AggregateShare(vec![Field::zero(); self.schema.len()])
    }

    /// Adds all k aggregate shares up to the released vector, weighted and centred around zero.
    ///
    /// # Errors
    /// Not exactly k shares: the sum of fewer is meaningless.
    pub fn unshard(&self, shares: &[AggregateShare]) -> Result<Vec<i128>, VdafError> {
        let expected = usize::from(self.aggregators);
        if shares.len() != expected {
            return Err(VdafError::Incomplete {
                what: "aggregate shares",
                expected,
                found: shares.len(),
            });
        }
        share::sum(self.schema.len(), shares)
    }

    /// Bytes of a public share.
    pub fn public_share_bytes(&self) -> usize {
        SEED_BYTES * usize::from(self.aggregators)
    }

    /// Bytes of an input share: the leader's (index 0) is long, the others are seeds.
    pub fn input_share_bytes(&self, index: u8) -> usize {
        if index == 0 {
            (self.circuit.input_len() + self.circuit.proof_len()) * Field::ENCODED_SIZE + SEED_BYTES
        } else {
            2 * SEED_BYTES
        }
    }

    /// Bytes of a verifier share.
    pub fn verifier_share_bytes(&self) -> usize {
        self.circuit.verifier_len() * Field::ENCODED_SIZE + SEED_BYTES
    }

    /// Bytes of the combined message.
    pub fn message_bytes(&self) -> usize {
        SEED_BYTES
    }

    /// Bytes of an output or aggregate share.
    pub fn aggregate_share_bytes(&self) -> usize {
        self.circuit.output_len() * Field::ENCODED_SIZE
    }

    /// Bytes of a whole report: the public share and all sealed input shares.
    pub fn report_bytes_max(&self) -> usize {
        let sealed = |index| self.input_share_bytes(index) + seal::OVERHEAD_BYTES;
        self.public_share_bytes() + (0..self.aggregators).map(sealed).sum::<usize>()
    }

    fn check_index(&self, index: u8) -> Result<(), VdafError> {
        if index < self.aggregators {
            Ok(())
        } else {
            Err(VdafError::Index {
                found: index,
                aggregators: self.aggregators,
            })
        }
    }

    /// Any state at all: decoding verifier shares reads their lengths from one.
    fn message_shape(&self) -> Result<Prio3VerifyState<Field, SEED_BYTES>, VdafError> {
        Prio3VerifyState::get_decoded_with_param(&(&self.inner, 1), &[0; 2 * SEED_BYTES]).map_err(|source| {
            VdafError::Codec {
                what: "verification state",
                source,
            }
        })
    }
}

fn check_ctx(ctx: &[u8]) -> Result<(), VdafError> {
    if ctx.len() > CTX_BYTES_MAX {
        Err(VdafError::Context { found: ctx.len() })
    } else {
        Ok(())
    }
}

fn expect_bytes(what: &'static str, expected: usize, bytes: &[u8]) -> Result<(), VdafError> {
    if bytes.len() == expected {
        Ok(())
    } else {
        Err(VdafError::Bytes {
            what,
            expected,
            found: bytes.len(),
        })
    }
}
