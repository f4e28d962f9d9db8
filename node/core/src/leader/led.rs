//! One batch a leader is responsible for, from collecting to concluding.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fieldmark_protocol::aggregation::{Abort, AbortReason, BatchId, RejectionReason};
use fieldmark_protocol::machine::{Batch, StoreError};
use fieldmark_protocol::report::{Report, SeatReport};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::wire::rpc_request;
use fieldmark_protocol::{Kind, ReportId, wire};
use prost::Message;

use super::inbox::{held, reports};
use super::{CHUNK, RETRY_MS};
use crate::author::{self, Signer};
use crate::compute::{Fault, Initiated, Job};
use crate::context::{Context, Purpose, Work};
use crate::io::Event;
use crate::params;
use crate::rpc::RefusalCode;
use crate::seat::{self, Concluded};

/// Where a batch stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Taking reports.
    Collecting,
    /// Asking each helper for its part of the verification key.
    Keys(BTreeMap<usize, [u8; 32]>),
    /// Verifying one chunk after the other.
    Verifying(Box<Verifying>),
    /// Telling the helpers what was concluded; who agreed so far.
    Concluding(BTreeSet<usize>),
    /// All agreed: the rest is the reveal's.
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Verifying {
    key: [u8; 32],
    waiting: VecDeque<ReportId>,
    chunk: Vec<SeatReport>,
    full: Vec<Report>,
    step: Step,
    concluded: Concluded,
}

/// Which answers of the chunk are in, by seat (the leader's own included).
#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    Init(BTreeMap<usize, BTreeMap<ReportId, Result<Vec<u8>, RejectionReason>>>),
    Combine(Vec<ReportId>),
    Finish {
        messages: BTreeMap<ReportId, Vec<u8>>,
        answers: BTreeMap<usize, BTreeSet<ReportId>>,
    },
}

#[derive(Debug)]
pub(super) struct Led {
    pub(super) task: Task,
    pub(super) stage: Stage,
    /// Verification states of this seat for the chunk under way.
    pub(super) states: BTreeMap<ReportId, Vec<u8>>,
    pub(super) reports: u64,
    /// When a helper is asked again, by seat; absent while an answer is awaited.
    pub(super) ask_at: BTreeMap<usize, u64>,
}
impl Led {
    fn helpers(&self) -> std::ops::Range<usize> {
        1..self.task.committee.len()
    }

    pub(super) fn ask_helpers(&mut self, now: u64) {
        self.ask_at = self.helpers().map(|seat| (seat, now)).collect();
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        let expected = u64::from(self.task.reports_expected);
        now >= self.task.closes_at_ms || (expected != 0 && self.reports >= expected)
    }

    /// Why a report is not taken, if it is not.
    pub(super) fn unwelcome(
        &self,
        ctx: &Context<'_>,
        report: &Report,
    ) -> Result<Option<(RefusalCode, String)>, StoreError> {
        let no = |code, detail: &str| Ok(Some((code, detail.to_owned())));
        if !matches!(self.stage, Stage::Collecting) || self.is_over(ctx.now) {
            return no(RefusalCode::Closed, "the window is closed");
        }
        if ctx.now < self.task.opens_at_ms {
            return no(RefusalCode::Retry, "the window is not open yet");
        }
        if report.sealed.len() != self.task.committee.len() {
            return no(
                RefusalCode::Rejected,
                "the report has not one share for each aggregator",
            );
        }
        if held(&ctx.view, report.metadata.batch, &report.metadata.contributor)?.is_some() {
            return no(
                RefusalCode::Rejected,
                "this identity has another report in this window",
            );
        }
        match seat::admits(&ctx.view, &self.task, &report.metadata)? {
            None => no(
                RefusalCode::Retry,
                "the contributor's node certificate has not arrived here yet",
            ),
            Some(Err(reason)) => no(RefusalCode::Rejected, reason.name()),
            Some(Ok(())) => Ok(None),
        }
    }

