//! The end of a batch, the same for every aggregator (design §7.3): Transcript, then ShareCommitment
//! when all k Transcripts are equal, then AggregateShare when all k commitments are held. The leader adds
//! the Aggregate.
//!
//! The noisy share is persisted with its nonce before the commitment is signed: noise is drawn once and
//! cannot be averaged away, whatever restarts. Output shares are added up a few at a time and their sum is
//! persisted, so that memory does not grow with their number. Where a task has replicate groups, that goes
//! for each of them in turn, and the share is theirs one after the other, each with full noise.
//!
//! A batch that is not revealing by the time its task gives the committee is aborted, and every aggregator
//! seconds an abort that came in time: whichever of them a contributor trusts, it finds that one's word. An
//! aggregator that aborted never publishes its share afterwards, which is what makes a refund sound.

use std::collections::BTreeSet;

use fieldmark_fl::vdaf::Vdaf;
use fieldmark_ledger::batch::{self as ledger_batch, BatchView, Phase};
use fieldmark_ledger::tasks::{self, TaskView};
use fieldmark_protocol::aggregation::{
    Abort, AbortReason, Aggregate, AggregateShare, BatchId, FIELD_BYTES, NONCE_BYTES, ShareCommitment,
    commitment,
};
use fieldmark_protocol::machine::{Batch, Column, StoreError};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{Kind, RecordId, ReportId, groups};

use crate::author::{self, Signer};
use crate::compute::Job;
use crate::context::{Context, Work};
use crate::io::{Event, phase_name};
use crate::params;
use crate::seat::{self, Concluded};

/// Most output shares added up at a time.
pub const ADD_MAX: usize = 256;
/// Bytes of output shares after which no more are added up at a time. 4 MiB.
pub const ADD_BYTES_MAX: usize = 4 << 20;

/// The reveal machine.
#[derive(Debug, Default)]
pub(crate) struct Reveal {
    /// Batches this node aggregates that have not ended.
    active: BTreeSet<BatchId>,
}

impl Reveal {
    /// Takes up the batches that this node aggregates.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        for task in tasks::tasks(&ctx.view)? {
            self.task(ctx, &task)?;
        }
        Ok(())
    }

    pub(crate) fn task(&mut self, ctx: &mut Context<'_>, view: &TaskView) -> Result<(), StoreError> {
        if view.task.seat(&ctx.node_key()).is_some() && ctx.sound(view).is_ok() {
            self.active.insert(view.batch());
            self.advance(ctx, view.batch())?;
        }
        Ok(())
    }

    /// Goes on with a batch as far as the ledger allows; returns whether it has ended.
    pub(crate) fn advance(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<bool, StoreError> {
        if !self.active.contains(&batch) {
            return Ok(false);
        }
        let Some(task) = tasks::task(&ctx.view, &batch.task)? else {
            return Ok(false);
        };
        let view = ledger_batch::batch(&ctx.view, batch)?;
        let identity = ctx.identity();
        let own_abort = view.aborts.iter().any(|abort| abort.author == identity);
        let over = match view.phase {
            Phase::Void => true,
            Phase::Aborted if own_abort => true,
            Phase::Aborted => {
                second(ctx, &view)?;
                false
            }
            Phase::Shares if own_abort => true,
            Phase::Released => {
                aggregate(ctx, &task.task, &view)?;
                true
            }
            _ if !view.any_share() && ctx.now >= task.task.due_at_ms() => {
                overdue(ctx, &task.task, &view)?;
                false
            }
            _ => {
                if let Some(concluded) = Concluded::load(&ctx.view, batch)? {
                    step(ctx, &task.task, &view, &concluded)?;
                }
                false
            }
        };
        if over {
            self.active.remove(&batch);
            let phase = phase_name(&view.phase).to_owned();
            let reports = view.transcript().map_or(0, |t| t.count);
            ctx.event(Event::Batch {
                task: batch.task,
                phase,
                reports,
            });
        }
        Ok(over)
    }

    /// Every batch that has not ended, for a new look after the ledger changed.
    pub(crate) fn active(&self) -> Vec<BatchId> {
        self.active.iter().copied().collect()
    }

    /// Some more output shares are added up: keep their sum, and go on.
    pub(crate) fn added(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        (upto, group): (usize, usize),
        sum: Result<Vec<u8>, String>,
    ) -> Result<(), StoreError> {
        let key = seat::key(batch, seat::OUTPUT, &[]);
        let sum = sum.map_err(|detail| StoreError::damaged(Column::Aggregation, &key, detail))?;
        let count = u64::try_from(upto).unwrap_or(u64::MAX);
        let mut writes = Batch::new();
        // The sums of the groups before this one are complete.
        let (_, mut sums) = added(ctx, batch)?;
        sums.truncate(group * sum.len());
        let value = [&count.to_be_bytes()[..], &sums, &sum].concat();
        seat::put(&mut writes, batch, seat::ADDED, &[], value);
        ctx.persist(writes);
        self.advance(ctx, batch)?;
        Ok(())
    }

    /// The noisy share is computed: promise it.
    pub(crate) fn noised(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        share: Result<Vec<u8>, String>,
    ) -> Result<(), StoreError> {
        let Ok(mut value) = share else { return Ok(()) };
        if seat::get(&ctx.view, batch, seat::NOISY, &[])?.is_none() {
            value.extend(ctx.random::<NONCE_BYTES>());
            let mut writes = Batch::new();
            seat::put(&mut writes, batch, seat::NOISY, &[], value);
            if let Some(concluded) = Concluded::load(&ctx.view, batch)? {
                seat::drop_used(&mut writes, batch, &concluded);
            }
            ctx.persist(writes);
        }
        self.advance(ctx, batch)?;
        Ok(())
    }
}

