//! A report on its way to the leader: sent again until it is answered, and what the answer means.

use fieldmark_ledger::tasks;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::report::Receipt;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::wire;
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use prost::Message;

use super::{Contribution, Contributor, OUTBOX, RETRY_MS, State, inclusion, key, uploaded_id};
use crate::context::{Context, Purpose};
use crate::rpc::RefusalCode;

impl Contributor {
    pub(super) fn upload(
        &mut self,
        ctx: &mut Context<'_>,
        task: &Task,
        batch: BatchId,
    ) -> Result<(), StoreError> {
        let waiting = ctx
            .shared
            .requests
            .values()
            .any(|(_, p)| *p == Purpose::Upload(batch));
        let due = self
            .upload_at
            .get(&batch)
            .copied()
            .unwrap_or(0)
            .max(task.opens_at_ms);
        let Some(leader) = task.leader().map(|l| l.node_key) else {
            return Ok(());
        };
        if waiting {
            return Ok(());
        }
        if ctx.now < due {
            self.upload_at.insert(batch, due);
            return Ok(());
        }
        self.upload_at.insert(batch, ctx.now + RETRY_MS);
        if !ctx.reach(&leader)? {
            return Ok(());
        }
        let bytes = ctx
            .view
            .get(Column::Contributions, &key(batch, OUTBOX))?
            .unwrap_or_default();
        let report = wire::Report::decode(bytes.as_slice())
            .map_err(|e| StoreError::damaged(Column::Contributions, &key(batch, OUTBOX), e))?;
        ctx.send(leader, rpc_request::Body::Upload(report), Purpose::Upload(batch));
        Ok(())
    }

    /// The leader answered an upload, or did not.
    pub(crate) fn uploaded(
        &mut self,
        ctx: &mut Context<'_>,
        batch: BatchId,
        body: Option<rpc_response::Body>,
    ) -> Result<(), StoreError> {
        let Some(contribution) = self.active.get(&batch).cloned() else {
            return Ok(());
        };
        let Some(view) = tasks::task(&ctx.view, &batch.task)? else {
            return Ok(());
        };
        let leader = view.task.leader().map(|l| l.node_key);
        match (body, leader) {
            (Some(rpc_response::Body::Receipt(receipt)), Some(leader)) => {
                if let Ok(receipt) = Receipt::check(receipt, leader)
                    && receipt.batch == batch
                    && Some(receipt.report_id) == uploaded_id(&ctx.view, batch)?
                    && contribution.state == State::Outbox
                {
                    let received_at_ms = receipt.received_at_ms;
                    let state = State::Uploaded { received_at_ms };
                    self.upload_at.remove(&batch);
                    let mut writes = Batch::new();
                    inclusion::keep_receipt(&mut writes, &receipt);
                    self.save(
                        ctx,
                        Contribution {
                            state,
                            ..contribution
                        },
                        writes,
                    );
                }
            }
            // A leader that has the report says so even after the close; one that has not never takes it.
            (Some(rpc_response::Body::Refusal(refusal)), _)
                if RefusalCode::from_number(refusal.code) == RefusalCode::Closed =>
            {
                self.upload_at.insert(batch, u64::MAX);
            }
            (Some(rpc_response::Body::Refusal(refusal)), _)
                if RefusalCode::from_number(refusal.code) == RefusalCode::Rejected
                    && contribution.state == State::Outbox =>
            {
                let detail: String = refusal
                    .detail
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                let refused = Contribution {
                    state: State::Refused,
                    detail: format!(
                        "the leader refused the report: {detail}; it holds the report, so the charge stays \
                         unless the batch is aborted"
                    ),
                    ..contribution
                };
                self.upload_at.remove(&batch);
                self.save(ctx, refused, Batch::new());
            }
            _ => {}
        }
        Ok(())
    }
}
