//! A helper of a committee: checks for itself what the leader passes on, and answers repeated requests
//! alike (design §7.2, §7.3).
//!
//! It keeps the commitments to the verification key, the key, and the first report id of each identity; a
//! leader that asks again with others is refused. States and output shares are durable before an answer
//! leaves; a state goes when its output share is there, and a report that is started again after that is
//! computed again.

use std::collections::BTreeMap;

use fieldmark_ledger::batch::{self as ledger_batch, Phase};
use fieldmark_ledger::tasks;
use fieldmark_protocol::aggregation::{BatchId, RejectionReason};
use fieldmark_protocol::machine::{Batch, Read, StoreError};
use fieldmark_protocol::task::{SKEW_MS, Task};
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use fieldmark_protocol::{PublicKey, ReportId, wire};
use prost::Message;

mod keys;
mod look;

use keys::{key_share, wrong_key};
use look::{Firsts, Look, look};

use crate::compute::{Fault, Initiated, Job};
use crate::context::{Context, Work};
use crate::io::InboundId;
use crate::leader::CHUNK;
use crate::params;
use crate::rpc::RefusalCode;
use crate::seat::{self, Concluded};

/// Verification requests worked on at a time; more are told to come again.
pub const PENDING_MAX: usize = 64;

/// What a verification request is waiting for.
#[derive(Debug)]
struct Pending {
    /// Decided without a job, by report id.
    decided: BTreeMap<ReportId, wire::VerifyOutcome>,
    /// Given to the job, in order.
    working: Vec<ReportId>,
}

/// The helper machine.
#[derive(Debug, Default)]
pub(crate) struct Helper {
    pending: BTreeMap<InboundId, Pending>,
}

/// A request that is not answered with what was asked.
struct Refused(RefusalCode, String);

impl From<(RefusalCode, &str)> for Refused {
    fn from((code, detail): (RefusalCode, &str)) -> Self {
        Self(code, detail.to_owned())
    }
}

type Answer<T> = Result<Result<T, Refused>, StoreError>;

fn refused<T>(code: RefusalCode, detail: &str) -> Answer<T> {
    Ok(Err((code, detail).into()))
}

impl Helper {
    /// A request of the leader.
    pub(crate) fn request(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        inbound: InboundId,
        body: rpc_request::Body,
    ) -> Result<(), StoreError> {
        let answer = match body {
            rpc_request::Body::VerifyKeyShare(m) => key_share(ctx, peer, &m)?.map(Some),
            rpc_request::Body::VerifyInit(m) => self.init(ctx, peer, inbound, m)?,
            rpc_request::Body::VerifyFinish(m) => self.finish(ctx, peer, inbound, &m)?,
            rpc_request::Body::Conclude(m) => conclude(ctx, peer, &m)?.map(Some),
            _ => Err(Refused(RefusalCode::Rejected, "not a committee request".into())),
        };
        match answer {
            Ok(Some(body)) => ctx.respond(inbound, body),
            Ok(None) => {}
            Err(Refused(code, detail)) => ctx.refuse(inbound, code, detail),
        }
        Ok(())
    }

    fn init(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        inbound: InboundId,
        message: wire::VerifyInit,
    ) -> Answer<Option<rpc_response::Body>> {
        let (batch, task, own) = match unconcluded(ctx, peer, &message.task, message.window)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Ok(verify_key) = <[u8; 32]>::try_from(message.verify_key.as_slice()) else {
            return refused(RefusalCode::Rejected, "the verification key has not 32 bytes");
        };
        if let Some(why) = wrong_key(ctx, batch, &verify_key, &message.key_shares)? {
            return refused(RefusalCode::Rejected, why);
        }
        if message.reports.len() > CHUNK || self.pending.len() >= PENDING_MAX {
            return refused(RefusalCode::Retry, "too much at a time");
        }
        let mut writes = Batch::new();
        seat::put(&mut writes, batch, seat::VERIFY_KEY, &[], verify_key);
        let mut pending = Pending {
            decided: BTreeMap::new(),
            working: Vec::new(),
        };
        let mut jobs = Vec::new();
        let mut firsts = Firsts::default();
        for report in message.reports {
            let id = report
                .metadata
                .as_ref()
                .and_then(|m| ReportId::from_slice(&m.report_id).ok());
            let Some(id) = id else {
                return refused(RefusalCode::Rejected, "a report has no id");
            };
            match look(ctx, batch, &task, own, report, &mut firsts)? {
                Look::Decided(outcome) => {
                    note_rejection(&mut writes, batch, &id, &outcome);
                    pending.decided.insert(id, outcome);
                }
                // Listed twice in one request.
                Look::Verify(_) if pending.working.contains(&id) => {}
                Look::Verify(report) => {
                    let contributor = report.metadata.contributor;
                    seat::put(
                        &mut writes,
                        batch,
                        seat::FIRST,
                        contributor.as_bytes(),
                        id.to_vec(),
                    );
                    seat::note_id(&mut writes, &report.metadata);
                    pending.working.push(id);
                    jobs.push(*report);
                }
                Look::Later => {
                    return refused(
                        RefusalCode::Retry,
                        "a contributor's certificate or endorsement has not arrived here yet",
                    );
                }
            }
        }
        ctx.persist(writes);
        if jobs.is_empty() {
            return Ok(Ok(Some(outcomes(pending.decided))));
        }
        self.pending.insert(inbound, pending);
        let job = Job::VerifyInit {
            shape: params::shape(&task),
            seat: u8::try_from(own).unwrap_or(u8::MAX),
            verify_key,
            hpke: ctx.keys().hpke.clone(),
            reports: jobs,
        };
        ctx.compute(job, Work::HelperInit { batch, inbound });
        Ok(Ok(None))
    }