    pub(super) fn close(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let mut writes = Batch::new();
        seat::put(&mut writes, batch, seat::CLOSED, &[], ctx.now.to_be_bytes());
        if self.reports < u64::from(self.task.min_batch) {
            ctx.persist(writes);
            let detail = format!("{} of at least {} reports", self.reports, self.task.min_batch);
            let abort = Abort {
                batch,
                reason: AbortReason::TooFewReports,
                detail,
            };
            author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
            self.stage = Stage::Done;
            return Ok(());
        }
        if seat::get(&ctx.view, batch, seat::KEY_SHARE, &[])?.is_none() {
            let share = ctx.random::<32>();
            seat::put(&mut writes, batch, seat::KEY_SHARE, &[], share);
        }
        ctx.persist(writes);
        ctx.event(Event::Batch {
            task: batch.task,
            phase: "closing".into(),
            reports: self.reports,
        });
        self.stage = Stage::Keys(BTreeMap::new());
        self.ask_helpers(ctx.now);
        Ok(())
    }

    /// Sends what each helper is due.
    pub(super) fn ask(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let due: Vec<usize> = self
            .ask_at
            .iter()
            .filter(|(_, at)| **at <= ctx.now)
            .map(|(seat, _)| *seat)
            .collect();
        for seat in due {
            let Some(node) = self.task.committee.get(seat).map(|a| a.node_key) else {
                continue;
            };
            let Some(body) = self.question(ctx, batch, seat)? else {
                self.ask_at.remove(&seat);
                continue;
            };
            if ctx.reach(&node)? {
                self.ask_at.remove(&seat);
                ctx.send(node, body, Purpose::Committee { batch, seat });
            } else {
                self.ask_at.insert(seat, ctx.now + RETRY_MS);
            }
        }
        Ok(())
    }

    /// What the helper in `seat` has still to be asked, if anything.
    fn question(
        &self,
        ctx: &Context<'_>,
        batch: BatchId,
        seat: usize,
    ) -> Result<Option<rpc_request::Body>, StoreError> {
        let (task, window) = (batch.task.to_vec(), batch.window);
        Ok(match &self.stage {
            Stage::Keys(shares) if !shares.contains_key(&seat) => {
                let share = Vec::new();
                Some(rpc_request::Body::VerifyKeyShare(wire::VerifyKeyShare {
                    task,
                    window,
                    share,
                }))
            }
            Stage::Verifying(verifying) => match &verifying.step {
                Step::Init(answers) if !answers.contains_key(&seat) => {
                    let own = |report: &Report| report.for_seat(seat).map(|r| r.to_wire());
                    let reports = verifying.full.iter().filter_map(own).collect();
                    let verify_key = verifying.key.to_vec();
                    let init = wire::VerifyInit {
                        task,
                        window,
                        verify_key,
                        reports,
                    };
                    Some(rpc_request::Body::VerifyInit(init))
                }
                Step::Finish { messages, answers } if !answers.contains_key(&seat) => {
                    let message = |(id, message): (&ReportId, &Vec<u8>)| wire::VerifyMessage {
                        report_id: id.to_vec(),
                        message: message.clone(),
                    };
                    let messages = messages.iter().map(message).collect();
                    Some(rpc_request::Body::VerifyFinish(wire::VerifyFinish {
                        task,
                        window,
                        messages,
                    }))
                }
                _ => None,
            },
            Stage::Concluding(agreed) if !agreed.contains(&seat) => Concluded::load(&ctx.view, batch)?
                .map(|concluded| rpc_request::Body::Conclude(concluded.to_wire(batch))),
            _ => None,
        })
    }

    pub(super) fn key_share(&mut self, seat: usize, share: &[u8]) -> bool {
        let (Stage::Keys(shares), Ok(share)) = (&mut self.stage, <[u8; 32]>::try_from(share)) else {
            return false;
        };
        shares.insert(seat, share);
        true
    }