/// Signs this aggregator's own word to an abort of another.
fn second(ctx: &mut Context<'_>, view: &BatchView) -> Result<(), StoreError> {
    let Some(first) = view.aborts.first() else {
        return Ok(());
    };
    let abort = first.value.clone();
    author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
    Ok(())
}

/// The committee took longer than it may: names who is behind.
fn overdue(ctx: &mut Context<'_>, task: &Task, view: &BatchView) -> Result<(), StoreError> {
    let undrawn = task.has_groups()
        && Concluded::load(&ctx.view, view.batch)?.is_some()
        && seat::group_seed(&ctx.view, view.batch)?.is_none();
    let commits = view.transcripts().is_some();
    let behind = view.seats.iter().enumerate().filter(|(_, seat)| {
        if commits {
            seat.commitment.is_none()
        } else {
            seat.transcript.is_none()
        }
    });
    let behind: Vec<String> = behind.map(|(seat, _)| seat.to_string()).collect();
    let abort = Abort {
        batch: view.batch,
        reason: AbortReason::Overdue,
        detail: format!(
            "{} s after the close {} of seat {} was missing{}",
            task.due_at_ms().saturating_sub(task.closes_at_ms) / 1_000,
            if commits {
                "the commitment"
            } else {
                "the transcript"
            },
            behind.join(", "),
            if undrawn {
                "; the nonces of all, from which the replicate groups are drawn, had not come here"
            } else {
                ""
            }
        ),
    };
    author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
    Ok(())
}

