//! The leader of a committee: takes reports while the window is open, then verifies them jointly with
//! the helpers and concludes the batch (design §7.2, §7.3).
//!
//! This file routes uploads, time and answers; [`led`] is one batch with its stages, [`verify`] its joint
//! verification, [`inbox`] the stored reports. Reports, the closing, each chunk's verdicts and the
//! conclusion are durable; everything in between is repeated after a restart, and helpers answer repeated
//! requests alike. Reports are verified in chunks, several under way at a time so that every core of every
//! aggregator has work; both are bounded, so memory does not grow with the number of reports.

mod inbox;
mod keys;
mod led;
mod verify;
mod verifying;

use std::collections::BTreeMap;

use fieldmark_ledger::batch::{self as ledger_batch, Phase};
use fieldmark_ledger::tasks::{self, TaskView};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Batch, StoreError};
use fieldmark_protocol::report::{Receipt, Report};
use fieldmark_protocol::wire;
use fieldmark_protocol::wire::rpc_response;

use crate::compute::{Combined, Initiated};
use crate::context::{Ask, Context};
use crate::io::{Event, InboundId};
use crate::rpc::RefusalCode;
use crate::seat::{self, Concluded};
use inbox::taken;
use led::{Led, Stage};

/// Most reports in one chunk.
pub const CHUNK: usize = 64;
/// Most bytes of reports in one chunk, unless one report alone has more. 4 MiB: a chunk of long reports
/// costs the leader about three times this in memory.
pub const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Chunks under way at a time: while one waits for a helper or a disk, others are computed.
pub const CHUNKS_MAX: usize = 4;
/// Wait before a helper that did not answer is asked again, in milliseconds.
pub const RETRY_MS: u64 = 1_000;
/// Most batches led at a time.
pub const BATCHES_MAX: usize = 64;

/// The leader machine.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    batches: BTreeMap<BatchId, Led>,
}

