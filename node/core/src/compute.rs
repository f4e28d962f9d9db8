//! Heavy work that leaves the machines and comes back as an input. Pure jobs are one function that
//! node and simulator both call; `Evaluate`, `Fetch` and `Post` are ports that the shell provides.

use fieldmark_fl::jobs::{self, InitInput, Recipient, ShardJob, Verifier};
use fieldmark_fl::privacy::NoiseScale;
use fieldmark_fl::schema::{Measurement, Schema, SchemaParams};
use fieldmark_fl::seal::SecretKey as HpkeSecret;
use fieldmark_fl::vdaf::{AggregateShare, Vdaf};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::report::{Metadata, SeatReport, seal_info};
use fieldmark_protocol::task::Extra;
use fieldmark_protocol::{PublicKey, RecordId};

/// Which statistics of how large a committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The statistics.
    pub schema: SchemaParams,
    /// Members of the committee.
    pub aggregators: u8,
}

impl Shape {
    fn vdaf(&self) -> Result<Vdaf, String> {
        let schema = Schema::new(&self.schema).map_err(|e| e.to_string())?;
        Vdaf::new(&schema, self.aggregators).map_err(|e| e.to_string())
    }
}

/// Work for a shell.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Job {
    /// Port: run the task's models on a dataset.
    Evaluate {
        /// For which batch.
        batch: BatchId,
        /// Name of the dataset.
        dataset: String,
        /// The releases, in the task's order.
        releases: Vec<RecordId>,
        /// The slices, in the task's order.
        slices: Vec<String>,
        /// The statistics to return.
        schema: SchemaParams,
        /// The task's classes, groups and ranges behind them.
        extra: Extra,
    },
    /// Port: fetch a blob from a provider, with resume.
    Fetch {
        /// Its hash.
        blob: ContentHash,
        /// Its size in bytes.
        size: u64,
        /// The provider's node key.
        provider: PublicKey,
        /// Where its blob plane is.
        address: String,
    },
    /// Port: post a signed message to a webhook.
    Post(Post),
    /// Split a measurement into sealed shares.
    Shard {
        /// Which statistics.
        shape: Shape,
        /// Whose report.
        metadata: Metadata,
        /// The measurement.
        values: Vec<u64>,
        /// HPKE keys in committee order.
        recipients: Vec<[u8; 32]>,
        /// Fresh randomness.
        seed: [u8; 32],
    },
    /// Open and start to verify one seat's shares.
    VerifyInit {
        /// Which statistics.
        shape: Shape,
        /// This seat.
        seat: u8,
        /// The committee's verification key.
        verify_key: [u8; 32],
        /// This seat's HPKE key.
        hpke: HpkeSecret,
        /// The reports.
        reports: Vec<SeatReport>,
    },
    /// The leader's second step: combine all verifier shares, then finish its own.
    Combine {
        /// Which statistics.
        shape: Shape,
        /// The batch.
        batch: BatchId,
        /// Own state and all verifier shares in seat order, by report.
        reports: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    },
    /// A helper's second step: finish with the leader's messages.
    VerifyFinish {
        /// Which statistics.
        shape: Shape,
        /// The batch.
        batch: BatchId,
        /// Own state and the message, by report.
        reports: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// Add output shares to a running sum.
    Add {
        /// Which statistics.
        shape: Shape,
        /// The encoded sum so far; empty: zero.
        sum: Vec<u8>,
        /// Encoded output shares.
        outputs: Vec<Vec<u8>>,
    },
    /// Add this aggregator's noise to the sum of its output shares, to that of each replicate group its own.
    Noise {
        /// Which statistics.
        shape: Shape,
        /// σ² of the discrete Gaussian.
        sigma_squared: u64,
        /// Replicate groups.
        groups: usize,
        /// The encoded sums, of one group after the other; empty: zero.
        sums: Vec<u8>,
        /// Fresh randomness.
        seed: [u8; 32],
    },
}

