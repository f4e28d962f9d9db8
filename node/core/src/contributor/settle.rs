//! How a contribution ends (design §7.8). Once a share of the batch is public the charge is final, whatever
//! follows. An abort gives it back only if an aggregator that this node trusts signed it, which then never
//! publishes its share; and only while no share was public.

use fieldmark_fl::budget::ChargeState;
use fieldmark_ledger::batch::{self as ledger_batch, BatchView, Phase};
use fieldmark_ledger::tasks::TaskView;
use fieldmark_protocol::machine::{Batch, StoreError};

use super::inclusion::Found;
use super::{Contribution, Contributor, State, charge_id};
use crate::budgets;
use crate::context::Context;

impl Contributor {
    /// Looks whether the batch ended; returns whether nothing else is to be done for the contribution now.
    pub(super) fn settle(
        &mut self,
        ctx: &mut Context<'_>,
        view: &TaskView,
        contribution: &Contribution,
    ) -> Result<bool, StoreError> {
        let batch = ledger_batch::batch(&ctx.view, contribution.batch())?;
        match batch.phase {
            // The aggregator that is silent could hold the sum.
            Phase::Shares if contribution.state != State::Joined => commit(ctx, contribution).map(|()| true),
            Phase::Released | Phase::Void => {
                commit(ctx, contribution)?;
                self.released(ctx, view, &batch, contribution)
            }
            Phase::Aborted => self.aborted(ctx, view, &batch, contribution),
            _ => Ok(false),
        }
    }

    fn released(
        &mut self,
        ctx: &mut Context<'_>,
        view: &TaskView,
        batch: &BatchView,
        contribution: &Contribution,
    ) -> Result<bool, StoreError> {
        let sent = matches!(
            contribution.state,
            State::Outbox | State::Uploaded { .. } | State::Refused
        );
        let found = if sent {
            self.asking.look(ctx, &view.task, batch)?
        } else {
            Found::Denied
        };
        let (state, detail) = match (found, &contribution.state) {
            (Found::Counted, _) => (
                State::Counted,
                "the batch was released with this report".to_owned(),
            ),
            (Found::Open, _) => return Ok(true),
            (Found::Denied, State::Uploaded { received_at_ms }) => (
                State::Failed,
                format!(
                    "the leader signed a receipt for this report at {received_at_ms} and left it out of the \
                     batch; the receipt proves it"
                ),
            ),
            (Found::Denied, State::Refused) => (
                State::Failed,
                format!(
                    "the batch was released without this report: {}",
                    contribution.detail
                ),
            ),
            (Found::Denied, _) => (
                State::Failed,
                "the batch was released without this report".to_owned(),
            ),
        };
        self.end(ctx, contribution, state, detail, Batch::new());
        Ok(true)
    }

    fn aborted(
        &mut self,
        ctx: &mut Context<'_>,
        view: &TaskView,
        batch: &BatchView,
        contribution: &Contribution,
    ) -> Result<bool, StoreError> {
        let trusted = &ctx.shared.policy.trust.aggregators;
        let seated = |key| view.task.committee.iter().any(|a| a.identity == key);
        let by = batch
            .aborts
            .iter()
            .find(|abort| seated(abort.author) && trusted.contains(&abort.author));
        let Some(abort) = by else { return Ok(false) };
        let detail = abort.value.detail.clone();
        let Some(mut filter) = budgets::filter(&ctx.view, &contribution.source)? else {
            return Ok(false);
        };
        let charge = charge_id(contribution.batch());
        let mut writes = Batch::new();
        if filter
            .charge(&charge)
            .is_some_and(|held| held.state == ChargeState::Committed)
        {
            let detail = format!("aborted after a share was public, so the charge stays: {detail}");
            self.end(ctx, contribution, State::Failed, detail, writes);
            return Ok(true);
        }
        if filter.refund(&charge).is_ok() {
            budgets::put_filter(&mut writes, &contribution.source, &filter);
        }
        self.end(ctx, contribution, State::Refunded, detail, writes);
        Ok(true)
    }

    fn end(
        &mut self,
        ctx: &mut Context<'_>,
        contribution: &Contribution,
        state: State,
        detail: String,
        writes: Batch,
    ) {
        let ended = Contribution {
            state,
            detail,
            ..contribution.clone()
        };
        self.save(ctx, ended, writes);
    }
}

/// Marks the charge as final, once.
fn commit(ctx: &mut Context<'_>, contribution: &Contribution) -> Result<(), StoreError> {
    let Some(mut filter) = budgets::filter(&ctx.view, &contribution.source)? else {
        return Ok(());
    };
    let charge = charge_id(contribution.batch());
    let reserved = |held: fieldmark_fl::budget::Charge| held.state == ChargeState::Reserved;
    if filter.charge(&charge).is_some_and(reserved) && filter.commit(&charge).is_ok() {
        let mut writes = Batch::new();
        budgets::put_filter(&mut writes, &contribution.source, &filter);
        ctx.persist(writes);
    }
    Ok(())
}
