//! Challenges: list, details, posing, joining, aborting.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use fieldmark_ledger::batch::{self, BatchView};
use fieldmark_ledger::tasks::{self, ChallengeView, TaskView};
use fieldmark_ledger::{catalogue, identity};
use fieldmark_node_core::board;
use fieldmark_node_core::io::{Command, CommandError, phase_name};
use fieldmark_node_core::lifecycle::{self, Stage};
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::task::Eligibility;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, RecordId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::extract::{Body, Path};
use super::failure::Failure;
use super::spec::{ChallengeSpec, Plan, PlanOptions};
use crate::handle::NodeHandle;

/// A challenge in a list.
#[derive(Debug, Serialize)]
pub struct ChallengeRow {
    /// The Challenge record.
    pub id: RecordId,
    /// The Task record that measures it.
    pub task: RecordId,
    /// Its name.
    pub name: String,
    /// The scenario, for people.
    pub scenario: String,
    /// Who signed it.
    pub operator: PublicKey,
    /// Their published name.
    pub operator_name: Option<String>,
    /// Where it stands in its life, by this node's clock.
    pub stage: Stage,
    /// Phase of its batch.
    pub phase: &'static str,
    /// Number of its window.
    pub window: u64,
    /// The challenge whose next window this is.
    pub previous: Option<RecordId>,
    /// Models entered.
    pub models: usize,
    /// Slices measured.
    pub slices: usize,
    /// Accepted reports, once the committee agreed on them.
    pub reports: u64,
    /// Fewest reports that are released, of every replicate group.
    pub min_batch: u32,
    /// Replicate groups; 1: none.
    pub replicate_groups: u32,
    /// The window ends early with this many reports; 0: only by time.
    pub reports_expected: u32,
    /// ε per source record.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
    /// Start of the window.
    pub opens_at_ms: u64,
    /// End of the window.
    pub closes_at_ms: u64,
}

/// A challenge with its task.
#[derive(Debug, Serialize)]
pub struct ChallengeDetail {
    #[serde(flatten)]
    row: ChallengeRow,
    clean_slice: String,
    slice_texts: Vec<Value>,
    entries: Vec<Value>,
    committee: Vec<SeatRow>,
    /// `open`, `list` or `endorsed-by`.
    eligibility: &'static str,
    eligible: Option<Vec<PublicKey>>,
    /// Whose endorsement is needed.
    endorsers: Option<Vec<PublicKey>>,
    /// From then on a seat that owes something is late.
    due_at_ms: u64,
    records_max: u32,
    paired: bool,
    calibration: bool,
    /// How its windows come again; none: there is one.
    recurrence: Option<Recurring>,
    /// Whether this node's trust policy lets it contribute.
    protected: bool,
    aborts: Vec<Value>,
}

/// A series of windows.
#[derive(Debug, Serialize)]
struct Recurring {
    /// From one opening to the next.
    period_seconds: f64,
    /// How many there are in all.
    windows: u32,
    /// Share of the served predictions that is drawn.
    rate: f64,
}

#[derive(Debug, Serialize)]
struct SeatRow {
    identity: PublicKey,
    name: Option<String>,
    node_key: PublicKey,
    trusted: bool,
    transcript: bool,
    committed: bool,
    share: bool,
    /// What it is named for: two values that differ, or a share that is missing.
    faults: Vec<String>,
}

/// Both records of a challenge and the state of its batch.
pub(super) struct Found {
    pub(super) challenge: ChallengeView,
    pub(super) task: TaskView,
    pub(super) batch: BatchView,
}

/// `GET challenges`
pub(super) async fn list(State(handle): State<NodeHandle>) -> Result<Json<Value>, Failure> {
    super::read(&handle, |store| {
        let rows: Vec<ChallengeRow> = all(store)?.iter().map(row).collect();
        Ok(Json(json!({ "challenges": rows })))
    })
    .await
}

/// `GET challenges/{ref}`
pub(super) async fn show(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
) -> Result<Json<ChallengeDetail>, Failure> {
    let trust = handle.home.trust_now()?;
    super::read(&handle, move |store| {
        Ok(Json(detail(store, &find(store, &reference)?, &trust)?))
    })
    .await
}