/// A signed message for a webhook, as `fieldmark_protocol::webhook` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Where, http or https.
    pub url: String,
    /// Whether the address may be of this machine or of a private network.
    pub allow_private: bool,
    /// The node key that signed.
    pub key: PublicKey,
    /// When it was signed.
    pub timestamp_ms: u64,
    /// The signature, in hex.
    pub signature: String,
    /// The item's id, by which receivers tell repeats.
    pub item: ContentHash,
    /// The item as JSON.
    pub body: Vec<u8>,
}

/// What came of a job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum JobResult {
    /// The measurement's values, or why there is none.
    Evaluated(Result<Vec<u64>, String>),
    /// The blob is here, or why not.
    Fetched(Result<(), String>),
    /// The webhook acknowledged the message, or why not.
    Posted(Result<(), String>),
    /// Public share and sealed shares.
    Sharded(Result<(Vec<u8>, Vec<Vec<u8>>), String>),
    /// State and verifier share by report, `None` where the seal or the proof is bad.
    Initiated(Vec<Initiated>),
    /// Verifier message and own output share by report, or what is wrong.
    Combined(Vec<Combined>),
    /// Own output share by report.
    Finished(Vec<Option<Vec<u8>>>),
    /// The encoded sum, or which share is none.
    Added(Result<Vec<u8>, String>),
    /// The noisy share.
    Noised(Result<Vec<u8>, String>),
}

/// Verification state and verifier share of one report, or what is wrong with it.
pub type Initiated = Result<(Vec<u8>, Vec<u8>), Fault>;

/// Verifier message and own output share of one report, or what is wrong with it.
pub type Combined = Result<(Vec<u8>, Vec<u8>), Fault>;

/// What is wrong with one share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not open.
    Seal,
    /// It is no share, or its proof fails.
    Proof,
    /// The verifier share of this seat is none: the aggregator is to blame, not the contributor.
    VerifierShare {
        /// The seat.
        seat: u8,
    },
}

/// Runs a pure job; `None` for the ports.
#[must_use]
pub fn run(job: &Job) -> Option<JobResult> {
    Some(match job {
        Job::Evaluate { .. } | Job::Fetch { .. } | Job::Post(_) => return None,
        Job::Shard {
            shape,
            metadata,
            values,
            recipients,
            seed,
        } => JobResult::Sharded(shard(shape, metadata, values, recipients, *seed)),
        Job::VerifyInit {
            shape,
            seat,
            verify_key,
            hpke,
            reports,
        } => JobResult::Initiated(verify_init(shape, *seat, verify_key, hpke, reports)),
        Job::Combine {
            shape,
            batch,
            reports,
        } => JobResult::Combined(combine(shape, *batch, reports)),
        Job::VerifyFinish {
            shape,
            batch,
            reports,
        } => JobResult::Finished(finish(shape, *batch, reports)),
        Job::Add { shape, sum, outputs } => JobResult::Added(add(shape, sum, outputs)),
        Job::Noise {
            shape,
            sigma_squared,
            groups,
            sums,
            seed,
        } => JobResult::Noised(noise(shape, *sigma_squared, (*groups, sums), *seed)),
    })
}

/// The context that binds every proof to its task.
fn context(batch: BatchId) -> Vec<u8> {
    batch.key()
}

fn shard(
    shape: &Shape,
    metadata: &Metadata,
    values: &[u64],
    recipients: &[[u8; 32]],
    seed: [u8; 32],
) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
    let vdaf = shape.vdaf()?;
    let measurement = Measurement::new(vdaf.schema(), values.to_vec()).map_err(|e| e.to_string())?;
    let recipient = |(seat, key): (u8, &[u8; 32])| Recipient {
        public_key: *key,
        info: seal_info(seat),
    };
    let recipients: Vec<Recipient> = (0..).zip(recipients).map(recipient).collect();
    let job = ShardJob {
        vdaf: &vdaf,
        ctx: &context(metadata.batch),
        measurement: &measurement,
        nonce: *metadata.report_id.as_bytes(),
        recipients: &recipients,
        seed,
    };
    let report = jobs::shard_and_seal(&job, |public| metadata.associated_data(public));
    let report = report.map_err(|e| e.to_string())?;
    Ok((report.public, report.sealed))
}