/// The next record this seat owes, if it is time for one.
fn step(
    ctx: &mut Context<'_>,
    task: &Task,
    view: &BatchView,
    concluded: &Concluded,
) -> Result<(), StoreError> {
    let own = task.seat(&ctx.node_key()).and_then(|seat| view.seats.get(seat));
    let Some(own) = own else { return Ok(()) };
    let batch = view.batch;
    let accepted = u64::try_from(concluded.accepted.len()).unwrap_or(u64::MAX);
    if accepted < task.reports_needed() {
        let needed = params::reports_needed_words(task);
        let detail = format!("{accepted} of at least {needed} were accepted");
        let abort = Abort {
            batch,
            reason: AbortReason::TooFewReports,
            detail,
        };
        author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
        return Ok(());
    }
    let group_seed = seat::group_seed(&ctx.view, batch)?;
    if task.has_groups() && group_seed.is_none() {
        // The committee has not opened its nonces yet.
        return Ok(());
    }
    let transcript = concluded.transcript(batch, group_seed);
    if own.transcript.is_none() {
        author::append(ctx, Signer::Node, Kind::Transcript, transcript.encode())?;
        return Ok(());
    }
    if view.phase == Phase::Disagreement {
        let detail = "the aggregators' transcripts differ".to_owned();
        let abort = Abort {
            batch,
            reason: AbortReason::Disagreement,
            detail,
        };
        author::append(ctx, Signer::Node, Kind::Abort, abort.encode())?;
        return Ok(());
    }
    if view.agreed != Some(transcript.digest()) {
        return Ok(());
    }
    let Some((share, nonce)) = noisy_share(ctx, task, batch, concluded)? else {
        return Ok(());
    };
    let Some(held) = &own.commitment else {
        let commitment = commitment(batch, &share, &nonce);
        let promise = ShareCommitment {
            batch,
            transcript: transcript.digest(),
            commitment,
        };
        author::append(ctx, Signer::Node, Kind::ShareCommitment, promise.encode())?;
        return Ok(());
    };
    if own.share.is_none() && view.commitments().is_some() {
        let share = AggregateShare { batch, share, nonce };
        // A share that was not promised would not count: this seat stays silent rather than try for ever.
        if share.opens(&held.value) {
            author::append(ctx, Signer::Node, Kind::AggregateShare, share.encode())?;
        }
    }
    Ok(())
}

type NoisyShare = (Vec<u8>, [u8; NONCE_BYTES]);

/// The noisy share with its nonce as persisted; starts the job that makes it when there is none.
fn noisy_share(
    ctx: &mut Context<'_>,
    task: &Task,
    batch: BatchId,
    concluded: &Concluded,
) -> Result<Option<NoisyShare>, StoreError> {
    if let Some(value) = seat::get(&ctx.view, batch, seat::NOISY, &[])? {
        let damaged = || {
            StoreError::damaged(
                Column::Aggregation,
                &seat::key(batch, seat::NOISY, &[]),
                "not a share",
            )
        };
        let at = value.len().checked_sub(NONCE_BYTES).ok_or_else(damaged)?;
        let (share, nonce) = value.split_at_checked(at).ok_or_else(damaged)?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| damaged())?;
        return Ok(Some((share.to_vec(), nonce)));
    }
    if ctx.working_on_share(batch) {
        return Ok(None);
    }
    let (added, sums) = added(ctx, batch)?;
    let shape = params::shape(task);
    let groups = usize::try_from(task.replicate_groups).unwrap_or(1);
    let reports = concluded.accepted.len();
    if let Some(group) = groups::group_at(added, reports, groups) {
        let positions = groups::range(group, reports, groups);
        let ordered = concluded.ordered(seat::group_seed(&ctx.view, batch)?.as_ref());
        let next = ordered.get(added..positions.end).unwrap_or_default();
        let (more, outputs) = outputs(ctx, batch, next)?;
        let work = Work::Add {
            batch,
            upto: added + more,
            group,
        };
        // What is added up of this group, after the sums of those before it.
        let sum = if added == positions.start {
            Vec::new()
        } else {
            let each = sums.len() / (group + 1);
            sums.get(group * each..).unwrap_or_default().to_vec()
        };
        ctx.compute(Job::Add { shape, sum, outputs }, work);
        return Ok(None);
    }
    let seed = ctx.random::<32>();
    let job = Job::Noise {
        shape,
        sigma_squared: task.privacy.sigma_squared,
        groups,
        sums,
        seed,
    };
    ctx.compute(job, Work::Noise(batch));
    Ok(None)
}

