//! The next window of a challenge: everything as before, with late models and without those that left.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use fieldmark_fl::privacy::{self, Delta, Epsilon};
use fieldmark_fl::schema::Schema;
use fieldmark_ledger::series::{self, Window};
use fieldmark_ledger::{catalogue, tasks};
use fieldmark_node_core::io::Command;
use fieldmark_node_core::params::schema_params;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::task::{Statistics, Task};
use serde::{Deserialize, Serialize};

use super::challenges::{self, now_ms};
use super::extract::{Body, Path};
use super::failure::Failure;
use crate::handle::NodeHandle;

/// What changes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    /// Models that come too late for the windows before.
    #[serde(default)]
    add: Vec<String>,
    /// Models that are not entered again.
    #[serde(default)]
    withdraw: Vec<String>,
    /// Length of the window; as before if absent.
    #[serde(default)]
    window_seconds: Option<u64>,
}

/// What was registered.
#[derive(Debug, Serialize)]
pub(super) struct Registered {
    challenge: RecordId,
    task: RecordId,
    previous: RecordId,
    name: String,
    window: u64,
    opens_at_ms: u64,
    closes_at_ms: u64,
    models: Vec<RecordId>,
    /// Models of the previous window that are not in this one; their rows stay where they were entered.
    left: Vec<RecordId>,
}

/// `POST challenges/{ref}/next`
pub(super) async fn next(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
    Body(ask): Body<Next>,
) -> Result<Json<Registered>, Failure> {
    let own = handle.home.identity.public();
    let (task, challenge, left) = super::read(&handle, move |store| {
        let id = tasks::resolve_challenge(store, &reference)?;
        let windows = series::windows(store, &id)?;
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
            return Err(Failure::not_found(format!(
                "the task of challenge {} is not here yet",
                id.short()
            )));
        };
        if last.challenge.author != own {
            return Err(Failure::invalid(format!(
                "'{reference}' was posed by {}; only its operator opens its next window",
                last.challenge.author.short()
            )));
        }
        compose(store, &first.challenge.challenge.name, last, &ask, now_ms())
    })
    .await?;
    let previous = challenge.previous;
    let reply = handle
        .command(Command::CreateChallenge {
            task: task.clone(),
            challenge: challenge.clone(),
        })
        .await?;
    let id = super::models::recorded(reply)?;
    let found = super::read(&handle, move |store| challenges::find(store, &id.to_string())).await?;
    Ok(Json(Registered {
        challenge: id,
        task: found.task.id,
        previous: previous.ok_or_else(super::models::unexpected)?,
        name: challenge.name,
        window: task.window,
        opens_at_ms: task.opens_at_ms,
        closes_at_ms: task.closes_at_ms,
        models: task.statistics.releases,
        left,
    }))
}

/// The next window's task and challenge, and which models are left out.
fn compose(
    store: &dyn Read,
    name: &str,
    last: &Window,
    ask: &Next,
    now_ms: u64,
) -> Result<(Task, Challenge, Vec<RecordId>), Failure> {
    let before = &last.task.task;
    if before.recurrence.is_some() {
        return Err(Failure::invalid(format!(
            "'{name}' is a feedback window: its operator's node opens the next ones by itself"
        )));
    }
    let (releases, left) = models(store, before, ask)?;
    let window = before.window.saturating_add(1);
    let length = before.closes_at_ms.saturating_sub(before.opens_at_ms);
    let length = ask.window_seconds.map_or(length, |seconds| {
        u64::try_from(Duration::from_secs(seconds).as_millis()).unwrap_or(u64::MAX)
    });
    // Windows do not overlap: one that is still open is waited for.
    let opens_at_ms = now_ms.max(before.closes_at_ms.min(ended_at(store, last)?));
    let name = format!("{name}-w{window}");
    let mut task = Task {
        name: name.clone(),
        statistics: Statistics {
            releases,
            ..before.statistics.clone()
        },
        opens_at_ms,
        closes_at_ms: opens_at_ms.saturating_add(length),
        window,
        ..before.clone()
    };
    calibrate(&mut task)?;
    let challenge = Challenge {
        name,
        previous: Some(last.challenge.id),
        ..last.challenge.challenge.clone()
    };
    Ok((task, challenge, left))
}

/// When the previous window's batch is over, whatever its deadline: at once if its committee concluded it.
fn ended_at(store: &dyn Read, last: &Window) -> Result<u64, Failure> {
    let batch = fieldmark_ledger::batch::batch(store, last.task.batch())?;
    let open = batch.phase == fieldmark_ledger::batch::Phase::Open;
    Ok(if open { u64::MAX } else { 0 })
}

/// The models of the previous window that stay, then those that come late; and those that left.
fn models(store: &dyn Read, before: &Task, ask: &Next) -> Result<(Vec<RecordId>, Vec<RecordId>), Failure> {
    let entered = &before.statistics.releases;
    let mut leaving = Vec::new();
    for text in &ask.withdraw {
        leaving.push(entered_as(store, entered, text)?);
    }
    let (mut stay, mut left) = (Vec::new(), Vec::new());
    for id in entered {
        // What its author withdrew since is not measured again.
        let withdrawn = catalogue::release(store, id)?.is_some_and(|view| view.withdrawn.is_some());
        if withdrawn || leaving.contains(id) {
            left.push(*id);
        } else {
            stay.push(*id);
        }
    }
    for text in &ask.add {
        let id = catalogue::resolve(store, text)?;
        if stay.contains(&id) {
            return Err(Failure::invalid(format!("--add {text}: it is entered already")));
        }
        stay.push(id);
    }
    if stay.is_empty() {
        return Err(Failure::invalid(
            "no model is left for the next window; enter one with --add",
        ));
    }
    Ok((stay, left))
}

/// The release of the previous window that a text names; a model's name alone means the one that was entered,
/// whatever has been published since.
fn entered_as(store: &dyn Read, entered: &[RecordId], text: &str) -> Result<RecordId, Failure> {
    for id in entered {
        if catalogue::release(store, id)?.is_some_and(|view| view.release.name == text) {
            return Ok(*id);
        }
    }
    let id = catalogue::resolve(store, text)?;
    if entered.contains(&id) {
        return Ok(id);
    }
    let message = format!("--withdraw {text}: the previous window has no such model");
    Err(Failure::invalid(message))
}

/// The same ε and δ, with the noise that the models of this window need.
fn calibrate(task: &mut Task) -> Result<(), Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::invalid(format!("the next window: {error}"));
    let schema = Schema::new(&schema_params(task)).map_err(|e| invalid(&e))?;
    let epsilon = Epsilon::new(task.privacy.epsilon()).map_err(|e| invalid(&e))?;
    let delta = Delta::new(task.privacy.delta()).map_err(|e| invalid(&e))?;
    let l2_squared = schema.l2_sensitivity_squared();
    let calibrated = privacy::calibrate(l2_squared, epsilon, delta).map_err(|e| invalid(&e))?;
    task.privacy.l2_squared = l2_squared;
    task.privacy.sigma_squared = calibrated.sigma_squared;
    Ok(())
}