    pub(super) fn outcomes(&mut self, seat: usize, outcomes: &wire::VerifyOutcomes) -> bool {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return false;
        };
        match &mut verifying.step {
            Step::Init(answers) => {
                let Some(answer) = read_outcomes(outcomes) else {
                    return false;
                };
                let complete = verifying
                    .full
                    .iter()
                    .all(|r| answer.contains_key(&r.metadata.report_id));
                if complete {
                    answers.insert(seat, answer);
                }
                complete
            }
            Step::Finish { messages, answers } => {
                let Some(answer) = read_outcomes(outcomes) else {
                    return false;
                };
                let complete = messages.keys().all(|id| answer.contains_key(id));
                if complete {
                    let passed = answer
                        .into_iter()
                        .filter(|(_, o)| o.is_ok())
                        .map(|(id, _)| id)
                        .collect();
                    answers.insert(seat, passed);
                }
                complete
            }
            _ => true,
        }
    }

    pub(super) fn agreed(&mut self, seat: usize) -> bool {
        let Stage::Concluding(agreed) = &mut self.stage else {
            return true;
        };
        agreed.insert(seat);
        true
    }

    pub(super) fn own_init(&mut self, results: Vec<Initiated>) {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return;
        };
        let Step::Init(answers) = &mut verifying.step else {
            return;
        };
        let mut own = BTreeMap::new();
        for (report, result) in verifying.chunk.iter().zip(results) {
            let id = report.metadata.report_id;
            let outcome = match result {
                Ok((state, share)) => {
                    self.states.insert(id, state);
                    Ok(share)
                }
                Err(Fault::Seal) => Err(RejectionReason::Seal),
                Err(Fault::Proof) => Err(RejectionReason::Proof),
            };
            own.insert(id, outcome);
        }
        answers.insert(0, own);
    }

    pub(super) fn own_combined(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        results: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    ) {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return;
        };
        let Step::Combine(ids) = &verifying.step else {
            return;
        };
        let mut writes = Batch::new();
        let mut messages = BTreeMap::new();
        for (id, result) in ids.iter().zip(results) {
            match result {
                Some((message, output)) => {
                    seat::put(&mut writes, batch, seat::OUTPUT, id.as_bytes(), output);
                    messages.insert(*id, message);
                }
                None => {
                    verifying.concluded.rejected.insert(*id, RejectionReason::Proof);
                }
            }
        }
        ctx.persist(writes);
        verifying.step = Step::Finish {
            messages,
            answers: BTreeMap::new(),
        };
        self.ask_helpers(ctx.now);
    }

    /// Goes on as far as the answers allow.
    pub(super) fn advance(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let seats = self.task.committee.len();
        match &mut self.stage {
            Stage::Keys(shares) if shares.len() + 1 == seats => {
                let shares = std::mem::take(shares);
                self.verify(ctx, batch, &shares)?;
            }
            Stage::Verifying(verifying) => match &verifying.step {
                Step::Init(answers) if answers.len() == seats => self.combine(ctx, batch),
                Step::Finish { answers, .. } if answers.len() + 1 == seats => {
                    self.finish_chunk();
                    self.next_chunk(ctx, batch)?;
                }
                _ => {}
            },
            Stage::Concluding(agreed) if agreed.len() + 1 == seats => self.stage = Stage::Done,
            _ => {}
        }
        self.ask(ctx, batch)
    }

    /// All parts of the verification key are here: it is fixed, and the first chunk starts.
    fn verify(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        shares: &BTreeMap<usize, [u8; 32]>,
    ) -> Result<(), StoreError> {
        let key = match seat::get_key(&ctx.view, batch, seat::VERIFY_KEY)? {
            Some(key) => key,
            None => {
                let own = seat::get_key(&ctx.view, batch, seat::KEY_SHARE)?.unwrap_or_default();
                let mut hasher = blake3::Hasher::new_derive_key("fieldmark v1 verification key");
                hasher.update(&batch.key());
                hasher.update(&own);
                shares.values().for_each(|share| {
                    hasher.update(share);
                });
                let key = *hasher.finalize().as_bytes();
                let mut writes = Batch::new();
                seat::put(&mut writes, batch, seat::VERIFY_KEY, &[], key);
                ctx.persist(writes);
                key
            }
        };
        let waiting = reports(&ctx.view, batch)?.into_keys().collect();
        let verifying = Verifying {
            key,
            waiting,
            ..Verifying::default()
        };
        self.stage = Stage::Verifying(Box::new(verifying));
        self.next_chunk(ctx, batch)
    }

    fn next_chunk(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return Ok(());
        };
        if verifying.waiting.is_empty() {
            return self.conclude(ctx, batch);
        }
        let count = verifying.waiting.len().min(CHUNK);
        let ids: Vec<ReportId> = verifying.waiting.drain(..count).collect();
        let contributors = reports(&ctx.view, batch)?;
        verifying.full.clear();
        for id in ids {
            let Some(contributor) = contributors.get(&id) else {
                continue;
            };
            verifying
                .full
                .extend(held(&ctx.view, batch, contributor)?.map(|(_, report)| report));
        }
        verifying.chunk = verifying.full.iter().filter_map(|r| r.for_seat(0)).collect();
        verifying.step = Step::Init(BTreeMap::new());
        self.states.clear();
        let job = Job::VerifyInit {
            shape: params::shape(&self.task),
            seat: 0,
            verify_key: verifying.key,
            hpke: ctx.keys().hpke.clone(),
            reports: verifying.chunk.clone(),
        };
        ctx.compute(job, Work::LeaderInit(batch));
        self.ask_helpers(ctx.now);
        self.ask(ctx, batch)
    }

    /// Every seat's first answers are in: reports that all passed are combined.
    fn combine(&mut self, ctx: &mut Context<'_>, batch: BatchId) {
        let seats = self.task.committee.len();
        let Stage::Verifying(verifying) = &mut self.stage else {
            return;
        };
        let Step::Init(answers) = std::mem::take(&mut verifying.step) else {
            return;
        };
        let (mut ids, mut inputs) = (Vec::new(), Vec::new());
        for report in &verifying.chunk {
            let id = report.metadata.report_id;
            let outcomes: Vec<_> = (0..seats).filter_map(|s| answers.get(&s)?.get(&id)).collect();
            let refused = outcomes.iter().find_map(|o| o.as_ref().err());
            let shares: Vec<Vec<u8>> = outcomes.iter().filter_map(|o| o.as_ref().ok()).cloned().collect();
            match (refused, self.states.get(&id)) {
                (None, Some(state)) if shares.len() == seats => {
                    ids.push(id);
                    inputs.push((state.clone(), shares));
                }
                (reason, _) => {
                    let reason = reason.copied().unwrap_or(RejectionReason::Malformed);
                    verifying.concluded.rejected.insert(id, reason);
                }
            }
        }
        verifying.step = Step::Combine(ids);
        let job = Job::Combine {
            shape: params::shape(&self.task),
            batch,
            reports: inputs,
        };
        ctx.compute(job, Work::Combine(batch));
    }

    /// Every helper finished the chunk: what all accepted is accepted.
    fn finish_chunk(&mut self) {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return;
        };
        let Step::Finish { messages, answers } = std::mem::take(&mut verifying.step) else {
            return;
        };
        for id in messages.into_keys() {
            if answers.values().all(|passed| passed.contains(&id)) {
                verifying.concluded.accepted.push(id);
            } else {
                verifying.concluded.rejected.insert(id, RejectionReason::Proof);
            }
        }
    }

    fn conclude(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let Stage::Verifying(verifying) = &mut self.stage else {
            return Ok(());
        };
        let mut concluded = std::mem::take(&mut verifying.concluded);
        concluded.accepted.sort_unstable();
        let accepted = u64::try_from(concluded.accepted.len()).unwrap_or(u64::MAX);
        let mut writes = Batch::new();
        seat::put(
            &mut writes,
            batch,
            seat::CONCLUDED,
            &[],
            concluded.to_wire(batch).encode_to_vec(),
        );
        ctx.persist(writes);
        ctx.event(Event::Batch {
            task: batch.task,
            phase: "concluded".into(),
            reports: accepted,
        });
        self.stage = Stage::Concluding(BTreeSet::new());
        self.ask_helpers(ctx.now);
        self.ask(ctx, batch)
    }
}

type Outcomes = BTreeMap<ReportId, Result<Vec<u8>, RejectionReason>>;

fn read_outcomes(outcomes: &wire::VerifyOutcomes) -> Option<Outcomes> {
    let one = |o: &wire::VerifyOutcome| {
        let id = ReportId::from_slice(&o.report_id).ok()?;
        let outcome = match o.rejection {
            0 => Ok(o.verifier_share.clone()),
            number => Err(RejectionReason::from_number(number)?),
        };
        Some((id, outcome))
    };
    outcomes.outcomes.iter().map(one).collect()
}