fn verify_init(
    shape: &Shape,
    seat: u8,
    verify_key: &[u8; 32],
    hpke: &HpkeSecret,
    reports: &[SeatReport],
) -> Vec<Initiated> {
    let Ok(vdaf) = shape.vdaf() else {
        return reports.iter().map(|_| Err(Fault::Proof)).collect();
    };
    let info = seal_info(seat);
    let one = |report: &SeatReport| {
        let ctx = context(report.metadata.batch);
        let verifier = Verifier {
            vdaf: &vdaf,
            ctx: &ctx,
            index: seat,
            verify_key: *verify_key,
            secret: hpke,
            info: &info,
        };
        let input = InitInput {
            nonce: *report.metadata.report_id.as_bytes(),
            public: report.public_share.clone(),
            sealed: report.sealed.clone(),
            aad: report.metadata.associated_data(&report.public_share),
        };
        match jobs::verify_batch_init(&verifier, &[input]).pop() {
            Some(Ok((state, share))) => state
                .encode()
                .map(|state| (state, share))
                .map_err(|_| Fault::Proof),
            Some(Err(jobs::JobError::Seal(_))) => Err(Fault::Seal),
            _ => Err(Fault::Proof),
        }
    };
    reports.iter().map(one).collect()
}

fn combine(shape: &Shape, batch: BatchId, reports: &[(Vec<u8>, Vec<Vec<u8>>)]) -> Vec<Combined> {
    let Ok(vdaf) = shape.vdaf() else {
        return reports.iter().map(|_| Err(Fault::Proof)).collect();
    };
    let ctx = context(batch);
    let one = |(state, shares): &(Vec<u8>, Vec<Vec<u8>>)| {
        let message = vdaf.combine(&ctx, shares).map_err(|_| culprit(&vdaf, shares))?;
        let finish = || {
            let state = vdaf.decode_state(state).ok()?;
            Some(vdaf.verify_next(&ctx, state, &message).ok()?.encode())
        };
        let output = finish().ok_or(Fault::Proof)?;
        Ok((message, output))
    };
    reports.iter().map(one).collect()
}

/// Why verifier shares do not combine: the first seat whose share is none, or else the report itself.
fn culprit(vdaf: &Vdaf, shares: &[Vec<u8>]) -> Fault {
    let malformed = (0u8..)
        .zip(shares)
        .find(|(_, share)| !vdaf.is_verifier_share(share));
    malformed.map_or(Fault::Proof, |(seat, _)| Fault::VerifierShare { seat })
}

fn finish(shape: &Shape, batch: BatchId, reports: &[(Vec<u8>, Vec<u8>)]) -> Vec<Option<Vec<u8>>> {
    let Ok(vdaf) = shape.vdaf() else {
        return reports.iter().map(|_| None).collect();
    };
    let ctx = context(batch);
    let one = |(state, message): &(Vec<u8>, Vec<u8>)| {
        let state = vdaf.decode_state(state).ok()?;
        Some(vdaf.verify_next(&ctx, state, message).ok()?.encode())
    };
    reports.iter().map(one).collect()
}

fn add(shape: &Shape, sum: &[u8], outputs: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let vdaf = shape.vdaf()?;
    let mut sum = read_sum(&vdaf, sum)?;
    for output in outputs {
        let output = vdaf.decode_output(output).map_err(|e| e.to_string())?;
        sum.accumulate(&output).map_err(|e| e.to_string())?;
    }
    Ok(sum.encode())
}

