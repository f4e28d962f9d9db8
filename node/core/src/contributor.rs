//! A contributor: evaluates the task's models on a dataset, charges the budget, and uploads one report
//! (design §7.1, §8).
//!
//! Order: the budget is reserved in the same durable write as the measurement, the report is durable
//! before it is uploaded, and a charge is given back only for a final Abort by an aggregator that this
//! node trusts. A crash at any point repeats work, never a charge.

mod admission;
mod inclusion;
mod settle;
mod upload;

use std::collections::BTreeMap;

use fieldmark_fl::budget::Filter;
use fieldmark_ledger::batch as ledger_batch;
use fieldmark_ledger::tasks;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::report::{Metadata, Report};
use fieldmark_protocol::task::{SKEW_MS, Task};
use fieldmark_protocol::wire::rpc_response;
use fieldmark_protocol::{RecordId, ReportId, wire};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::blobs::{self, Blobs};
use crate::compute::Job;
use crate::context::{Context, Work};
use crate::io::{CommandError, Event, Reply};
use crate::{budgets, params};

pub use inclusion::{Included, Proof, proof};

use inclusion::Asking;

/// Wait before an upload is tried again, in milliseconds.
pub const RETRY_MS: u64 = 1_000;

const STATE: u8 = b's';
const OUTBOX: u8 = b'o';

/// How far a contribution has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// The models are fetched and evaluated.
    Joined,
    /// The budget is charged, the report is being made.
    Charged {
        /// The measurement. Private: it never leaves this store in the clear.
        values: Vec<u64>,
    },
    /// The report is in the outbox.
    Outbox,
    /// The leader has it durably.
    Uploaded {
        /// The leader's time of receipt.
        received_at_ms: u64,
    },
    /// The leader refused the report. The leader holds it all the same, so the charge stays until the batch
    /// ends: an abort gives it back.
    Refused,
    /// The batch was released with this report, and that is proven.
    Counted,
    /// The batch was aborted before any share was public, and the charge was given back.
    Refunded,
    /// It ended without a report.
    Failed,
}

/// One contribution of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// The Task record.
    pub task: RecordId,
    /// Number of the window.
    pub window: u64,
    /// Name of the dataset.
    pub dataset: String,
    /// Its data source, which is charged.
    pub source: String,
    /// How far it has come.
    #[serde(flatten)]
    pub state: State,
    /// More for people, e.g. why it failed.
    pub detail: String,
}

impl Contribution {
    /// The batch it is for.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        BatchId {
            task: self.task,
            window: self.window,
        }
    }

    /// Name of its state in output.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.state {
            State::Joined => "joined",
            State::Charged { .. } => "charged",
            State::Outbox => "outbox",
            State::Uploaded { .. } => "uploaded",
            State::Refused => "refused",
            State::Counted => "counted",
            State::Refunded => "refunded",
            State::Failed => "failed",
        }
    }
}

fn key(batch: BatchId, tag: u8) -> Vec<u8> {
    [&[tag][..], &batch.key()].concat()
}

/// The id of the report that was made for a batch, if one was.
fn uploaded_id(store: &dyn Read, batch: BatchId) -> Result<Option<ReportId>, StoreError> {
    let Some(bytes) = store.get(Column::Contributions, &key(batch, OUTBOX))? else {
        return Ok(None);
    };
    let report = wire::Report::decode(bytes.as_slice())
        .map_err(|e| StoreError::damaged(Column::Contributions, &key(batch, OUTBOX), e))?;
    let metadata = report.metadata.unwrap_or_default();
    Ok(ReportId::from_slice(&metadata.report_id).ok())
}

/// What a batch charges a filter under: the same for every try.
#[must_use]
pub fn charge_id(batch: BatchId) -> [u8; 32] {
    *ContentHash::of(&[b"fieldmark/v1/charge\0".as_slice(), &batch.key()].concat()).as_bytes()
}

/// This node's contributions.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn contributions(store: &dyn Read) -> Result<Vec<Contribution>, StoreError> {
    let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
        serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Contributions, &key, e))
    };
    store
        .scan_all(Column::Contributions, &[STATE])?
        .into_iter()
        .map(decode)
        .collect()
}

/// The contributor machine.
#[derive(Debug, Default)]
pub(crate) struct Contributor {
    active: BTreeMap<BatchId, Contribution>,
    /// When an upload is tried again.
    upload_at: BTreeMap<BatchId, u64>,
    asking: Asking,
}

