//! Every check a task must pass before this node's data is touched for it.

use fieldmark_ledger::batch::{self as ledger_batch, Phase};
use fieldmark_ledger::tasks::{self, TaskView};
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::task::{Eligibility, SKEW_MS, ScoreKind, Task};

use super::charge_id;
use crate::context::Context;
use crate::io::{CommandError, Dataset, phase_name};
use crate::{budgets, datasets, params, seat};

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
    if let Err(error) = eligible(ctx, &view.task)? {
        return Ok(Err(error));
    }
    if let Err(error) = unchanged(ctx, view)? {
        return Ok(Err(error));
    }
    if ctx.now + SKEW_MS < view.task.opens_at_ms {
        let wait = (view.task.opens_at_ms - ctx.now).div_ceil(1_000);
        return Ok(no(
            "refused",
            format!("the challenge is registered and opens in {wait} s; join it then"),
        ));
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
    let policy = &ctx.shared.policy;
    let (epsilon, most) = (task.privacy.epsilon(), policy.epsilon_max);
    if epsilon > most {
        return no(
            "refused",
            format!("the task asks for epsilon {epsilon}, your policy allows at most {most}"),
        );
    }
    let (delta, most) = (task.privacy.delta(), policy.delta_max);
    if most > 0.0 && delta > most {
        return no(
            "refused",
            format!("the task asks for delta {delta:e}, your policy allows at most {most:e}"),
        );
    }
    let (records, most) = (task.statistics.records_max, policy.records_max);
    if most > 0 && records > most {
        return no(
            "refused",
            format!("a report of the task counts up to {records} records, your policy allows at most {most}"),
        );
    }
    Ok(())
}

/// Whether the task's list or its endorsers admit this identity.
fn eligible(ctx: &Context<'_>, task: &Task) -> Result<Verdict<()>, StoreError> {
    let eligible = seat::eligible(&ctx.view, task, &ctx.identity())?;
    Ok(match (&task.eligibility, eligible) {
        (_, Some(true)) => Ok(()),
        (Eligibility::EndorsedBy(_), found) => {
            let why = if found.is_none() {
                "none of them has endorsed this one, as far as is known here"
            } else {
                "their endorsement of this one has expired, ends before the window does, or was taken back"
            };
            no(
                "refused",
                format!("the task takes reports of identities that its endorsers endorsed; {why}"),
            )
        }
        _ => no(
            "refused",
            "the task lists its contributors and this identity is not on the list",
        ),
    })
}

/// Whether the task is not another version of one that this node joined before: an operator that changes
/// a task after people joined it must give it another name.
fn unchanged(ctx: &Context<'_>, view: &TaskView) -> Result<Verdict<()>, StoreError> {
    for joined in super::contributions(&ctx.view)? {
        if joined.task == view.id {
            continue;
        }
        let Some(before) = tasks::task(&ctx.view, &joined.task)? else {
            continue;
        };
        if before.author != view.author || before.task.name != view.task.name {
            continue;
        }
        if let Some(what) = difference(&before.task, &view.task) {
            return Ok(no(
                "refused",
                format!(
                    "the task '{}' is not what it was when this node joined it as {}: {what}",
                    view.task.name,
                    before.id.short()
                ),
            ));
        }
    }
    Ok(Ok(()))
}

/// How two tasks of one name differ, but for their windows.
fn difference(before: &Task, now: &Task) -> Option<String> {
    let (a, b) = (&before.privacy, &now.privacy);
    if a != b {
        return Some(format!(
            "epsilon {} at delta {:e} before, {} at {:e} now",
            a.epsilon(),
            a.delta(),
            b.epsilon(),
            b.delta()
        ));
    }
    let rest = |task: &Task| Task {
        window: 0,
        opens_at_ms: 0,
        closes_at_ms: 0,
        ..task.clone()
    };
    if before.committee != now.committee {
        return Some("another committee".to_owned());
    }
    if before.statistics != now.statistics {
        return Some("other statistics".to_owned());
    }
    if rest(before) != rest(now) {
        return Some("other rules for who contributes and when".to_owned());
    }
    (before.window == now.window).then(|| "the same window was posed twice".to_owned())
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
    answering(task, data)
}

