//! One batch a leader is responsible for, from collecting to concluding.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_fl::schema::Schema;
use fieldmark_fl::seal;
use fieldmark_fl::vdaf::Vdaf;
use fieldmark_ledger::batch as ledger_batch;
use fieldmark_protocol::aggregation::{Abort, AbortReason, BatchId};
use fieldmark_protocol::machine::{Batch, Column, StoreError};
use fieldmark_protocol::report::Report;
use fieldmark_protocol::task::{REPORTS_MAX, SKEW_MS, Task};
use fieldmark_protocol::wire::rpc_request;
use fieldmark_protocol::{Kind, ReportId, groups, wire};
use prost::Message;

use super::inbox::{self, Body};
use super::keys::{Keys, Said};
use super::verifying::Verifying;
use super::{CHUNK, CHUNK_BYTES_MAX, RETRY_MS};
use crate::author::{self, Signer};
use crate::context::{Ask, Context, Purpose};
use crate::io::Event;
use crate::params;
use crate::rpc::RefusalCode;
use crate::seat::{self, Concluded};

/// Where a batch stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Taking reports.
    Collecting,
    /// Drawing the verification key with the helpers.
    Keys(Keys),
    /// Verifying chunks of reports.
    Verifying(Box<Verifying>),
    /// Telling the helpers what was concluded; who agreed so far, with its group nonce where there are
    /// replicate groups.
    Concluding(BTreeMap<usize, Option<[u8; 32]>>),
    /// Telling the helpers the group nonces of all; who took them so far.
    Grouping {
        nonces: Vec<[u8; 32]>,
        told: BTreeSet<usize>,
    },
    /// All agreed: the rest is the reveal's.
    Done,
}

/// How long every part of a report of the task is.
#[derive(Debug)]
pub(super) struct Sizes {
    public: usize,
    /// Sealed shares, by seat.
    sealed: Vec<usize>,
}

impl Sizes {
    fn of(task: &Task) -> Option<Self> {
        let shape = params::shape(task);
        let schema = Schema::new(&shape.schema).ok()?;
        let vdaf = Vdaf::new(&schema, shape.aggregators).ok()?;
        let sealed = |seat| vdaf.input_share_bytes(seat) + seal::OVERHEAD_BYTES;
        Some(Self {
            public: vdaf.public_share_bytes(),
            sealed: (0..shape.aggregators).map(sealed).collect(),
        })
    }

    fn fit(&self, report: &Report) -> bool {
        report.public_share.len() == self.public
            && report.sealed.len() == self.sealed.len()
            && report
                .sealed
                .iter()
                .zip(&self.sealed)
                .all(|(s, len)| s.len() == *len)
    }

    /// Reports of a chunk.
    pub(super) fn chunk(&self) -> usize {
        let report: usize = self.public + self.sealed.iter().sum::<usize>();
        (CHUNK_BYTES_MAX / report.max(1)).clamp(1, CHUNK)
    }
}

#[derive(Debug)]
pub(super) struct Led {
    pub(super) task: Task,
    pub(super) stage: Stage,
    pub(super) reports: u64,
    /// Of them, rejected when the batch was verified before the deadline.
    pub(super) rejected: u64,
    pub(super) sizes: Sizes,
    /// When a helper is asked (again), by seat; absent while an answer is awaited.
    pub(super) ask_at: BTreeMap<(usize, Ask), u64>,
}

impl Led {
    /// A batch with this many reports taken; `None` when the task's numbers make no statistics.
    pub(super) fn new(task: &Task, reports: u64) -> Option<Self> {
        Some(Self {
            task: task.clone(),
            stage: Stage::Collecting,
            reports,
            rejected: 0,
            sizes: Sizes::of(task)?,
            ask_at: BTreeMap::new(),
        })
    }

    fn helpers(&self) -> std::ops::Range<usize> {
        1..self.task.committee.len()
    }

    pub(super) fn ask_helpers(&mut self, now: u64, ask: Ask) {
        let helpers = self.helpers().map(|seat| ((seat, ask), now));
        self.ask_at.extend(helpers);
    }

