//! Feedback from real use: the predictions this node served, and the truth about them.
//!
//! Predictions are kept on this node only, bounded in number, and not at all if the owner says so. Whether
//! one counts for the field score is decided when it is served, before anyone looks at it: by a keyed hash
//! of its id at the rate declared for the release ([`draw`]). Counted ones without a truth count as
//! unlabelled. Labels given in the least-certain-first order are marked and never enter a report, because
//! that order chooses by what the model said.
//!
//! This file takes predictions, truths and rates in; [`view`] is what people look at; windows that turn
//! counted predictions into reports are [`crate::feedback`]. Byte layout of `Column::Served`:
//! `p` ‖ time in ms (8 bytes, big endian) ‖ id → prediction, `i` ‖ id → time, `r` ‖ release → rate,
//! `c` → numbers kept, `k` → key of the draw, `e` ‖ id → the window it entered.

pub mod draw;
pub mod prediction;
pub mod view;

use fieldmark_ledger::catalogue;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::{RecordId, ServedId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::context::Context;
use crate::io::{CommandError, Reply};
use draw::Rate;

pub use prediction::{Answer, Keeping, Prediction, Truth};

/// Most predictions kept, with or without their inputs. The oldest go first.
pub const PREDICTIONS_MAX: u64 = 1_000_000;
/// Most bytes of an input that is kept for people to look at (as JSON); a larger one is left out.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Most predictions of one command.
pub const SERVED_AT_ONCE_MAX: usize = 4_096;
/// Predictions pruned in one step, so that no step takes long.
const PRUNED_AT_ONCE: usize = 1_024;

const PREDICTION: u8 = b'p';
const PLACE: u8 = b'i';
const RATE: u8 = b'r';
const COUNTS: u8 = b'c';
const KEY: u8 = b'k';

/// How many predictions are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    all: u64,
    with_input: u64,
}

pub(crate) fn key(tag: u8, rest: &[&[u8]]) -> Vec<u8> {
    std::iter::once(&[tag][..])
        .chain(rest.iter().copied())
        .flatten()
        .copied()
        .collect()
}

fn place(at_ms: u64, id: &ServedId) -> Vec<u8> {
    key(PREDICTION, &[&at_ms.to_be_bytes(), id.as_bytes()])
}

pub(crate) fn read<T: DeserializeOwned>(store: &dyn Read, key: &[u8]) -> Result<Option<T>, StoreError> {
    let Some(bytes) = store.get(Column::Served, key)? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&bytes);
    value
        .map(Some)
        .map_err(|e| StoreError::damaged(Column::Served, key, e))
}

pub(crate) fn write(writes: &mut Batch, key: Vec<u8>, value: &impl Serialize) {
    // Serialising plain owned data to memory has no way to fail.
    writes.put(Column::Served, key, serde_json::to_vec(value).unwrap_or_default());
}

/// The prediction with this id.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn prediction(store: &dyn Read, id: &ServedId) -> Result<Option<Prediction>, StoreError> {
    match read(store, &key(PLACE, &[id.as_bytes()]))? {
        Some(at_ms) => read(store, &place(at_ms, id)),
        None => Ok(None),
    }
}

/// The rate at which predictions of a release count from now on.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn rate(store: &dyn Read, release: &RecordId, keeping: &Keeping) -> Result<Rate, StoreError> {
    Ok(read(store, &key(RATE, &[release.as_bytes()]))?.unwrap_or(keeping.rate))
}

/// Declares the rate of a release; it holds for what is served afterwards.
pub(crate) fn declare(writes: &mut Batch, release: &RecordId, rate: Rate) {
    write(writes, key(RATE, &[release.as_bytes()]), &rate);
}

type Outcome = Result<Result<Reply, CommandError>, StoreError>;

fn refuse(code: &'static str, message: impl Into<String>) -> Outcome {
    Ok(Err(CommandError::new(code, message)))
}

/// Keeps what a release answered, and tells the ids.
pub(crate) fn serve(ctx: &mut Context<'_>, release: RecordId, answers: Vec<Answer>) -> Outcome {
    let keeping = ctx.shared.policy.keeping;
    if keeping.inputs_max == 0 {
        return Ok(Ok(Reply::Served(Vec::new())));
    }
    if answers.len() > SERVED_AT_ONCE_MAX {
        let found = answers.len();
        return refuse(
            "invalid",
            format!("{found} answers at once, at most {SERVED_AT_ONCE_MAX} are kept"),
        );
    }
    let Some(view) = catalogue::release(&ctx.view, &release)? else {
        return refuse(
            "not-found",
            format!("no release {} is known here", release.short()),
        );
    };
    let (rate, secret) = (rate(&ctx.view, &release, &keeping)?, draw_key(ctx)?);
    let mut counts: Counts = read(&ctx.view, &[COUNTS])?.unwrap_or_default();
    let (mut writes, mut ids) = (Batch::new(), Vec::new());
    for answer in answers {
        let best = draw::best(&answer.probabilities);
        let Some(label) = best.and_then(|at| view.release.labels.get(at)) else {
            return refuse(
                "invalid",
                "an answer has not one probability for each label of the release",
            );
        };
        let request_id = ServedId::new(ctx.random::<16>());
        let input = Some(answer.input).filter(|input| input.to_string().len() <= INPUT_BYTES_MAX);
        counts.all += 1;
        counts.with_input += u64::from(input.is_some());
        let kept = Prediction {
            request_id,
            release,
            at_ms: ctx.now,
            answer: label.clone(),
            probabilities: answer.probabilities,
            input,
            outlying: answer.outlying,
            rate,
            counted: draw::counts(&secret, &request_id, rate),
            truth: None,
        };
        write(&mut writes, place(ctx.now, &request_id), &kept);
        write(&mut writes, key(PLACE, &[request_id.as_bytes()]), &ctx.now);
        ids.push(request_id);
    }
    write(&mut writes, vec![COUNTS], &counts);
    ctx.persist(writes);
    prune(ctx, counts, &keeping)?;
    Ok(Ok(Reply::Served(ids)))
}

