//! The pure heavy jobs that node and simulator share: plain structs in, plain structs out.
//!
//! A batch job answers per report, so that one bad report costs its sender and nobody else. Which
//! thread runs a job, and when, is the caller's business.

use crate::privacy::NoiseScale;
use crate::schema::Measurement;
use crate::seal::{self, SealError, SecretKey};
use crate::vdaf::{AggregateShare, OutputShare, Vdaf, VdafError, VerifyState};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use thiserror::Error;

/// What went wrong in a job.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// In sharding, verification or summing.
    #[error(transparent)]
    Vdaf(#[from] VdafError),
    /// In sealing or opening a share.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The number of recipients is not the number of aggregators.
    #[error("{found} recipients, the task has {expected} aggregators")]
    Recipients {
        /// Aggregators of the task.
        expected: usize,
        /// Recipients given.
        found: usize,
    },
}

/// To whom one input share is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The aggregator's HPKE public key.
    pub public_key: [u8; 32],
    /// HPKE info: protocol version and the recipient's index.
    pub info: Vec<u8>,
}

/// A measurement to be made into a sealed report.
#[derive(Clone)]
pub struct ShardJob<'a> {
    /// Schema and number of aggregators.
    pub vdaf: &'a Vdaf,
    /// Context of the task (its hash).
    pub ctx: &'a [u8],
    /// What is reported.
    pub measurement: &'a Measurement,
    /// Unique per report.
    pub nonce: [u8; 16],
    /// One per aggregator, in the order of their indices.
    pub recipients: &'a [Recipient],
    /// Fresh randomness of this report.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for ShardJob<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ShardJob({} recipients)", self.recipients.len())
    }
}

/// A report ready to be signed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedReport {
    /// The public share.
    pub public: Vec<u8>,
    /// The sealed input shares, in the order of the recipients.
    pub sealed: Vec<Vec<u8>>,
}

/// Shards a measurement and seals every share. `aad` makes the associated data from the public
/// share, since it covers that share's hash.
///
/// # Errors
/// The wrong number of recipients, an unusable key, or a measurement of another schema.
pub fn shard_and_seal(job: &ShardJob<'_>, aad: impl Fn(&[u8]) -> Vec<u8>) -> Result<SealedReport, JobError> {
    let expected = usize::from(job.vdaf.aggregators());
    if job.recipients.len() != expected {
        return Err(JobError::Recipients {
            expected,
            found: job.recipients.len(),
        });
    }
    let shard_seed = blake3::keyed_hash(&job.seed, b"fieldmark shard seed");
    let shares = job
        .vdaf
        .shard(job.ctx, job.measurement, &job.nonce, shard_seed.as_bytes())?;
    let aad = aad(&shares.public);
    let sealed = (0u8..)
        .zip(job.recipients.iter().zip(&shares.inputs))
        .map(|(index, (recipient, input))| {
            let seed = blake3::keyed_hash(&job.seed, &[b"fieldmark seal seed".as_slice(), &[index]].concat());
            seal::seal(
                &recipient.public_key,
                &recipient.info,
                &aad,
                input,
                seed.as_bytes(),
            )
        })
        .collect::<Result<_, _>>()?;
    Ok(SealedReport {
        public: shares.public,
        sealed,
    })
}

/// What an aggregator brings to every verification of a task.
#[derive(Clone)]
pub struct Verifier<'a> {
    /// Schema and number of aggregators.
    pub vdaf: &'a Vdaf,
    /// Context of the task (its hash).
    pub ctx: &'a [u8],
    /// The aggregator's index.
    pub index: u8,
    /// The aggregators' shared verification key.
    pub verify_key: [u8; 32],
    /// The aggregator's decryption key.
    pub secret: &'a SecretKey,
    /// HPKE info of this aggregator.
    pub info: &'a [u8],
}

impl std::fmt::Debug for Verifier<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Verifier(aggregator {})", self.index)
    }
}

