//! Recurring feedback windows: who opens them, and who fills them from real use.
//!
//! The operator's node signs the task of each window when it is time, as a new record with the next number
//! and everything else unchanged. A company enrols a release once: from then on its served predictions are
//! drawn at the series' rate, and each window takes the counted ones that were served before it opened and
//! have entered none. They enter it in one durable write, before anything is measured, and never another,
//! whatever becomes of the report. Most of the window passes first, so that truths can still be given.
//!
//! A series is its operator and the name of its tasks. Enrolments are in `Column::Served` under
//! `w` ‖ operator ‖ name, what entered a window under `b` ‖ batch.

use std::collections::BTreeMap;

use fieldmark_fl::budget::RecordSketch;
use fieldmark_ledger::tasks::{self, TaskView};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::task::{SKEW_MS, Task};
use fieldmark_protocol::{PublicKey, RecordId, ServedId};
use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::context::Context;
use crate::contributor::Contributor;
use crate::io::{CommandError, Dataset, Event, Reply, SourceBudget};
use crate::served::draw::Rate;
use crate::served::{self, view};
use crate::{author, datasets};

/// Slice of a feedback task: what was asked in real use.
pub const FIELD_SLICE: &str = "field";
/// How much of a window passes before its reports are made, in hundredths.
const LABELLING_PERCENT: u64 = 75;

const ENROLMENT: u8 = b'w';
const MEMBERS: u8 = b'b';

/// A release whose real use is reported to a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Who opens the windows.
    pub operator: PublicKey,
    /// Name of their tasks.
    pub name: String,
    /// The release.
    pub release: RecordId,
    /// The dataset that stands for its served predictions.
    pub dataset: String,
    /// Predictions served from here on enter, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Enrolment {
    fn key(operator: &PublicKey, name: &str) -> Vec<u8> {
        served::key(ENROLMENT, &[operator.as_bytes(), name.as_bytes()])
    }
}

/// The enrolments of this node.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn enrolments(store: &dyn Read) -> Result<Vec<Enrolment>, StoreError> {
    let decode = |(at, value): (Vec<u8>, Vec<u8>)| {
        serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Served, &at, e))
    };
    let all = store.scan_all(Column::Served, &[ENROLMENT])?;
    all.into_iter().map(decode).collect()
}

/// The predictions that entered a window, in the order in which they were served.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn members(store: &dyn Read, batch: BatchId) -> Result<Vec<ServedId>, StoreError> {
    Ok(served::read(store, &served::key(MEMBERS, &[&batch.key()]))?.unwrap_or_default())
}

/// The machine of both sides.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    /// The last window of each series that this node's identity opened, by name.
    opened: BTreeMap<String, TaskView>,
    /// Windows to take part in, with the time of it.
    due: BTreeMap<BatchId, (u64, Enrolment)>,
}