    /// The first step of a request is done.
    pub(crate) fn initiated(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        inbound: InboundId,
        results: Vec<Initiated>,
    ) {
        let Some(mut pending) = self.pending.remove(&inbound) else {
            return;
        };
        let mut writes = Batch::new();
        for (id, result) in std::mem::take(&mut pending.working).into_iter().zip(results) {
            let outcome = match result {
                Ok((state, share)) => {
                    let value = wire::VerifyMessage {
                        report_id: state,
                        message: share.clone(),
                    };
                    seat::put(
                        &mut writes,
                        batch,
                        seat::STATE,
                        id.as_bytes(),
                        value.encode_to_vec(),
                    );
                    passed(&id, share)
                }
                Err(Fault::Seal) => rejected(&id, RejectionReason::Seal),
                Err(_) => rejected(&id, RejectionReason::Proof),
            };
            note_rejection(&mut writes, batch, &id, &outcome);
            pending.decided.insert(id, outcome);
        }
        ctx.persist(writes);
        ctx.respond(inbound, outcomes(pending.decided));
    }

    fn finish(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        inbound: InboundId,
        message: &wire::VerifyFinish,
    ) -> Answer<Option<rpc_response::Body>> {
        let (batch, task, _) = match unconcluded(ctx, peer, &message.task, message.window)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if message.messages.len() > CHUNK || self.pending.len() >= PENDING_MAX {
            return refused(RefusalCode::Retry, "too much at a time");
        }
        let mut pending = Pending {
            decided: BTreeMap::new(),
            working: Vec::new(),
        };
        let mut jobs = Vec::new();
        for message in &message.messages {
            let Ok(id) = ReportId::from_slice(&message.report_id) else {
                return refused(RefusalCode::Rejected, "a report has no id");
            };
            if seat::get(&ctx.view, batch, seat::OUTPUT, id.as_bytes())?.is_some() {
                pending.decided.insert(id, passed(&id, Vec::new()));
                continue;
            }
            match stored_state(&ctx.view, batch, &id)? {
                Some(held) => {
                    pending.working.push(id);
                    jobs.push((held.report_id, message.message.clone()));
                }
                None => return refused(RefusalCode::Rejected, "a report was not started here"),
            }
        }
        if jobs.is_empty() {
            return Ok(Ok(Some(outcomes(pending.decided))));
        }
        self.pending.insert(inbound, pending);
        let job = Job::VerifyFinish {
            shape: params::shape(&task),
            batch,
            reports: jobs,
        };
        ctx.compute(job, Work::HelperFinish { batch, inbound });
        Ok(Ok(None))
    }

    /// The second step of a request is done.
    pub(crate) fn finished(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        inbound: InboundId,
        results: Vec<Option<Vec<u8>>>,
    ) {
        let Some(mut pending) = self.pending.remove(&inbound) else {
            return;
        };
        let mut writes = Batch::new();
        for (id, output) in std::mem::take(&mut pending.working).into_iter().zip(results) {
            let outcome = match output {
                Some(output) => {
                    seat::put(&mut writes, batch, seat::OUTPUT, id.as_bytes(), output);
                    seat::delete(&mut writes, batch, seat::STATE, id.as_bytes());
                    passed(&id, Vec::new())
                }
                None => rejected(&id, RejectionReason::Proof),
            };
            pending.decided.insert(id, outcome);
        }
        ctx.persist(writes);
        ctx.respond(inbound, outcomes(pending.decided));
    }
}

/// Keeps why a report is rejected here: the leader may conclude that of nothing it did not show.
fn note_rejection(writes: &mut Batch, batch: BatchId, id: &ReportId, outcome: &wire::VerifyOutcome) {
    if outcome.rejection != 0 {
        let reason = outcome.rejection.to_be_bytes();
        seat::put(writes, batch, seat::REJECTED, id.as_bytes(), reason);
    }
}

fn passed(id: &ReportId, verifier_share: Vec<u8>) -> wire::VerifyOutcome {
    wire::VerifyOutcome {
        report_id: id.to_vec(),
        verifier_share,
        rejection: 0,
    }
}

fn rejected(id: &ReportId, reason: RejectionReason) -> wire::VerifyOutcome {
    wire::VerifyOutcome {
        report_id: id.to_vec(),
        verifier_share: Vec::new(),
        rejection: reason.number(),
    }
}