/// One report at one aggregator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitInput {
    /// The report's nonce.
    pub nonce: [u8; 16],
    /// The public share.
    pub public: Vec<u8>,
    /// The share sealed to this aggregator.
    pub sealed: Vec<u8>,
    /// Associated data of the seal.
    pub aad: Vec<u8>,
}

/// Opens and starts verifying a batch of reports; one answer per report, in order: the state to
/// keep and the verifier share to send.
pub fn verify_batch_init(
    verifier: &Verifier<'_>,
    reports: &[InitInput],
) -> Vec<Result<(VerifyState, Vec<u8>), JobError>> {
    let init = |report: &InitInput| {
        let input = seal::open(verifier.secret, verifier.info, &report.aad, &report.sealed)?;
        let Verifier {
            vdaf,
            ctx,
            index,
            verify_key,
            ..
        } = verifier;
        Ok(vdaf.verify_init(verify_key, ctx, *index, &report.nonce, &report.public, &input)?)
    };
    reports.iter().map(init).collect()
}

/// One report whose verifier shares have all arrived.
#[derive(Clone, Debug)]
pub struct FinishInput {
    /// This aggregator's state.
    pub state: VerifyState,
    /// All k verifier shares, in the order of the aggregators' indices.
    pub verifier_shares: Vec<Vec<u8>>,
}

/// Combines verifier shares and finishes a batch of reports; one answer per report, in order.
pub fn verify_batch_finish(
    vdaf: &Vdaf,
    ctx: &[u8],
    reports: Vec<FinishInput>,
) -> Vec<Result<OutputShare, JobError>> {
    let finish = |report: FinishInput| {
        let message = vdaf.combine(ctx, &report.verifier_shares)?;
        Ok(vdaf.verify_next(ctx, report.state, &message)?)
    };
    reports.into_iter().map(finish).collect()
}

/// An accumulated share with one draw of noise of the full scale. In production the seed is fresh
/// from the operating system; the result is persisted before anything leaves.
///
/// # Errors
/// The scale is outside the sampler's range.
pub fn noisy_share(
    accumulated: &AggregateShare,
    scale: NoiseScale,
    seed: [u8; 32],
) -> Result<AggregateShare, JobError> {
    let mut share = accumulated.clone();
    share.add_noise(scale, &mut ChaCha20Rng::from_seed(seed))?;
    Ok(share)
}