impl Feedback {
    /// Takes up the series that the ledger and the enrolments know.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        for task in tasks::tasks(&ctx.view)? {
            self.task(ctx, &task)?;
        }
        Ok(())
    }

    /// Looks at a task that is new or known from before a restart.
    pub(crate) fn task(&mut self, ctx: &Context<'_>, view: &TaskView) -> Result<(), StoreError> {
        if view.task.recurrence.is_none() {
            return Ok(());
        }
        let name = &view.task.name;
        if view.author == ctx.identity() {
            let later = self
                .opened
                .get(name)
                .is_none_or(|held| held.task.window < view.task.window);
            if later {
                self.opened.insert(name.clone(), view.clone());
            }
        }
        let open = ctx.now.saturating_add(SKEW_MS) < view.task.closes_at_ms;
        let enrolment = served::read(&ctx.view, &Enrolment::key(&view.author, name))?;
        if let Some(enrolment) = enrolment.filter(|_| open) {
            self.due.insert(view.batch(), (join_at_ms(&view.task), enrolment));
        }
        Ok(())
    }

    /// Opens windows whose time has come, and takes part in those that are due.
    pub(crate) fn tick(
        &mut self,
        ctx: &mut Context<'_>,
        contributor: &mut Contributor,
        blobs: &mut Blobs,
    ) -> Result<(), StoreError> {
        for view in self.opened.values().cloned().collect::<Vec<_>>() {
            if next_opens_at_ms(&view.task).is_some_and(|at| at <= ctx.now) {
                self.open_next(ctx, &view)?;
            }
        }
        let due = |(_, (at, _)): &(&BatchId, &(u64, Enrolment))| *at <= ctx.now;
        let ready: Vec<BatchId> = self.due.iter().filter(due).map(|(batch, _)| *batch).collect();
        for batch in ready {
            if let Some((_, enrolment)) = self.due.remove(&batch) {
                take_part(ctx, contributor, blobs, batch, &enrolment)?;
            }
        }
        Ok(())
    }

    /// Signs the next window of a series. A window whose time passed while the node was down is skipped:
    /// its number is not given again.
    fn open_next(&mut self, ctx: &mut Context<'_>, last: &TaskView) -> Result<(), StoreError> {
        let Some(recurrence) = last.task.recurrence else {
            return Ok(());
        };
        let passed = ctx.now.saturating_sub(last.task.opens_at_ms);
        let steps = passed.checked_div(recurrence.period_ms).unwrap_or(1).max(1);
        let window = last.task.window.saturating_add(steps);
        // Beyond the last number the series is over.
        let shift = steps.saturating_mul(recurrence.period_ms);
        let next = Task {
            window,
            opens_at_ms: last.task.opens_at_ms.saturating_add(shift),
            closes_at_ms: last.task.closes_at_ms.saturating_add(shift),
            ..last.task.clone()
        };
        let challenge = tasks::challenges(&ctx.view)?
            .into_iter()
            .find(|c| c.challenge.task == last.id);
        let (Some(challenge), Ok(())) = (challenge, next.check()) else {
            self.opened.remove(&last.task.name);
            return Ok(());
        };
        let previous = Some(challenge.id);
        let mut challenge = Challenge {
            previous,
            ..challenge.challenge
        };
        challenge.name = format!("{}-w{window}", last.task.name);
        if author::create_challenge(ctx, &next, &challenge)?.is_err() {
            self.opened.remove(&last.task.name);
        }
        Ok(())
    }

    pub(crate) fn deadline(&self) -> u64 {
        let opens = self
            .opened
            .values()
            .filter_map(|view| next_opens_at_ms(&view.task));
        let joins = self.due.values().map(|(at, _)| *at);
        opens.chain(joins).min().unwrap_or(u64::MAX)
    }

    /// Enrols a release in the series of a task, with a budget for what it serves.
    pub(crate) fn enrol(
        &mut self,
        ctx: &mut Context<'_>,
        task: RecordId,
        budget: &SourceBudget,
    ) -> Result<Result<Reply, CommandError>, StoreError> {
        let Some(view) = tasks::task(&ctx.view, &task)? else {
            let message = format!("no task {} is known here", task.short());
            return Ok(Err(CommandError::new("not-found", message)));
        };
        let (Some(recurrence), [release]) = (view.task.recurrence, view.task.statistics.releases.as_slice())
        else {
            let message = format!(
                "'{}' is no feedback window: those recur, and are about one model",
                view.task.name
            );
            return Ok(Err(CommandError::new("invalid", message)));
        };
        let dataset = format!("served.{}", view.task.name);
        let stand_in = stand_in(&view, &dataset);
        if let Err(error) = datasets::add(ctx, &stand_in, &RecordSketch::default(), budget)? {
            return Ok(Err(error));
        }
        let enrolment = Enrolment {
            operator: view.author,
            name: view.task.name.clone(),
            release: *release,
            dataset,
            since_ms: ctx.now,
        };
        let mut writes = Batch::new();
        served::write(
            &mut writes,
            Enrolment::key(&view.author, &view.task.name),
            &enrolment,
        );
        let rate = Rate::from_ppm(recurrence.rate_ppm).unwrap_or(Rate::ALL);
        served::declare(&mut writes, release, rate);
        ctx.persist(writes);
        for task in tasks::tasks(&ctx.view)? {
            // Windows that are open already began before anything was drawn at this rate.
            if task.task.opens_at_ms > ctx.now {
                self.task(ctx, &task)?;
            }
        }
        Ok(Ok(Reply::Joined))
    }
}

