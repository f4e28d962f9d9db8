//! Reports that no honest node would make.

use fieldmark_fl::schema::{Measurement, Schema};
use fieldmark_fl::seal;
use fieldmark_fl::vdaf::{Shares, Vdaf};
use fieldmark_node_core::compute::{Job, Shape};
use fieldmark_node_core::context::Keys;
use fieldmark_protocol::ReportId;
use fieldmark_protocol::report::{Metadata, Report, seal_info};

use crate::acquaintance;
use crate::part::{Part, Role};

/// Identities of a sybil beside its first one.
pub(super) const FURTHER_IDENTITIES: u64 = 9;

/// Who belongs to a sybil: nodes without hosts, whose certificates are known.
pub(crate) fn accomplices() -> Vec<Part> {
    (0..FURTHER_IDENTITIES)
        .map(|number| acquaintance::part(0, Role::Company(100_000 + number)))
        .collect()
}

/// What a sharding job was to do.
#[derive(Debug, Clone)]
pub(super) struct Order {
    shape: Shape,
    pub(super) metadata: Metadata,
    pub(super) values: Vec<u64>,
    recipients: Vec<[u8; 32]>,
    seed: [u8; 32],
}

impl Order {
    pub(super) fn of(job: &Job) -> Option<Self> {
        match job {
            Job::Shard {
                shape,
                metadata,
                values,
                recipients,
                seed,
            } => Some(Self {
                shape: *shape,
                metadata: *metadata,
                values: values.clone(),
                recipients: recipients.clone(),
                seed: *seed,
            }),
            _ => None,
        }
    }

    /// The same for another identity and report, with other values.
    pub(super) fn another(&self, keys: &Keys, id: [u8; 16], values: Vec<u64>) -> Self {
        let metadata = Metadata {
            batch: self.metadata.batch,
            report_id: ReportId::new(id),
            contributor: keys.identity.public(),
            node_key: keys.node.public(),
        };
        let seed = *blake3::keyed_hash(&self.seed, &id).as_bytes();
        Self {
            metadata,
            values,
            seed,
            ..self.clone()
        }
    }

    /// Public share and sealed shares, after `spoil` had its way with the shares.
    pub(super) fn shard(&self, spoil: impl FnOnce(&mut Shares)) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let schema = Schema::new(&self.shape.schema).ok()?;
        let vdaf = Vdaf::new(&schema, self.shape.aggregators).ok()?;
        let measurement = Measurement::new(&schema, self.values.clone()).ok()?;
        let context = self.metadata.batch.key();
        let nonce = self.metadata.report_id.as_bytes();
        let mut shares = vdaf.shard(&context, &measurement, nonce, &self.seed).ok()?;
        spoil(&mut shares);
        let data = self.metadata.associated_data(&shares.public);
        let sealed = (0u8..)
            .zip(self.recipients.iter().zip(&shares.inputs))
            .map(|(seat, (key, input))| {
                let seed = *blake3::keyed_hash(&self.seed, &[seat]).as_bytes();
                seal::seal(key, &seal_info(seat), &data, input, &seed).ok()
            });
        Some((shares.public.clone(), sealed.collect::<Option<_>>()?))
    }

    /// The signed report.
    pub(super) fn report(&self, keys: &Keys) -> Option<Report> {
        let (public, sealed) = self.shard(|_| ())?;
        Some(Report::sign(&keys.node, self.metadata, public, sealed))
    }
}
