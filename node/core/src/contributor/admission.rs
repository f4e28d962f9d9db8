//! Every check a task must pass before this node's data is touched for it.

use fieldmark_ledger::batch::{self as ledger_batch, Phase};
use fieldmark_ledger::tasks::TaskView;
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::task::{SKEW_MS, Task};

use super::charge_id;
use crate::context::Context;
use crate::io::{CommandError, Dataset, phase_name};
use crate::{datasets, params};

type Verdict<T> = Result<T, CommandError>;

fn no<T>(code: &'static str, message: impl Into<String>) -> Verdict<T> {
    Err(CommandError::new(code, message))
}

/// The data source to charge, when this node may and can take part with the dataset.
pub(super) fn admissible(
    ctx: &Context<'_>,
    view: &TaskView,
    dataset: &str,
) -> Result<Verdict<String>, StoreError> {
    let Some(data) = datasets::dataset(&ctx.view, dataset)? else {
        return Ok(no(
            "not-found",
            format!("no dataset '{dataset}'; `fieldmark dataset add` makes one known"),
        ));
    };
    if let Err(error) = allowed(ctx, &view.task).and_then(|()| fitting(&view.task, &data)) {
        return Ok(Err(error));
    }
    if ctx.now + SKEW_MS >= view.task.closes_at_ms {
        return Ok(no("refused", "the window is closed"));
    }
    let phase = ledger_batch::batch(&ctx.view, view.batch())?.phase;
    if phase != Phase::Open {
        return Ok(no(
            "refused",
            format!("the batch is {} already", phase_name(&phase)),
        ));
    }
    affordable(ctx, view, &data)
}

/// What the owner's policy and the task's own list say.
fn allowed(ctx: &Context<'_>, task: &Task) -> Verdict<()> {
    if !ctx.shared.policy.trust.protects(task) {
        return no(
            "refused",
            "your trust policy names none of this committee's aggregators, so nothing would keep the report \
             private; name one with `fieldmark trust add IDENTITY` if you trust it",
        );
    }
    if !task.eligibility.admits(&ctx.identity()) {
        return no(
            "refused",
            "the task lists its contributors and this identity is not on the list",
        );
    }
    let (epsilon, most) = (task.privacy.epsilon(), ctx.shared.policy.epsilon_max);
    if epsilon > most {
        return no(
            "refused",
            format!("the task asks for epsilon {epsilon}, your policy allows at most {most}"),
        );
    }
    Ok(())
}

/// Whether the data has what the task measures.
fn fitting(task: &Task, data: &Dataset) -> Verdict<()> {
    let most = u64::from(task.statistics.records_max);
    if data.records > most {
        return no(
            "refused",
            format!(
                "the dataset has {} source records, a report of this task counts at most {most}",
                data.records
            ),
        );
    }
    let missing: Vec<&String> = task
        .statistics
        .slices
        .iter()
        .filter(|s| !data.slices.contains(s))
        .collect();
    if !missing.is_empty() {
        return no(
            "refused",
            format!(
                "the dataset lacks the task's slices {missing:?}; it has {:?}",
                data.slices
            ),
        );
    }
    Ok(())
}

/// Whether the source's filter can pay, without charging it yet.
fn affordable(ctx: &Context<'_>, view: &TaskView, data: &Dataset) -> Result<Verdict<String>, StoreError> {
    let cost = match params::check(&view.task) {
        Ok(cost) => cost,
        Err(error) => {
            return Ok(no(
                "refused",
                format!("the task's parameters do not hold: {error}"),
            ));
        }
    };
    let Some(mut filter) = datasets::filter(&ctx.view, &data.source)? else {
        return Ok(no(
            "not-found",
            format!("data source '{}' has no budget", data.source),
        ));
    };
    Ok(match filter.reserve(charge_id(view.batch()), cost) {
        Ok(_) => Ok(data.source.clone()),
        Err(error) => no("budget", format!("data source '{}': {error}", data.source)),
    })
}