/// What the machines of datasets and budgets know of a release's served predictions.
fn stand_in(view: &TaskView, name: &str) -> Dataset {
    Dataset {
        name: name.to_owned(),
        source: name.to_owned(),
        version: ContentHash::of(&[view.author.as_bytes().as_slice(), name.as_bytes()].concat()).to_string(),
        slices: view.task.statistics.slices.clone(),
        ..Dataset::default()
    }
}

/// When the next window of a series opens, if there is one.
fn next_opens_at_ms(task: &Task) -> Option<u64> {
    let recurrence = task.recurrence?;
    let more = task.window.saturating_add(1) < u64::from(recurrence.windows);
    more.then(|| task.opens_at_ms.saturating_add(recurrence.period_ms))
}

/// When a company makes its report: late enough for truths, early enough to be taken.
fn join_at_ms(task: &Task) -> u64 {
    let length = task.closes_at_ms.saturating_sub(task.opens_at_ms);
    let labelling = (length / 100).saturating_mul(LABELLING_PERCENT);
    let latest = length.saturating_sub(3 * SKEW_MS);
    task.opens_at_ms.saturating_add(labelling.min(latest))
}

/// Enters what was served into the window, in one durable write, and joins with it.
fn take_part(
    ctx: &mut Context<'_>,
    contributor: &mut Contributor,
    blobs: &mut Blobs,
    batch: BatchId,
    enrolment: &Enrolment,
) -> Result<(), StoreError> {
    let Some(view) = tasks::task(&ctx.view, &batch.task)? else {
        return Ok(());
    };
    let at = served::key(MEMBERS, &[&batch.key()]);
    if served::read::<Vec<ServedId>>(&ctx.view, &at)?.is_none() {
        let chosen = choose(ctx, &view.task, enrolment)?;
        if chosen.is_empty() {
            let detail = "nothing that counts was served before the window opened".to_owned();
            ctx.event(Event::Contribution {
                task: batch.task,
                state: "skipped".to_owned(),
                detail,
            });
            return Ok(());
        }
        let mut writes = Batch::new();
        for id in &chosen {
            writes.put(Column::Served, view::entered_key(id), batch.key());
        }
        served::write(&mut writes, at, &chosen);
        ctx.persist(writes);
    }
    if let Err(error) = contributor.join(ctx, blobs, batch.task, &enrolment.dataset)? {
        ctx.event(Event::Contribution {
            task: batch.task,
            state: "refused".to_owned(),
            detail: error.message,
        });
    }
    Ok(())
}

/// Counted predictions that were served before the window opened and entered none, the oldest first.
fn choose(ctx: &Context<'_>, task: &Task, enrolment: &Enrolment) -> Result<Vec<ServedId>, StoreError> {
    let rate = task.recurrence.map_or(0, |r| r.rate_ppm);
    let most = usize::try_from(task.statistics.records_max).unwrap_or(usize::MAX);
    let mut chosen = Vec::new();
    for kept in view::predictions(&ctx.view, Some(&enrolment.release))? {
        let drawn = kept.counted && kept.rate.ppm() == rate;
        let served = (enrolment.since_ms..task.opens_at_ms).contains(&kept.at_ms);
        if drawn && served && chosen.len() < most && !view::entered(&ctx.view, &kept.request_id)? {
            chosen.push(kept.request_id);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