    fn is_concluded(&self) -> bool {
        matches!(
            self.stage,
            Stage::Concluding(_) | Stage::Grouping { .. } | Stage::Done
        )
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        let expected = u64::from(self.task.reports_expected);
        let may_count = self.reports.saturating_sub(self.rejected);
        now >= self.task.closes_at_ms || (expected != 0 && may_count >= expected)
    }

    /// Why a report is not taken, if it is not.
    pub(super) fn unwelcome(
        &self,
        ctx: &Context<'_>,
        report: &Report,
        another: bool,
    ) -> Result<Option<(RefusalCode, String)>, StoreError> {
        let no = |code, detail: &str| Ok(Some((code, detail.to_owned())));
        if ctx.now >= self.task.closes_at_ms || self.is_concluded() {
            return no(RefusalCode::Closed, "the window is closed");
        }
        if ctx.now.saturating_add(SKEW_MS) < self.task.opens_at_ms {
            return no(RefusalCode::Retry, "the window has not opened yet");
        }
        if !matches!(self.stage, Stage::Collecting) || self.is_over(ctx.now) {
            // Should some of the expected reports be rejected, the window opens again.
            return no(
                RefusalCode::Retry,
                "as many reports as are expected are being verified",
            );
        }
        if ctx.now < self.task.opens_at_ms {
            return no(RefusalCode::Retry, "the window is not open yet");
        }
        if self.reports >= u64::from(REPORTS_MAX) {
            return no(
                RefusalCode::Closed,
                &format!("the window holds {REPORTS_MAX} reports, the most that a batch can have"),
            );
        }
        if !self.sizes.fit(report) {
            return no(
                RefusalCode::Rejected,
                "the report's shares are not one for each aggregator, of the length that the task's statistics have",
            );
        }
        if seat::id_is_used(&ctx.view, &report.metadata)? {
            return no(RefusalCode::Rejected, "this report id was used before");
        }
        if another {
            return no(
                RefusalCode::Rejected,
                "this identity has another report in this window",
            );
        }
        match seat::admits(&ctx.view, &self.task, &report.metadata)? {
            None => no(
                RefusalCode::Retry,
                "the contributor's node certificate or endorsement has not arrived here yet",
            ),
            Some(Err(reason)) => no(RefusalCode::Rejected, reason.name()),
            Some(Ok(())) => Ok(None),
        }
    }

    pub(super) fn close(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let mut writes = Batch::new();
        seat::put(&mut writes, batch, seat::CLOSED, &[], ctx.now.to_be_bytes());
        if self.reports < self.task.reports_needed() {
            ctx.persist(writes);
            let needed = params::reports_needed_words(&self.task);
            let detail = format!("{} of at least {needed}", self.reports);
            let abort = Abort {
                batch,
                reason: AbortReason::TooFewReports,
                detail,
            };
            author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
            self.stage = Stage::Done;
            return Ok(());
        }
        let own = match seat::get_key(&ctx.view, batch, seat::KEY_SHARE)? {
            Some(own) => own,
            None => ctx.random::<32>(),
        };
        seat::put(&mut writes, batch, seat::KEY_SHARE, &[], own);
        ctx.persist(writes);
        ctx.event(Event::Batch {
            task: batch.task,
            phase: "closing".into(),
            reports: self.reports,
        });
        self.draw_key(ctx, batch, own);
        Ok(())
    }

    /// Starts, or starts again, to draw the verification key, with what is stored of this seat's share.
    pub(super) fn draw_key(&mut self, ctx: &Context<'_>, batch: BatchId, stored: [u8; 32]) {
        let own = seat::key_share(&self.task, &stored);
        self.stage = Stage::Keys(Keys::new(batch, own, self.task.committee.len()));
        self.ask_helpers(ctx.now, Ask::Key);
    }