fn outcomes(decided: BTreeMap<ReportId, wire::VerifyOutcome>) -> rpc_response::Body {
    let outcomes = decided.into_values().collect();
    rpc_response::Body::Outcomes(wire::VerifyOutcomes { outcomes })
}

fn stored_state(
    store: &dyn Read,
    batch: BatchId,
    id: &ReportId,
) -> Result<Option<wire::VerifyMessage>, StoreError> {
    let Some(bytes) = seat::get(store, batch, seat::STATE, id.as_bytes())? else {
        return Ok(None);
    };
    let key = seat::key(batch, seat::STATE, id.as_bytes());
    let damaged = |e| StoreError::damaged(fieldmark_protocol::machine::Column::Aggregation, &key, e);
    Ok(Some(
        wire::VerifyMessage::decode(bytes.as_slice()).map_err(damaged)?,
    ))
}

/// The task of a committee request, if this node has a helper's seat in it and `peer` leads it.
fn assigned(
    ctx: &mut Context<'_>,
    peer: PublicKey,
    task: &[u8],
    window: u64,
) -> Answer<(BatchId, Task, usize)> {
    let Ok(batch) = BatchId::from_wire(task, window) else {
        return refused(RefusalCode::Rejected, "the task is not an id");
    };
    let Some(view) = tasks::task(&ctx.view, &batch.task)?.filter(|v| v.batch() == batch) else {
        return refused(RefusalCode::Retry, "the task has not arrived here yet");
    };
    if view.task.leader().map(|l| l.node_key) != Some(peer) {
        return refused(RefusalCode::Rejected, "you do not lead this task");
    }
    let own = view.task.seat(&ctx.node_key()).filter(|seat| *seat > 0);
    let Some(own) = own else {
        return refused(RefusalCode::Rejected, "this node is not a helper of the task");
    };
    if let Err(error) = ctx.sound(&view) {
        return refused(RefusalCode::Rejected, &error);
    }
    if ctx.now + SKEW_MS < view.task.opens_at_ms {
        return refused(RefusalCode::Rejected, "the window has not opened");
    }
    if ledger_batch::batch(&ctx.view, batch)?.phase == Phase::Aborted {
        return refused(RefusalCode::Closed, "the batch was aborted");
    }
    Ok(Ok((batch, view.task, own)))
}

/// The same, for steps that come before the conclusion: what they would add is not needed any more.
fn unconcluded(
    ctx: &mut Context<'_>,
    peer: PublicKey,
    task: &[u8],
    window: u64,
) -> Answer<(BatchId, Task, usize)> {
    let assigned = assigned(ctx, peer, task, window)?;
    if let Ok((batch, ..)) = &assigned
        && seat::get(&ctx.view, *batch, seat::CONCLUDED, &[])?.is_some()
    {
        return refused(RefusalCode::Closed, "the batch is concluded");
    }
    Ok(assigned)
}

/// The leader's conclusion: taken once, and only if this node accepted every report in it and was shown
/// every one that was not. The answer opens the group nonce, where the task has groups: the reports are fixed.
fn conclude(ctx: &mut Context<'_>, peer: PublicKey, message: &wire::Conclude) -> Answer<rpc_response::Body> {
    let (batch, task) = match assigned(ctx, peer, &message.task, message.window)? {
        Ok((batch, task, _)) => (batch, task),
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(concluded) = Concluded::from_wire(message) else {
        return refused(
            RefusalCode::Rejected,
            "the conclusion is not sorted, or decides a report twice",
        );
    };
    let group_nonce = match seat::get_key(&ctx.view, batch, seat::KEY_SHARE)? {
        Some(nonce) if task.has_groups() => nonce.to_vec(),
        _ => Vec::new(),
    };
    let done = rpc_response::Body::Done(wire::Done { group_nonce });
    if let Some(held) = Concluded::load(&ctx.view, batch)? {
        let same = held == concluded;
        return if same {
            Ok(Ok(done))
        } else {
            refused(RefusalCode::Rejected, "concluded otherwise before")
        };
    }
    let expected = usize::try_from(task.reports_expected).unwrap_or(usize::MAX);
    let enough = expected != 0 && concluded.accepted.len() >= expected;
    if ctx.now + SKEW_MS < task.closes_at_ms && !enough {
        return refused(RefusalCode::Rejected, "the window is still open");
    }
    for id in &concluded.accepted {
        if seat::get(&ctx.view, batch, seat::OUTPUT, id.as_bytes())?.is_none() {
            return refused(RefusalCode::Rejected, "a report in it was not accepted here");
        }
    }
    for id in concluded.rejected.keys() {
        let mut shown = false;
        for tag in [seat::REJECTED, seat::STATE, seat::OUTPUT] {
            shown |= seat::get(&ctx.view, batch, tag, id.as_bytes())?.is_some();
        }
        if !shown {
            return refused(
                RefusalCode::Rejected,
                "a rejected report in it was never shown here",
            );
        }
    }
    let mut writes = Batch::new();
    seat::put(&mut writes, batch, seat::CONCLUDED, &[], message.encode_to_vec());
    ctx.persist(writes);
    Ok(Ok(done))
}
