//! Contributors whose report is not what its proof should prove: the proof is changed, or the values are
//! beyond their bounds.

use fieldmark_fl::vdaf::Shares;
use fieldmark_node_core::compute::{Job, JobResult};

use super::craft::Order;
use super::{Adversary, Scene};

/// Bytes of the blind at the end of the leader's input share.
const BLIND_BYTES: usize = 32;

#[derive(Debug)]
pub(super) struct SpoilsReport {
    spoil: fn(&mut Shares),
}

impl SpoilsReport {
    /// The last element of the proof is another.
    pub(super) fn proof() -> Self {
        Self {
            spoil: |shares| {
                let share = shares.inputs.first_mut();
                let at = share
                    .as_ref()
                    .map_or(0, |share| share.len())
                    .saturating_sub(BLIND_BYTES + 16);
                if let Some(byte) = share.and_then(|share| share.get_mut(at)) {
                    *byte ^= 1;
                }
            },
        }
    }

    /// What must be a bit is about a hundred.
    pub(super) fn value() -> Self {
        Self {
            spoil: |shares| {
                if let Some(byte) = shares.inputs.first_mut().and_then(|share| share.first_mut()) {
                    *byte ^= 0x64;
                }
            },
        }
    }
}

impl Adversary for SpoilsReport {
    fn works(&mut self, _scene: &mut Scene<'_>, job: &Job, result: JobResult) -> JobResult {
        match Order::of(job).and_then(|order| order.shard(self.spoil)) {
            Some(spoilt) => JobResult::Sharded(Ok(spoilt)),
            None => result,
        }
    }
}