/// Whether the data's labels are what the task's score compares with. What notes of old do not tell is left
/// to the evaluation.
fn answering(task: &Task, data: &Dataset) -> Verdict<()> {
    let extra = &task.statistics.extra;
    let needed = match extra.score {
        ScoreKind::Preference => "preference",
        _ if extra.target_range.is_some() => "value",
        _ => "class",
    };
    if !data.target.is_empty() && data.target != needed {
        return no(
            "refused",
            format!(
                "the task's score '{}' needs labels that are a {needed}, those of dataset '{}' are a {}; add the \
                 data again with `fieldmark dataset add --target {needed}`",
                extra.score.name(),
                data.name,
                data.target
            ),
        );
    }
    let lacks = |name: &&&str| {
        let attributes = data.attributes.as_ref();
        attributes.is_some_and(|known| !known.iter().any(|held| held == **name))
    };
    if extra.score == ScoreKind::Preference
        && let Some(missing) = ["a", "b"].iter().find(lacks)
    {
        return no(
            "refused",
            format!(
                "the task compares pairs of models, and dataset '{}' has no attribute '{missing}' that names one of \
                 the two; name both columns with `fieldmark dataset add --attributes a,b`",
                data.name
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
    let (id, relation) = (charge_id(view.batch()), params::relation(&view.task));
    let charged = budgets::charged(&ctx.view, &data.source, id, relation, cost)?;
    Ok(charged.map(|_| data.source.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::task;

    #[test]
    fn a_task_that_goes_on_in_another_window_is_the_same() {
        let before = task();
        let next = Task {
            window: before.window + 1,
            opens_at_ms: before.closes_at_ms,
            closes_at_ms: before.closes_at_ms + 1_000,
            ..before.clone()
        };
        assert_eq!(difference(&before, &next), None);
    }

    #[test]
    fn a_preference_needs_preferences_and_the_two_models_they_are_about() {
        let mut task = task();
        let refused = |task: &Task, data: &Dataset| fitting(task, data).map_err(|e| e.message);
        let mut data = Dataset {
            name: "chats".into(),
            slices: task.statistics.slices.clone(),
            target: "class".into(),
            attributes: Some(vec!["a".into()]),
            ..Dataset::default()
        };
        assert_eq!(refused(&task, &data), Ok(()));
        task.statistics.extra.score = ScoreKind::Preference;
        assert!(refused(&task, &data).unwrap_err().contains("--target preference"));
        data.target = "preference".into();
        assert!(refused(&task, &data).unwrap_err().contains("no attribute 'b'"));
        data.attributes = Some(vec!["a".into(), "b".into()]);
        assert_eq!(refused(&task, &data), Ok(()));
        data.attributes = None;
        assert_eq!(refused(&task, &data), Ok(()));
    }

    #[test]
    fn a_task_that_changed_says_how() {
        let before = task();
        let changed = |change: &dyn Fn(&mut Task)| {
            let mut now = Task {
                window: 1,
                ..before.clone()
            };
            change(&mut now);
            difference(&before, &now).unwrap()
        };
        assert!(changed(&|t| t.privacy.epsilon_micro *= 2).starts_with("epsilon 2 at delta 1e-6 before, 4"));
        assert_eq!(changed(&|t| t.committee.reverse()), "another committee");
        assert_eq!(changed(&|t| t.statistics.records_max += 1), "other statistics");
        assert!(changed(&|t| t.min_batch += 1).starts_with("other rules"));
        assert_eq!(changed(&|t| t.window = 0), "the same window was posed twice");
    }
}