impl Leader {
    /// Takes up the batches that the ledger says this node leads.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        for task in tasks::tasks(&ctx.view)? {
            self.task(ctx, &task)?;
        }
        Ok(())
    }

    /// Looks at a task that is new or known from before a restart.
    pub(crate) fn task(&mut self, ctx: &mut Context<'_>, view: &TaskView) -> Result<(), StoreError> {
        let batch = view.batch();
        if view.task.seat(&ctx.node_key()) != Some(0) || self.batches.contains_key(&batch) {
            return Ok(());
        }
        let phase = ledger_batch::batch(&ctx.view, batch)?.phase;
        let over = matches!(phase, Phase::Released | Phase::Aborted | Phase::Void);
        if over || ctx.sound(view).is_err() || self.batches.len() >= BATCHES_MAX {
            return Ok(());
        }
        let Some(mut led) = Led::new(&view.task, inbox::count(&ctx.view, batch)?) else {
            return Ok(());
        };
        if Concluded::load(&ctx.view, batch)?.is_some() {
            led.stage = Stage::Concluding(BTreeMap::new());
            led.ask_helpers(ctx.now, Ask::Conclude);
        } else if seat::get(&ctx.view, batch, seat::CLOSED, &[])?.is_some() {
            let own = seat::get_key(&ctx.view, batch, seat::KEY_SHARE)?;
            // A batch that was too small when it closed was aborted and has none.
            match own {
                Some(own) => led.draw_key(ctx, batch, own),
                None => led.stage = Stage::Done,
            }
        } else if view.task.reports_expected != 0 {
            led.rejected = inbox::rejected(&ctx.view, batch)?;
        }
        self.batches.insert(batch, led);
        self.tick(ctx)
    }

    /// Forgets a batch that ended.
    pub(crate) fn ended(&mut self, batch: &BatchId) {
        self.batches.remove(batch);
    }

    // --- collecting -------------------------------------------------------------------------------

    /// A contributor uploads its report. The receipt leaves after the report is durable.
    pub(crate) fn upload(
        &mut self,
        ctx: &mut Context<'_>,
        inbound: InboundId,
        report: wire::Report,
    ) -> Result<(), StoreError> {
        let Ok(report) = Report::check(report) else {
            ctx.refuse(
                inbound,
                RefusalCode::Rejected,
                "the report is malformed or its signature is bad",
            );
            return Ok(());
        };
        let batch = report.metadata.batch;
        let Some(led) = self.batches.get_mut(&batch) else {
            let known = tasks::task(&ctx.view, &batch.task)?.is_some();
            let code = if known {
                RefusalCode::Closed
            } else {
                RefusalCode::Retry
            };
            ctx.refuse(inbound, code, "no such window is open here");
            return Ok(());
        };
        let before = taken(&ctx.view, batch, &report.metadata.contributor)?;
        if let Some(same) = before.as_ref().filter(|t| t.id() == report.metadata.report_id) {
            let at = same.received_at_ms;
            let receipt = Receipt::sign(&ctx.keys().node, batch, report.metadata.report_id, at);
            ctx.respond(inbound, rpc_response::Body::Receipt(receipt.to_wire()));
            return Ok(());
        }
        if let Some((code, detail)) = led.unwelcome(ctx, &report, before.is_some())? {
            ctx.refuse(inbound, code, detail);
            return Ok(());
        }
        let mut writes = Batch::new();
        led.reports += 1;
        inbox::put(&mut writes, &report, ctx.now, led.reports);
        seat::note_id(&mut writes, &report.metadata);
        ctx.persist(writes);
        let receipt = Receipt::sign(&ctx.keys().node, batch, report.metadata.report_id, ctx.now);
        ctx.respond(inbound, rpc_response::Body::Receipt(receipt.to_wire()));
        ctx.event(Event::Batch {
            task: batch.task,
            phase: "open".into(),
            reports: led.reports,
        });
        self.tick(ctx)
    }

    // --- time -------------------------------------------------------------------------------------

    /// Closes windows, and asks helpers again that did not answer.
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        let batches: Vec<BatchId> = self.batches.keys().copied().collect();
        for batch in batches {
            let Some(led) = self.batches.get_mut(&batch) else {
                continue;
            };
            if matches!(led.stage, Stage::Collecting) && led.is_over(ctx.now) {
                led.close(ctx, batch)?;
            }
            led.ask(ctx, batch)?;
        }
        Ok(())
    }

    pub(crate) fn deadline(&self) -> u64 {
        let of = |led: &Led| {
            let close = if matches!(led.stage, Stage::Collecting) {
                led.task.closes_at_ms
            } else {
                u64::MAX
            };
            led.ask_at
                .values()
                .copied()
                .chain([close])
                .min()
                .unwrap_or(u64::MAX)
        };
        self.batches.values().map(of).min().unwrap_or(u64::MAX)
    }

    // --- answers ----------------------------------------------------------------------------------

    /// A helper answered, or did not.
    pub(crate) fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        (seat, ask): (usize, Ask),
        body: Option<rpc_response::Body>,
    ) -> Result<(), StoreError> {
        let Some(led) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        let taken = match body {
            Some(rpc_response::Body::VerifyKeyShare(share)) => led.key_share(ctx, batch, seat, &share)?,
            Some(rpc_response::Body::Outcomes(outcomes)) => led.outcomes(seat, ask, &outcomes),
            Some(rpc_response::Body::Done(done)) => led.done(seat, ask, &done),
            _ => false,
        };
        if !taken {
            led.ask_at.insert((seat, ask), ctx.now + RETRY_MS);
        }
        led.advance(ctx, batch)
    }

    /// This seat's own first step of a chunk is done.
    pub(crate) fn initiated(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        chunk: u64,
        results: Vec<Initiated>,
    ) -> Result<(), StoreError> {
        let Some(led) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        if let Stage::Verifying(verifying) = &mut led.stage {
            verifying.own_init(chunk, results);
        }
        led.advance(ctx, batch)
    }

    /// Messages and own output shares of a chunk.
    pub(crate) fn combined(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        chunk: u64,
        results: Vec<Combined>,
    ) -> Result<(), StoreError> {
        let Some(led) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        led.own_combined(ctx, batch, chunk, results)?;
        led.advance(ctx, batch)
    }
}
