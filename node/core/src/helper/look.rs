//! What a helper makes of a report before it opens any share of it: who signed it, whether the task admits
//! them, whether the report or its identity was there before.

use std::collections::BTreeMap;

use fieldmark_protocol::aggregation::{BatchId, RejectionReason};
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::report::SeatReport;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{PublicKey, ReportId, wire};

use super::{passed, rejected, stored_state};
use crate::context::Context;
use crate::seat;

/// The reports that a request showed so far: the first of each identity, and whose each id is.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    of: BTreeMap<PublicKey, ReportId>,
    whose: BTreeMap<ReportId, PublicKey>,
}

pub(super) enum Look {
    Decided(wire::VerifyOutcome),
    Verify(Box<SeatReport>),
    Later,
}

/// Checks one report as this aggregator sees it, before any share is opened.
pub(super) fn look(
    ctx: &Context<'_>,
    batch: BatchId,
    task: &Task,
    own: usize,
    report: wire::HelperReport,
    firsts: &mut Firsts,
) -> Result<Look, StoreError> {
    let id = report
        .metadata
        .as_ref()
        .and_then(|m| ReportId::from_slice(&m.report_id).ok());
    let id = id.unwrap_or(ReportId::new([0; 16]));
    let no = |reason| Ok(Look::Decided(rejected(&id, reason)));
    let report = match SeatReport::check(report, own) {
        Ok(report) if report.metadata.batch == batch && report.seats() == task.committee.len() => report,
        Ok(_) => return no(RejectionReason::Malformed),
        Err(fieldmark_protocol::report::ReportError::Signature(_)) => return no(RejectionReason::Signature),
        Err(_) => return no(RejectionReason::Malformed),
    };
    match seat::admits(&ctx.view, task, &report.metadata)? {
        None => return Ok(Look::Later),
        Some(Err(reason)) => return no(reason),
        Some(Ok(())) => {}
    }
    let contributor = report.metadata.contributor;
    let stored = seat::get(&ctx.view, batch, seat::FIRST, contributor.as_bytes())?;
    let first = stored
        .and_then(|b| ReportId::from_slice(&b).ok())
        .or(firsts.of.get(&contributor).copied());
    let whose = firsts.whose.get(&id).is_some_and(|whose| *whose != contributor);
    if first.is_some_and(|first| first != id) || whose || seat::id_is_used(&ctx.view, &report.metadata)? {
        return no(RejectionReason::Duplicate);
    }
    firsts.of.insert(contributor, id);
    firsts.whose.insert(id, contributor);
    if let Some(held) = stored_state(&ctx.view, batch, &id)? {
        return Ok(Look::Decided(passed(&id, held.message)));
    }
    Ok(Look::Verify(Box::new(report)))
}