/// What was posed.
#[derive(Debug, Serialize)]
pub(super) struct Created {
    challenge: RecordId,
    task: RecordId,
    plan: Plan,
}

/// `POST challenges`
pub(super) async fn create(
    State(handle): State<NodeHandle>,
    Body(spec): Body<ChallengeSpec>,
) -> Result<Json<Created>, Failure> {
    let (now_ms, operator) = (now_ms(), handle.home.identity.public());
    let (task, challenge, plan) = super::read(&handle, move |store| {
        let (task, challenge) = spec.resolve(store, now_ms)?;
        let plan = spec.plan(&PlanOptions::default())?;
        let same = |row: &ChallengeRow| row.operator == operator && row.name == spec.name;
        let known = all(store)?
            .iter()
            .map(row)
            .find(|row| same(row) && row.stage.goes_on());
        if let Some(known) = known {
            let message = format!(
                "your challenge '{}' ({}) is {}; abort it, or give this one another name",
                known.name,
                known.id.short(),
                known.stage.name()
            );
            return Err(CommandError::new("conflict", message).into());
        }
        Ok((task, challenge, plan))
    })
    .await?;
    let reply = handle
        .command(Command::CreateChallenge { task, challenge })
        .await?;
    let challenge = super::models::recorded(reply)?;
    let view = super::read(&handle, move |store| Ok(tasks::challenge(store, &challenge)?)).await?;
    let view = view.ok_or_else(super::models::unexpected)?;
    Ok(Json(Created {
        challenge,
        task: view.challenge.task,
        plan,
    }))
}

/// How to take part.
#[derive(Debug, Deserialize)]
pub(super) struct Join {
    dataset: String,
}

/// `POST challenges/{ref}/join`
pub(super) async fn join(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
    Body(join): Body<Join>,
) -> Result<Json<Value>, Failure> {
    let found = super::read(&handle, move |store| find(store, &reference)).await?;
    let (task, dataset) = (found.task.id, join.dataset);
    // The owner may have changed whom it trusts since the node started.
    handle.refresh_trust().await?;
    handle
        .command(Command::Join {
            task,
            dataset: dataset.clone(),
        })
        .await?;
    Ok(Json(
        json!({ "challenge": found.challenge.id, "task": task, "dataset": dataset, "joined": true }),
    ))
}

/// Why to end.
#[derive(Debug, Deserialize)]
pub(super) struct Abort {
    reason: String,
}

/// `POST challenges/{ref}/abort`
pub(super) async fn abort(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
    Body(abort): Body<Abort>,
) -> Result<Json<Value>, Failure> {
    let found = super::read(&handle, move |store| find(store, &reference)).await?;
    let reply = handle
        .command(Command::Abort {
            batch: found.task.batch(),
            detail: abort.reason,
        })
        .await?;
    let record = super::models::recorded(reply)?;
    Ok(Json(
        json!({ "challenge": found.challenge.id, "task": found.task.id, "abort": record }),
    ))
}

/// `GET challenges/{ref}/speed`: how fast the challenge's models are on this machine, each on its public
/// sample. A model that is not here, or fails, says why. No part of the board.
pub(super) async fn speed(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
) -> Result<Json<Value>, Failure> {
    let found = super::read(&handle, move |store| find(store, &reference)).await?;
    let mut models = Vec::new();
    for release in &found.task.task.statistics.releases {
        models.push(match handle.speeds.measure(&handle.runners, *release).await {
            Ok(speed) => serde_json::to_value(speed).map_err(|e| Failure::internal(e.to_string()))?,
            Err(error) => json!({ "release": release, "error": error.message }),
        });
    }
    Ok(Json(
        json!({ "challenge": found.challenge.id, "local": true, "models": models }),
    ))
}

/// Every challenge in effect whose task is here, newest first.
pub(super) fn all(store: &dyn Read) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for challenge in tasks::challenges(store)? {
        if let Some(task) = tasks::task(store, &challenge.challenge.task)? {
            let batch = batch::batch(store, task.batch())?;
            found.push(Found {
                challenge,
                task,
                batch,
            });
        }
    }
    Ok(found)
}

