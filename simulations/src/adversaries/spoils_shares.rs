//! Aggregators that answer with other shares than their own: none at all, a wrong one, a shifted sum.

use fieldmark_node_core::compute::{Job, JobResult};

use super::{Adversary, Scene};

/// Spoils the verifier share of the first report of every request.
#[derive(Debug)]
pub(super) struct SpoilsShares {
    change: fn(&mut Vec<u8>),
}

impl SpoilsShares {
    /// It is cut short, so that it is no share.
    pub(super) fn malformed() -> Self {
        Self {
            change: |share| share.truncate(share.len() / 2),
        }
    }

    /// One field element is another.
    pub(super) fn wrong() -> Self {
        Self {
            change: |share| {
                if let Some(byte) = share.first_mut() {
                    *byte ^= 1;
                }
            },
        }
    }
}

impl Adversary for SpoilsShares {
    fn works(&mut self, _scene: &mut Scene<'_>, _job: &Job, result: JobResult) -> JobResult {
        let JobResult::Initiated(mut results) = result else {
            return result;
        };
        if let Some((_, share)) = results.iter_mut().find_map(|result| result.as_mut().ok()) {
            (self.change)(share);
        }
        JobResult::Initiated(results)
    }
}

/// Adds one to the first entry of its aggregate share before it promises it.
#[derive(Debug)]
pub(super) struct ShiftsItsSum;

impl Adversary for ShiftsItsSum {
    fn works(&mut self, _scene: &mut Scene<'_>, _job: &Job, result: JobResult) -> JobResult {
        let JobResult::Noised(Ok(mut share)) = result else {
            return result;
        };
        if let Some(byte) = share.first_mut() {
            *byte ^= 1;
        }
        JobResult::Noised(Ok(share))
    }
}