/// The key of the draw, made once.
fn draw_key(ctx: &mut Context<'_>) -> Result<[u8; 32], StoreError> {
    if let Some(held) = read(&ctx.view, &[KEY])? {
        return Ok(held);
    }
    let secret = ctx.random::<32>();
    let mut writes = Batch::new();
    write(&mut writes, vec![KEY], &secret);
    ctx.persist(writes);
    Ok(secret)
}

/// Drops the oldest inputs beyond the owner's limit, and the oldest predictions beyond
/// [`PREDICTIONS_MAX`], some at a time.
fn prune(ctx: &mut Context<'_>, mut counts: Counts, keeping: &Keeping) -> Result<(), StoreError> {
    let mut inputs = counts.with_input.saturating_sub(keeping.inputs_max);
    let mut whole = counts.all.saturating_sub(PREDICTIONS_MAX);
    if inputs == 0 && whole == 0 {
        return Ok(());
    }
    let from: Vec<u8> = match read::<Vec<u8>>(&ctx.view, &[COUNTS, b'o'])? {
        Some(from) if whole == 0 => from,
        _ => vec![PREDICTION],
    };
    let mut writes = Batch::new();
    let mut last = from.clone();
    for (at, value) in ctx
        .view
        .scan(Column::Served, &[PREDICTION], &from, PRUNED_AT_ONCE)?
    {
        if inputs == 0 && whole == 0 {
            break;
        }
        let mut kept: Prediction =
            serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Served, &at, e))?;
        let had_input = u64::from(kept.input.take().is_some());
        counts.with_input = counts.with_input.saturating_sub(had_input);
        inputs = inputs.saturating_sub(had_input);
        last.clone_from(&at);
        if whole > 0 {
            whole -= 1;
            counts.all = counts.all.saturating_sub(1);
            writes.delete(Column::Served, at);
            writes.delete(Column::Served, key(PLACE, &[kept.request_id.as_bytes()]));
        } else {
            write(&mut writes, at, &kept);
        }
    }
    // Everything before this place has no input any more: the next pruning starts here.
    write(&mut writes, vec![COUNTS, b'o'], &last);
    write(&mut writes, vec![COUNTS], &counts);
    ctx.persist(writes);
    Ok(())
}

/// Takes the truth about a prediction.
pub(crate) fn label(ctx: &mut Context<'_>, id: ServedId, label: String, local: bool) -> Outcome {
    let Some(mut kept) = prediction(&ctx.view, &id)? else {
        let message = format!("no served prediction {id} is kept here; it may have been pruned");
        return refuse("not-found", message);
    };
    let Some(view) = catalogue::release(&ctx.view, &kept.release)? else {
        return refuse(
            "not-found",
            format!("release {} is not known here any more", kept.release.short()),
        );
    };
    if !view.release.labels.contains(&label) {
        let known = &view.release.labels;
        return refuse(
            "invalid",
            format!("'{label}' is no label of {}; it knows {known:?}", view.label()),
        );
    }
    if view::entered(&ctx.view, &id)? {
        let message = format!("prediction {id} has entered a window's report already, so its truth stays");
        return refuse("conflict", message);
    }
    // A truth that may be reported is not lost to a look at the least certain.
    if kept.reported_truth().is_some() && local {
        return refuse("conflict", format!("prediction {id} has a truth already"));
    }
    kept.truth = Some(Truth {
        label,
        at_ms: ctx.now,
        local,
    });
    let mut writes = Batch::new();
    write(&mut writes, place(kept.at_ms, &id), &kept);
    ctx.persist(writes);
    Ok(Ok(Reply::Labelled(Box::new(kept))))
}

/// Forgets what was served before a time.
pub(crate) fn forget(ctx: &mut Context<'_>, before_ms: u64) -> Outcome {
    let mut counts: Counts = read(&ctx.view, &[COUNTS])?.unwrap_or_default();
    let (mut writes, mut forgotten) = (Batch::new(), 0);
    for (at, value) in ctx.view.scan_all(Column::Served, &[PREDICTION])? {
        let kept: Prediction =
            serde_json::from_slice(&value).map_err(|e| StoreError::damaged(Column::Served, &at, e))?;
        if kept.at_ms >= before_ms {
            break;
        }
        counts.all = counts.all.saturating_sub(1);
        counts.with_input = counts.with_input.saturating_sub(u64::from(kept.input.is_some()));
        writes.delete(Column::Served, at);
        writes.delete(Column::Served, key(PLACE, &[kept.request_id.as_bytes()]));
        forgotten += 1;
    }
    write(&mut writes, vec![COUNTS], &counts);
    ctx.persist(writes);
    Ok(Ok(Reply::Forgotten(forgotten)))
}

#[cfg(test)]
mod tests;