impl Contributor {
    /// Resumes what was under way.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>, blobs: &mut Blobs) -> Result<(), StoreError> {
        for contribution in contributions(&ctx.view)? {
            if !matches!(
                contribution.state,
                State::Counted | State::Refunded | State::Failed
            ) {
                self.active.insert(contribution.batch(), contribution);
            }
        }
        for batch in self.batches() {
            self.advance(ctx, blobs, batch)?;
        }
        Ok(())
    }

    pub(crate) fn batches(&self) -> Vec<BatchId> {
        self.active.keys().copied().collect()
    }

    /// Takes part in a task, after every check that needs no data.
    pub(crate) fn join(
        &mut self,
        ctx: &mut Context<'_>,
        blobs: &mut Blobs,
        task: RecordId,
        dataset: &str,
    ) -> Result<Result<Reply, CommandError>, StoreError> {
        let Some(view) = tasks::task(&ctx.view, &task)? else {
            let message = format!("no task {} is known here", task.short());
            return Ok(Err(CommandError::new("not-found", message)));
        };
        let batch = view.batch();
        let before = ctx.view.get(Column::Contributions, &key(batch, STATE))?;
        let before: Option<Contribution> = before.and_then(|b| serde_json::from_slice(&b).ok());
        if let Some(before) = before.filter(|b| b.state != State::Failed) {
            if before.dataset == dataset {
                return Ok(Ok(Reply::Joined));
            }
            let message = format!("this node already takes part, with dataset '{}'", before.dataset);
            return Ok(Err(CommandError::new("conflict", message)));
        }
        let source = match admission::admissible(ctx, &view, dataset)? {
            Ok(source) => source,
            Err(error) => return Ok(Err(error)),
        };
        let contribution = Contribution {
            task,
            window: view.task.window,
            dataset: dataset.to_owned(),
            source,
            state: State::Joined,
            detail: String::new(),
        };
        self.save(ctx, contribution, Batch::new());
        self.advance(ctx, blobs, batch)?;
        Ok(Ok(Reply::Joined))
    }

    /// Writes a contribution's new state, with whatever belongs to the same step.
    fn save(&mut self, ctx: &mut Context<'_>, contribution: Contribution, mut writes: Batch) {
        let batch = contribution.batch();
        // Serialising plain owned data to memory has no way to fail.
        let json = serde_json::to_vec(&contribution).unwrap_or_default();
        writes.put(Column::Contributions, key(batch, STATE), json);
        ctx.persist(writes);
        let (state, detail) = (contribution.name().to_owned(), contribution.detail.clone());
        ctx.event(Event::Contribution {
            task: contribution.task,
            state,
            detail,
        });
        if matches!(
            contribution.state,
            State::Counted | State::Refunded | State::Failed
        ) {
            self.active.remove(&batch);
            self.upload_at.remove(&batch);
            self.asking.forget(&batch);
        } else {
            self.active.insert(batch, contribution);
        }
    }

    fn fail(&mut self, ctx: &mut Context<'_>, batch: BatchId, detail: String) {
        if let Some(contribution) = self.active.get(&batch).cloned() {
            let failed = Contribution {
                state: State::Failed,
                detail,
                ..contribution
            };
            self.save(ctx, failed, Batch::new());
        }
    }

    /// Does the next thing a contribution needs, if it can be done now.
    pub(crate) fn advance(
        &mut self,
        ctx: &mut Context<'_>,
        blobs: &mut Blobs,
        batch: BatchId,
    ) -> Result<(), StoreError> {
        let Some(contribution) = self.active.get(&batch).cloned() else {
            return Ok(());
        };
        let Some(view) = tasks::task(&ctx.view, &batch.task)? else {
            return Ok(());
        };
        if self.settle(ctx, &view, &contribution)? {
            return Ok(());
        }
        let late = ctx.now + SKEW_MS >= view.task.closes_at_ms;
        match &contribution.state {
            State::Joined if late => {
                let detail = "the window closed before the models were evaluated";
                self.fail(ctx, batch, detail.into());
                Ok(())
            }
            // What is charged waits for the end of the batch: only an abort gives it back.
            State::Charged { .. } if late => Ok(()),
            State::Joined => evaluate(ctx, blobs, &view.task, &contribution),
            State::Charged { values } => shard(ctx, &view.task, batch, values.clone()),
            State::Outbox => self.upload(ctx, &view.task, batch),
            _ => Ok(()),
        }
    }

    /// The models were evaluated: charge the budget in the same write as the measurement.
    pub(crate) fn evaluated(
        &mut self,
        ctx: &mut Context<'_>,
        blobs: &mut Blobs,
        batch: BatchId,
        result: Result<Vec<u64>, String>,
    ) -> Result<(), StoreError> {
        let Some(contribution) = self.active.get(&batch).cloned() else {
            return Ok(());
        };
        if contribution.state != State::Joined {
            return Ok(());
        }
        let values = match result {
            Ok(values) => values,
            Err(detail) => {
                self.fail(ctx, batch, detail);
                return Ok(());
            }
        };
        let Some(view) = tasks::task(&ctx.view, &batch.task)? else {
            return Ok(());
        };
        match charge(ctx, &view.task, &contribution, batch)? {
            Ok(filter) => {
                let mut writes = Batch::new();
                budgets::put_filter(&mut writes, &contribution.source, &filter);
                let charged = Contribution {
                    state: State::Charged { values },
                    ..contribution
                };
                self.save(ctx, charged, writes);
                self.advance(ctx, blobs, batch)
            }
            Err(detail) => {
                self.fail(ctx, batch, detail);
                Ok(())
            }
        }
    }

    /// The shares are made: sign the report and put it into the outbox.
    pub(crate) fn sharded(
        &mut self,
        ctx: &mut Context<'_>,
        blobs: &mut Blobs,
        metadata: Metadata,
        result: Result<(Vec<u8>, Vec<Vec<u8>>), String>,
    ) -> Result<(), StoreError> {
        let batch = metadata.batch;
        let Some(contribution) = self.active.get(&batch).cloned() else {
            return Ok(());
        };
        if !matches!(contribution.state, State::Charged { .. }) {
            return Ok(());
        }
        match result {
            Err(detail) => {
                self.fail(ctx, batch, detail);
                Ok(())
            }
            Ok((public_share, sealed)) => {
                let report = Report::sign(&ctx.keys().node, metadata, public_share, sealed);
                let mut writes = Batch::new();
                writes.put(Column::Contributions, key(batch, OUTBOX), report.encode());
                self.save(
                    ctx,
                    Contribution {
                        state: State::Outbox,
                        ..contribution
                    },
                    writes,
                );
                self.advance(ctx, blobs, batch)
            }
        }
    }

    /// An aggregator said whether a report was counted, or did not answer.
    pub(crate) fn included(
        &mut self,
        ctx: &mut Context<'_>,
        blobs: &mut Blobs,
        batch: BatchId,
        seat: usize,
        body: Option<rpc_response::Body>,
    ) -> Result<(), StoreError> {
        if !self.active.contains_key(&batch) {
            return Ok(());
        }
        let Some(task) = tasks::task(&ctx.view, &batch.task)? else {
            return Ok(());
        };
        let view = ledger_batch::batch(&ctx.view, batch)?;
        self.asking.answer(ctx, (&task.task, &view), seat, body)?;
        self.advance(ctx, blobs, batch)
    }

    /// When an upload or a question is due.
    pub(crate) fn deadline(&self) -> u64 {
        let upload = self.upload_at.values().copied().min().unwrap_or(u64::MAX);
        upload.min(self.asking.deadline())
    }
}