    /// Sends what each helper is due.
    pub(super) fn ask(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let due: Vec<(usize, Ask)> = self
            .ask_at
            .iter()
            .filter(|(_, at)| **at <= ctx.now)
            .map(|(whom, _)| *whom)
            .collect();
        for (seat, ask) in due {
            let Some(node) = self.task.committee.get(seat).map(|a| a.node_key) else {
                continue;
            };
            let Some(body) = self.question(ctx, batch, seat, ask)? else {
                self.ask_at.remove(&(seat, ask));
                continue;
            };
            if ctx.reach(&node)? {
                self.ask_at.remove(&(seat, ask));
                ctx.send(node, body, Purpose::Committee { batch, seat, ask });
            } else {
                self.ask_at.insert((seat, ask), ctx.now + RETRY_MS);
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
        ask: Ask,
    ) -> Result<Option<rpc_request::Body>, StoreError> {
        Ok(match (&self.stage, ask) {
            (Stage::Keys(keys), Ask::Key) => {
                keys.question(batch, seat).map(rpc_request::Body::VerifyKeyShare)
            }
            (Stage::Verifying(verifying), ask) => verifying.question(batch, seat, ask),
            (Stage::Concluding(agreed), Ask::Conclude) if !agreed.contains_key(&seat) => {
                Concluded::load(&ctx.view, batch)?
                    .map(|concluded| rpc_request::Body::Conclude(concluded.to_wire(batch)))
            }
            (Stage::Grouping { nonces, told }, Ask::Groups) if !told.contains(&seat) => {
                Some(rpc_request::Body::VerifyKeyShare(wire::VerifyKeyShare {
                    task: batch.task.to_vec(),
                    window: batch.window,
                    group_nonces: nonces.iter().map(|nonce| nonce.to_vec()).collect(),
                    ..Default::default()
                }))
            }
            _ => None,
        })
    }

    /// A helper said something of its share of the key; returns whether that was of use.
    pub(super) fn key_share(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        seat: usize,
        answer: &wire::VerifyKeyShare,
    ) -> Result<bool, StoreError> {
        let Stage::Keys(keys) = &mut self.stage else {
            return Ok(true);
        };
        let before = keys.all_committed();
        match keys.answer(batch, seat, answer) {
            Said::Useless => Ok(false),
            Said::Taken => {
                if !before && keys.all_committed() {
                    self.ask_helpers(ctx.now, Ask::Key);
                }
                Ok(true)
            }
            Said::Broken => {
                let detail = "opened another share of the verification key than it committed to";
                self.blame(ctx, batch, seat, None, detail)?;
                Ok(true)
            }
        }
    }

    /// An aggregator broke the protocol: says so, and ends the batch, whose correctness needs all of them.
    pub(super) fn blame(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        seat: usize,
        report: Option<ReportId>,
        what: &str,
    ) -> Result<(), StoreError> {
        let Some(identity) = self.task.committee.get(seat).map(|a| a.identity) else {
            return Ok(());
        };
        let at = report.map_or_else(String::new, |id| format!(" at report {id}"));
        let detail = format!("the aggregator in seat {seat}, {identity}, {what}{at}");
        ctx.event(Event::Misbehaviour {
            task: batch.task,
            seat: u64::try_from(seat).unwrap_or(u64::MAX),
            identity,
            report,
            detail: detail.clone(),
        });
        self.stage = Stage::Done;
        self.ask_at.clear();
        if ledger_batch::batch(&ctx.view, batch)?.any_share() {
            return Ok(());
        }
        let abort = Abort {
            batch,
            reason: AbortReason::Misbehaviour,
            detail,
        };
        author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
        Ok(())
    }

    pub(super) fn outcomes(&mut self, seat: usize, ask: Ask, outcomes: &wire::VerifyOutcomes) -> bool {
        match &mut self.stage {
            Stage::Verifying(verifying) => verifying.outcomes(seat, ask, outcomes),
            _ => true,
        }
    }

    /// A helper agreed to the conclusion, or took the group nonces; returns whether that was of use.
    pub(super) fn done(&mut self, seat: usize, ask: Ask, done: &wire::Done) -> bool {
        match (&mut self.stage, ask) {
            (Stage::Concluding(agreed), Ask::Conclude) => {
                let nonce = <[u8; 32]>::try_from(done.group_nonce.as_slice()).ok();
                if self.task.has_groups() && nonce.is_none() {
                    return false;
                }
                agreed.insert(seat, nonce);
            }
            (Stage::Grouping { told, .. }, Ask::Groups) => {
                told.insert(seat);
            }
            _ => {}
        }
        true
    }

    /// Every helper agreed, which fixes the reports: the nonces of all decide the replicate groups.
    fn draw_groups(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let Stage::Concluding(agreed) = &self.stage else {
            return Ok(());
        };
        let Some(own) = seat::get_key(&ctx.view, batch, seat::KEY_SHARE)? else {
            let key = seat::key(batch, seat::KEY_SHARE, &[]);
            return Err(StoreError::damaged(Column::Aggregation, &key, "no nonce"));
        };
        let helpers = agreed.values().copied().flatten();
        let nonces: Vec<[u8; 32]> = std::iter::once(own).chain(helpers).collect();
        if let Some(seat) = seat::false_nonce(&ctx.view, batch, &nonces)? {
            let what = "opened another group nonce than it committed to";
            return self.blame(ctx, batch, seat, None, what);
        }
        let mut writes = Batch::new();
        let seed = groups::seed(batch, &nonces);
        seat::put(&mut writes, batch, seat::GROUP_SEED, &[], *seed.as_bytes());
        ctx.persist(writes);
        ctx.event(Event::Batch {
            task: batch.task,
            phase: "concluded".into(),
            reports: self.reports,
        });
        let told = BTreeSet::new();
        self.stage = Stage::Grouping { nonces, told };
        self.ask_helpers(ctx.now, Ask::Groups);
        Ok(())
    }

    /// Goes on as far as the answers allow.
    pub(super) fn advance(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let seats = self.task.committee.len();
        match &mut self.stage {
            Stage::Keys(keys) => {
                if let Some(shares) = keys.complete() {
                    self.verify(ctx, batch, shares);
                }
            }
            Stage::Concluding(agreed) if agreed.len() + 1 == seats => {
                if self.task.has_groups() {
                    self.draw_groups(ctx, batch)?;
                } else {
                    self.stage = Stage::Done;
                }
            }
            Stage::Grouping { told, .. } if told.len() + 1 == seats => self.stage = Stage::Done,
            _ => {}
        }
        self.advance_chunks(ctx, batch)?;
        if matches!(&self.stage, Stage::Verifying(verifying) if verifying.is_over()) {
            self.conclude(ctx, batch)?;
        }
        self.ask(ctx, batch)
    }

    /// All parts of the verification key are here: it is fixed, and verification starts.
    fn verify(&mut self, ctx: &mut Context<'_>, batch: BatchId, key_shares: Vec<[u8; 32]>) {
        let key = seat::joint_key(batch, &key_shares);
        let mut writes = Batch::new();
        seat::put(&mut writes, batch, seat::VERIFY_KEY, &[], key);
        let commitments = seat::key_commitments(batch, &key_shares);
        seat::put(&mut writes, batch, seat::COMMITMENTS, &[], commitments);
        ctx.persist(writes);
        self.stage = Stage::Verifying(Box::new(Verifying::new(key, key_shares)));
    }

    /// Every report is decided.
    fn conclude(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        let mut concluded = Concluded::default();
        inbox::each(&ctx.view, batch, |taken| match taken.body {
            Body::Decided(id, Ok(())) => concluded.accepted.push(id),
            Body::Decided(id, Err(reason)) => {
                concluded.rejected.insert(id, reason);
            }
            Body::Waiting(_) => {}
        })?;
        concluded.accepted.sort_unstable();
        let accepted = u64::try_from(concluded.accepted.len()).unwrap_or(u64::MAX);
        let mut writes = Batch::new();
        if ctx.now < self.task.closes_at_ms && accepted < u64::from(self.task.reports_expected) {
            // Too few of them count: the window goes on until enough do, or until its deadline.
            self.rejected = self.reports.saturating_sub(accepted);
            self.stage = Stage::Collecting;
            writes.delete(Column::Aggregation, seat::key(batch, seat::CLOSED, &[]));
            ctx.persist(writes);
            return Ok(());
        }
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
        self.stage = Stage::Concluding(BTreeMap::new());
        self.ask_helpers(ctx.now, Ask::Conclude);
        Ok(())
    }
}