/// How many of the accepted output shares are added up, and their sums, of one group after the other.
fn added(ctx: &Context<'_>, batch: BatchId) -> Result<(usize, Vec<u8>), StoreError> {
    let Some(value) = seat::get(&ctx.view, batch, seat::ADDED, &[])? else {
        return Ok((0, Vec::new()));
    };
    let count = |bytes: &[u8]| usize::try_from(u64::from_be_bytes(bytes.try_into().ok()?)).ok();
    let read = value
        .split_at_checked(8)
        .and_then(|(bytes, sum)| Some((count(bytes)?, sum.to_vec())));
    read.ok_or_else(|| {
        let key = seat::key(batch, seat::ADDED, &[]);
        StoreError::damaged(Column::Aggregation, &key, "not a sum")
    })
}

/// The first output shares of these reports, as many as are added up at a time.
fn outputs(
    ctx: &Context<'_>,
    batch: BatchId,
    accepted: &[ReportId],
) -> Result<(usize, Vec<Vec<u8>>), StoreError> {
    let (mut outputs, mut bytes) = (Vec::new(), 0);
    for id in accepted.iter().take(ADD_MAX) {
        let output = seat::get(&ctx.view, batch, seat::OUTPUT, id.as_bytes())?;
        let key = seat::key(batch, seat::OUTPUT, id.as_bytes());
        let missing = || StoreError::damaged(Column::Aggregation, &key, "the output share is missing");
        let output = output.ok_or_else(missing)?;
        bytes += output.len();
        outputs.push(output);
        if bytes >= ADD_BYTES_MAX {
            break;
        }
    }
    Ok((outputs.len(), outputs))
}

/// The leader adds up the shares and publishes the sum, once.
fn aggregate(ctx: &mut Context<'_>, task: &Task, view: &BatchView) -> Result<(), StoreError> {
    if task.seat(&ctx.node_key()) != Some(0) || !view.aggregates.is_empty() {
        return Ok(());
    }
    let (Some(sums), Some(shares)) = (group_sums(task, view), view.shares()) else {
        return Ok(());
    };
    let aggregate = Aggregate {
        batch: view.batch,
        count: view.transcript().map_or(0, |t| t.count),
        values: sums
            .iter()
            .flatten()
            .map(|v| i64::try_from(*v).unwrap_or(i64::MAX))
            .collect(),
        shares: shares.iter().map(|held| held.id).collect::<Vec<RecordId>>(),
    };
    author::append(ctx, Signer::Node, Kind::Aggregate, aggregate.encode())?;
    Ok(())
}

/// The noisy sum of a released batch: of all its groups, where it has several. `None` while a share is
/// missing or none fits the statistics.
#[must_use]
pub fn sum(task: &Task, view: &BatchView) -> Option<Vec<i128>> {
    Some(total(&group_sums(task, view)?))
}

/// The sum of vectors of equal length.
#[must_use]
pub fn total(sums: &[Vec<i128>]) -> Vec<i128> {
    let mut total = Vec::new();
    for sum in sums {
        total.resize(sum.len(), 0);
        for (total, value) in total.iter_mut().zip(sum) {
            *total += value;
        }
    }
    total
}

/// The noisy sums of a released batch, one of each replicate group in their order; `None` while a share is
/// missing or none fits the statistics and the groups.
#[must_use]
pub fn group_sums(task: &Task, view: &BatchView) -> Option<Vec<Vec<i128>>> {
    let shape = params::shape(task);
    let schema = fieldmark_fl::schema::Schema::new(&shape.schema).ok()?;
    let vdaf = Vdaf::new(&schema, shape.aggregators).ok()?;
    let shares = view.shares()?;
    let groups = usize::try_from(task.replicate_groups).ok()?;
    let bytes = schema.len() * FIELD_BYTES;
    if shares.iter().any(|held| held.value.share.len() != groups * bytes) {
        return None;
    }
    let of_group = |group: usize| {
        let part = |share: &[u8]| Some(share.get(group * bytes..(group + 1) * bytes)?.to_vec());
        let parts = shares.iter().map(|held| part(&held.value.share));
        fieldmark_fl::jobs::sum_shares(&vdaf, &parts.collect::<Option<Vec<_>>>()?).ok()
    };
    (0..groups).map(of_group).collect()
}