/// The filter with this batch charged.
fn charge(
    ctx: &Context<'_>,
    task: &Task,
    contribution: &Contribution,
    batch: BatchId,
) -> Result<Result<Filter, String>, StoreError> {
    let cost = match params::check(task) {
        Ok(cost) => cost,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let relation = params::relation(task);
    let charged = budgets::charged(&ctx.view, &contribution.source, charge_id(batch), relation, cost)?;
    Ok(charged.map_err(|error| error.message))
}

/// Fetches the models that are missing; evaluates once all are here.
fn evaluate(
    ctx: &mut Context<'_>,
    blobs: &mut Blobs,
    task: &Task,
    contribution: &Contribution,
) -> Result<(), StoreError> {
    let batch = contribution.batch();
    let mut complete = true;
    for release in &task.statistics.releases {
        if !blobs::is_complete(&ctx.view, release)? {
            complete = false;
            blobs.want(ctx, *release)?;
        }
    }
    if complete && !ctx.working_on(Work::Evaluate(batch)) {
        let job = Job::Evaluate {
            batch,
            dataset: contribution.dataset.clone(),
            releases: task.statistics.releases.clone(),
            slices: task.statistics.slices.clone(),
            schema: params::schema_params(task),
            extra: task.statistics.extra.clone(),
        };
        ctx.compute(job, Work::Evaluate(batch));
    }
    Ok(())
}

/// Splits the measurement for the committee, with fresh randomness and a fresh report id.
fn shard(ctx: &mut Context<'_>, task: &Task, batch: BatchId, values: Vec<u64>) -> Result<(), StoreError> {
    let sharding = |work: &Work| matches!(work, Work::Shard(m) if m.batch == batch);
    if ctx.shared.jobs.values().any(sharding) {
        return Ok(());
    }
    let metadata = Metadata {
        batch,
        report_id: ReportId::new(ctx.random::<16>()),
        contributor: ctx.identity(),
        node_key: ctx.node_key(),
    };
    let job = Job::Shard {
        shape: params::shape(task),
        metadata,
        values,
        recipients: task.committee.iter().map(|a| *a.hpke_key.as_bytes()).collect(),
        seed: ctx.random::<32>(),
    };
    ctx.compute(job, Work::Shard(metadata));
    Ok(())
}
