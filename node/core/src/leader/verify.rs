//! The joint verification of a batch (design §7.3): each chunk of reports is started by every seat,
//! combined by the leader, finished by every helper; then its verdicts are durable. Chunks do not wait for
//! each other.

use std::collections::BTreeMap;

use fieldmark_protocol::aggregation::{BatchId, RejectionReason};
use fieldmark_protocol::machine::{Batch, StoreError};

use super::CHUNKS_MAX;
use super::led::{Led, Stage};
use super::verifying::Step;
use crate::compute::{Combined, Fault, Job};
use crate::context::{Ask, Context, Work};
use crate::params;
use crate::seat;

impl Led {
    /// Messages and own output shares of a chunk: the helpers finish it.
    pub(super) fn own_combined(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        chunk: u64,
        results: Vec<Combined>,
    ) -> Result<(), StoreError> {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return Ok(());
        };
        let Some(held) = verifying.chunks.get_mut(&chunk) else {
            return Ok(());
        };
        let Step::Combine(ids) = &held.step else {
            return Ok(());
        };
        let malformed = ids.iter().zip(&results).find_map(|(id, result)| match result {
            Err(Fault::VerifierShare { seat }) => Some((*id, usize::from(*seat))),
            _ => None,
        });
        if let Some((id, seat)) = malformed {
            let what = "answered with a malformed verifier share";
            return self.blame(ctx, batch, seat, Some(id), what);
        }
        let mut writes = Batch::new();
        let mut messages = BTreeMap::new();
        for (id, result) in ids.iter().zip(results) {
            match result {
                Ok((message, output)) => {
                    seat::put(&mut writes, batch, seat::OUTPUT, id.as_bytes(), output);
                    messages.insert(*id, message);
                }
                Err(_) => {
                    held.rejected.insert(*id, RejectionReason::Proof);
                }
            }
        }
        ctx.persist(writes);
        held.step = Step::Finish {
            messages,
            answers: BTreeMap::new(),
        };
        self.ask_helpers(ctx.now, Ask::Finish(chunk));
        Ok(())
    }

    /// Moves every chunk as far as the answers allow, and starts others in place of those that are done.
    pub(super) fn advance_chunks(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let seats = self.task.committee.len();
        let Stage::Verifying(verifying) = &mut self.stage else {
            return Ok(());
        };
        let shape = params::shape(&self.task);
        for number in verifying.ready(|step| matches!(step, Step::Init(a) if a.len() == seats)) {
            let Some(chunk) = verifying.chunks.get_mut(&number) else {
                continue;
            };
            let reports = chunk.combine(seats);
            let job = Job::Combine {
                shape,
                batch,
                reports,
            };
            let chunk = number;
            ctx.compute(job, Work::Combine { batch, chunk });
        }
        let finished =
            |step: &Step| matches!(step, Step::Finish { answers, .. } if answers.len() + 1 == seats);
        for number in verifying.ready(finished) {
            if let Some(chunk) = verifying.chunks.remove(&number) {
                ctx.persist(chunk.verdicts(batch));
            }
        }
        self.start_chunks(ctx, batch)
    }

    fn start_chunks(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        loop {
            let size = self.sizes.chunk();
            let Stage::Verifying(verifying) = &mut self.stage else {
                return Ok(());
            };
            if verifying.all_read || verifying.chunks.len() >= CHUNKS_MAX {
                return Ok(());
            }
            let reports = verifying.read_chunk(ctx, batch, size)?;
            if reports.is_empty() {
                return Ok(());
            }
            let (chunk, verify_key) = (verifying.numbered, verifying.key);
            let job = Job::VerifyInit {
                shape: params::shape(&self.task),
                seat: 0,
                verify_key,
                hpke: ctx.keys().hpke.clone(),
                reports,
            };
            ctx.compute(job, Work::LeaderInit { batch, chunk });
            self.ask_helpers(ctx.now, Ask::Init(chunk));
        }
    }
}