fn noise(
    shape: &Shape,
    sigma_squared: u64,
    (groups, sums): (usize, &[u8]),
    seed: [u8; 32],
) -> Result<Vec<u8>, String> {
    let vdaf = shape.vdaf()?;
    let each = sums.len() / groups.max(1);
    if sums.len() != each * groups {
        return Err(format!(
            "{} bytes are not the sums of {groups} groups",
            sums.len()
        ));
    }
    let mut share = Vec::new();
    for group in 0..groups {
        let sum = sums.get(group * each..(group + 1) * each).unwrap_or_default();
        let sum = read_sum(&vdaf, sum)?;
        let noisy = jobs::noisy_share(&sum, NoiseScale { sigma_squared }, group_seed(seed, group));
        share.extend(noisy.map_err(|e| e.to_string())?.encode());
    }
    Ok(share)
}

/// The randomness of a group's noise: that of the first is the seed itself, as where there are no groups.
fn group_seed(seed: [u8; 32], group: usize) -> [u8; 32] {
    if group == 0 {
        return seed;
    }
    let number = u64::try_from(group).unwrap_or(u64::MAX);
    *blake3::keyed_hash(&seed, &number.to_be_bytes()).as_bytes()
}

fn read_sum(vdaf: &Vdaf, sum: &[u8]) -> Result<AggregateShare, String> {
    if sum.is_empty() {
        return Ok(vdaf.zero());
    }
    vdaf.decode_share(sum).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_fl::seal;
    use fieldmark_protocol::report::Report;
    use fieldmark_protocol::{ReportId, SecretKey};

    const SEATS: u8 = 3;

    /// Own state and all verifier shares of one report.
    type Started = (Vec<u8>, Vec<Vec<u8>>);

    fn verified() -> (Shape, BatchId, Started) {
        let shape = crate::params::shape(&crate::testing::task());
        let batch = BatchId {
            task: RecordId::new([1; 32]),
            window: 0,
        };
        let node = SecretKey::from_seed(&[5; 32]);
        let metadata = Metadata {
            batch,
            report_id: ReportId::new([2; 16]),
            contributor: PublicKey::new([3; 32]),
            node_key: node.public(),
        };
        let keys: Vec<_> = (1..=SEATS).map(|seat| seal::keypair(&[seat; 32])).collect();
        let values = vec![0; Schema::new(&shape.schema).unwrap().len()];
        let recipients: Vec<[u8; 32]> = keys.iter().map(|(_, public)| *public).collect();
        let (public, sealed) = shard(&shape, &metadata, &values, &recipients, [6; 32]).unwrap();
        let report = Report::sign(&node, metadata, public, sealed);
        let (mut states, mut shares) = (Vec::new(), Vec::new());
        for (seat, (secret, _)) in (0u8..).zip(&keys) {
            let own = report.for_seat(usize::from(seat)).unwrap();
            let started = verify_init(&shape, seat, &[7; 32], secret, &[own]).pop().unwrap();
            let (state, share) = started.unwrap();
            states.push(state);
            shares.push(share);
        }
        (shape, batch, (states.swap_remove(0), shares))
    }

    #[test]
    fn a_malformed_verifier_share_names_its_seat_and_a_wrong_one_cannot() {
        let (shape, batch, good) = verified();
        assert!(combine(&shape, batch, std::slice::from_ref(&good))[0].is_ok());
        let spoilt = |spoil: &dyn Fn(&mut Vec<u8>)| {
            let mut spoilt = good.clone();
            spoil(&mut spoilt.1[2]);
            combine(&shape, batch, &[spoilt]).pop().unwrap().unwrap_err()
        };
        let named = Fault::VerifierShare { seat: 2 };
        assert_eq!(spoilt(&|share| share.truncate(5)), named);
        assert_eq!(spoilt(&|share| share.fill(0xff)), named);
        assert_eq!(spoilt(&|share| share[0] ^= 1), Fault::Proof);
    }

    #[test]
    fn a_committee_of_one_computes_nothing() {
        let (mut shape, batch, good) = verified();
        shape.aggregators = 1;
        assert_eq!(combine(&shape, batch, &[good]), [Err(Fault::Proof)]);
    }
}