/// Adds the published shares of all k aggregators up to the released vector.
///
/// # Errors
/// A share cannot be read, or not all k are there.
pub fn sum_shares(vdaf: &Vdaf, shares: &[Vec<u8>]) -> Result<Vec<i128>, JobError> {
    let shares = shares
        .iter()
        .map(|bytes| vdaf.decode_share(bytes))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(vdaf.unshard(&shares)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{RecordOutcome, Schema, SchemaParams, Statistics};

    const CTX: &[u8] = b"task";

    fn vdaf(aggregators: u8) -> Vdaf {
        let statistics = Statistics {
            paired: true,
            calibration: false,
            extra: crate::schema::Extra::PLAIN,
        };
        let params = SchemaParams {
            models: 2,
            slices: 2,
            cap: 10,
            statistics,
        };
        Vdaf::new(&Schema::new(&params).unwrap(), aggregators).unwrap()
    }

    fn keys(aggregators: u8) -> (Vec<SecretKey>, Vec<Recipient>) {
        (0..aggregators)
            .map(|index| {
                let (secret, public_key) = seal::keypair(&[index + 1; 32]);
                (
                    secret,
                    Recipient {
                        public_key,
                        info: vec![1, index],
                    },
                )
            })
            .unzip()
    }

    fn report(vdaf: &Vdaf, recipients: &[Recipient], id: u8, bit: bool) -> SealedReport {
        let outcome = RecordOutcome {
            correct: vec![vec![true, bit], vec![bit, false]],
            confidence: vec![],
            details: None,
        };
        let measurement = vdaf.schema().measure(&[outcome]).unwrap();
        let job = ShardJob {
            vdaf,
            ctx: CTX,
            measurement: &measurement,
            nonce: [id; 16],
            recipients,
            seed: [id; 32],
        };
        shard_and_seal(&job, <[u8]>::to_vec).unwrap()
    }

    #[test]
    fn sealed_reports_become_an_aggregate_and_a_bad_one_costs_only_itself() {
        let vdaf = vdaf(3);
        let (secrets, recipients) = keys(3);
        let mut reports: Vec<_> = (0..4)
            .map(|id| report(&vdaf, &recipients, id, id % 2 == 0))
            .collect();
        reports[1].sealed[0][40] ^= 1;
        let mut states = Vec::new();
        let mut verifier_shares = Vec::new();
        for (index, secret) in (0u8..).zip(&secrets) {
            let verifier = Verifier {
                vdaf: &vdaf,
                ctx: CTX,
                index,
                verify_key: [9; 32],
                secret,
                info: &[1, index],
            };
            let inputs: Vec<_> = (0u8..)
                .zip(&reports)
                .map(|(id, report)| InitInput {
                    nonce: [id; 16],
                    public: report.public.clone(),
                    sealed: report.sealed[usize::from(index)].clone(),
                    aad: report.public.clone(),
                })
                .collect();
            let answers = verify_batch_init(&verifier, &inputs);
            assert_eq!(
                answers.iter().filter(|answer| answer.is_err()).count(),
                usize::from(index == 0)
            );
            let kept: Vec<_> = [0, 2, 3]
                .iter()
                .map(|&at| answers[at].as_ref().unwrap().clone())
                .collect();
            states.push(kept.iter().map(|(state, _)| state.clone()).collect::<Vec<_>>());
            verifier_shares.push(kept.into_iter().map(|(_, share)| share).collect::<Vec<_>>());
        }
        let shares: Vec<_> = states
            .into_iter()
            .map(|states| {
                let inputs = states.into_iter().enumerate().map(|(at, state)| FinishInput {
                    state,
                    verifier_shares: verifier_shares.iter().map(|shares| shares[at].clone()).collect(),
                });
                let mut sum = vdaf.zero();
                for output in verify_batch_finish(&vdaf, CTX, inputs.collect()) {
                    sum.accumulate(&output.unwrap()).unwrap();
                }
                sum.encode()
            })
            .collect();
        let weight = i128::from(vdaf.schema().entries()[0].weight);
        assert_eq!(sum_shares(&vdaf, &shares).unwrap()[0], 3 * weight);
        assert!(sum_shares(&vdaf, &shares[..2]).is_err());
    }

    #[test]
    fn noise_is_drawn_from_its_seed_and_added_once() {
        let vdaf = vdaf(2);
        let scale = NoiseScale {
            sigma_squared: 1_000_000,
        };
        let one = noisy_share(&vdaf.zero(), scale, [1; 32]).unwrap();
        assert_eq!(one, noisy_share(&vdaf.zero(), scale, [1; 32]).unwrap());
        assert_ne!(one, noisy_share(&vdaf.zero(), scale, [2; 32]).unwrap());
        let total = vdaf.unshard(&[one, vdaf.zero()]).unwrap();
        assert!(total.iter().all(|value| value.abs() < 10_000));
        assert!(total.iter().any(|&value| value != 0));
    }

    #[test]
    fn every_aggregator_needs_a_recipient() {
        let vdaf = vdaf(3);
        let (_, recipients) = keys(2);
        let measurement = vdaf.schema().measure(&[]).unwrap();
        let job = ShardJob {
            vdaf: &vdaf,
            ctx: CTX,
            measurement: &measurement,
            nonce: [0; 16],
            recipients: &recipients,
            seed: [0; 32],
        };
        let error = shard_and_seal(&job, <[u8]>::to_vec).unwrap_err();
        assert!(matches!(
            error,
            JobError::Recipients {
                expected: 3,
                found: 2
            }
        ));
    }
}