/// The challenge that a reference names.
pub(super) fn find(store: &dyn Read, reference: &str) -> Result<Found, Failure> {
    let id = tasks::resolve_challenge(store, reference)?;
    let missing =
        |what: &str| Failure::not_found(format!("the {what} of challenge {} is not here yet", id.short()));
    let challenge = tasks::challenge(store, &id)?.ok_or_else(|| missing("record"))?;
    let task = tasks::task(store, &challenge.challenge.task)?.ok_or_else(|| missing("task"))?;
    let batch = batch::batch(store, task.batch())?;
    Ok(Found {
        challenge,
        task,
        batch,
    })
}

/// A challenge as a row of a list.
pub(super) fn row(found: &Found) -> ChallengeRow {
    let (challenge, task) = (&found.challenge, &found.task.task);
    ChallengeRow {
        id: challenge.id,
        task: found.task.id,
        name: challenge.challenge.name.clone(),
        scenario: challenge.challenge.scenario.clone(),
        operator: challenge.author,
        operator_name: challenge.author_name.clone(),
        stage: lifecycle::stage(task, found.batch.phase, now_ms()),
        phase: phase_name(&found.batch.phase),
        window: task.window,
        previous: challenge.challenge.previous,
        models: task.statistics.releases.len(),
        slices: task.statistics.slices.len(),
        reports: found.batch.transcript().map_or(0, |t| t.count),
        min_batch: task.min_batch,
        replicate_groups: task.replicate_groups,
        reports_expected: task.reports_expected,
        epsilon: task.privacy.epsilon(),
        delta: task.privacy.delta(),
        opens_at_ms: task.opens_at_ms,
        closes_at_ms: task.closes_at_ms,
    }
}

fn detail(store: &dyn Read, found: &Found, trust: &TrustPolicy) -> Result<ChallengeDetail, Failure> {
    let task = &found.task.task;
    let mut entries = Vec::new();
    for id in &task.statistics.releases {
        let view = catalogue::release(store, id)?;
        entries.push(json!({ "release": id, "name": view.map(|v| v.label()) }));
    }
    let mut committee = Vec::new();
    let mut faults = board::board(store, &found.challenge.id, trust)?
        .committee
        .into_iter();
    for (at, seat) in task.committee.iter().enumerate() {
        let state = found.batch.seats.get(at);
        committee.push(SeatRow {
            identity: seat.identity,
            name: identity::name(store, &seat.identity)?,
            node_key: seat.node_key,
            trusted: trust.aggregators.contains(&seat.identity),
            transcript: state.is_some_and(|s| s.transcript.is_some()),
            committed: state.is_some_and(|s| s.commitment.is_some()),
            share: state.is_some_and(|s| s.share.is_some()),
            faults: faults.next().map(|seat| seat.faults).unwrap_or_default(),
        });
    }
    let slices = &found.challenge.challenge.slices;
    let slice =
        |s: &fieldmark_protocol::challenge::Slice| json!({ "name": s.name, "description": s.description });
    Ok(ChallengeDetail {
        row: row(found),
        clean_slice: found.challenge.challenge.clean_slice.clone(),
        slice_texts: slices.iter().map(slice).collect(),
        entries,
        committee,
        eligible: match &task.eligibility {
            Eligibility::List(list) => Some(list.iter().copied().collect()),
            _ => None,
        },
        eligibility: task.eligibility.name(),
        endorsers: match &task.eligibility {
            Eligibility::EndorsedBy(list) => Some(list.iter().copied().collect()),
            _ => None,
        },
        due_at_ms: task.due_at_ms(),
        records_max: task.statistics.records_max,
        paired: task.statistics.paired,
        calibration: task.statistics.calibration,
        recurrence: task.recurrence.map(|recurrence| Recurring {
            period_seconds: recurrence.period_ms as f64 / 1e3,
            windows: recurrence.windows,
            rate: f64::from(recurrence.rate_ppm) / 1e6,
        }),
        protected: trust.protects(task),
        aborts: found
            .batch
            .aborts
            .iter()
            .map(|a| json!({ "by": a.author, "reason": a.value.reason.name(), "detail": a.value.detail }))
            .collect(),
    })
}

pub(super) fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
