//! The leader of a committee: takes reports while the window is open, then verifies them jointly with
//! the helpers and concludes the batch (design §7.2, §7.3).
//!
//! This file routes uploads, time and answers; [`led`] is one batch with its stages, [`inbox`] the stored
//! reports. Reports, the closing and the conclusion are durable; everything in between is repeated after a
//! restart, and helpers answer repeated requests alike. Reports are verified in chunks of [`CHUNK`], so
//! memory does not grow with their number.

mod inbox;
mod led;

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_ledger::batch::{self as ledger_batch, Phase};
use fieldmark_ledger::tasks::{self, TaskView};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::report::{Receipt, Report};
use fieldmark_protocol::wire;
use fieldmark_protocol::wire::rpc_response;

use crate::compute::Initiated;
use crate::context::Context;
use crate::io::{Event, InboundId};
use crate::params;
use crate::rpc::RefusalCode;
use crate::seat::{self, Concluded};
use inbox::received;
use led::{Led, Stage};

/// Reports verified at a time.
pub const CHUNK: usize = 64;
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
        if over || params::check(&view.task).is_err() || self.batches.len() >= BATCHES_MAX {
            return Ok(());
        }
        let reports = ctx
            .view
            .scan_all(Column::Aggregation, &seat::key(batch, seat::REPORT, &[]))?
            .len();
        let mut led = Led {
            task: view.task.clone(),
            stage: Stage::Collecting,
            states: BTreeMap::new(),
            reports: u64::try_from(reports).unwrap_or(u64::MAX),
            ask_at: BTreeMap::new(),
        };
        if Concluded::load(&ctx.view, batch)?.is_some() {
            led.stage = Stage::Concluding(BTreeSet::new());
            led.ask_helpers(ctx.now);
        } else if seat::get(&ctx.view, batch, seat::CLOSED, &[])?.is_some() {
            led.stage = Stage::Keys(BTreeMap::new());
            led.ask_helpers(ctx.now);
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
        if let Some(at) = received(&ctx.view, &report)? {
            let receipt = Receipt::sign(&ctx.keys().node, batch, report.metadata.report_id, at);
            ctx.respond(inbound, rpc_response::Body::Receipt(receipt.to_wire()));
            return Ok(());
        }
        if let Some((code, detail)) = led.unwelcome(ctx, &report)? {
            ctx.refuse(inbound, code, detail);
            return Ok(());
        }
        let mut writes = Batch::new();
        let value = [&ctx.now.to_be_bytes()[..], &report.encode()].concat();
        seat::put(
            &mut writes,
            batch,
            seat::REPORT,
            report.metadata.contributor.as_bytes(),
            value,
        );
        ctx.persist(writes);
        led.reports += 1;
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
        seat: usize,
        body: Option<rpc_response::Body>,
    ) -> Result<(), StoreError> {
        let Some(led) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        let taken = match body {
            Some(rpc_response::Body::VerifyKeyShare(share)) => led.key_share(seat, &share.share),
            Some(rpc_response::Body::Outcomes(outcomes)) => led.outcomes(seat, &outcomes),
            Some(rpc_response::Body::Done(_)) => led.agreed(seat),
            _ => false,
        };
        if !taken {
            led.ask_at.insert(seat, ctx.now + RETRY_MS);
        }
        led.advance(ctx, batch)
    }

    /// This seat's own first step is done.
    pub(crate) fn initiated(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        results: Vec<Initiated>,
    ) -> Result<(), StoreError> {
        let Some(led) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        led.own_init(results);
        led.advance(ctx, batch)
    }

    /// Messages and own output shares of the chunk.
    pub(crate) fn combined(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        results: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    ) -> Result<(), StoreError> {
        let Some(led) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        led.own_combined(ctx, batch, results);
        led.advance(ctx, batch)
    }
}
