//! Leaderboards: a pure function of ledger records and a trust policy (design §9). Numbers are fixed
//! point, rounded once, so that nodes with the same records print byte-identical boards.

use fieldmark_fl::board::{self as scores, BoardInput, Row, ScoreTable};
use fieldmark_fl::interval::{self, Micro, Score, Weights};
use fieldmark_fl::schema::Schema;
use fieldmark_ledger::batch::Phase;
use fieldmark_ledger::board as ledger_board;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::task::{Eligibility, Task};
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, RecordId};
use serde::Serialize;

use crate::io::phase_name;
use crate::params::{noises, schema_params};
use crate::reveal;

mod groups;
mod in_use;
mod metrics;
mod provenance;
mod seats;
mod strengths;
mod trend;
mod weights;

pub use groups::{Groups, Range, Without, WithoutGroups};
pub use in_use::InUse;
pub use metrics::MetricCell;
pub(crate) use metrics::context;
pub use provenance::{CellOf, EntryOf, Noise, Provenance, provenance};
pub use seats::Seat;
pub use strengths::{Strength, Strengths};
pub use trend::{Change, ModelTrend, Point, Trend, TrendCache, TrendWindow, trend};
pub use weights::{WeightsTextError, parse as parse_weights};

/// A challenge's leaderboard. Its JSON is what `fieldmark leaderboard --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Board {
    /// The Challenge record.
    pub challenge: RecordId,
    /// Its name.
    pub name: String,
    /// The scenario, for people.
    pub scenario: String,
    /// The Task record it is measured by.
    pub task: RecordId,
    /// Phase of the batch: `open`, `released`, `aborted`, …
    pub phase: &'static str,
    /// Why it was aborted, if it was.
    pub abort: Option<String>,
    /// BLAKE3 over the inputs' ids and the trust policy.
    pub checkpoint: ContentHash,
    /// ε per contributor's source record.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
    /// What the privacy promise protects.
    pub unit: &'static str,
    /// Who may contribute.
    pub eligibility: &'static str,
    /// Accepted reports, one per identity.
    pub contributors: u64,
    /// Fewest reports that are released.
    pub min_batch: u32,
    /// The replicate groups, where the task has some; the board is of their sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicate_groups: Option<Groups>,
    /// Source records behind the board, with the committee's noise.
    pub records: Option<Estimate>,
    /// The committee, leader first.
    pub committee: Vec<Seat>,
    /// Whether the reader's trust policy accepts every aggregator.
    pub trusted: bool,
    /// Hash of that policy.
    pub trust_policy: ContentHash,
    /// Slice names, in order.
    pub slices: Vec<String>,
    /// The slice that stands for the laboratory.
    pub clean_slice: String,
    /// What a score is: `accuracy`, `brier-score`, `closeness`, `win-rate` or `preference`.
    pub metric: &'static str,
    /// The reader's weights of the slices, scaled to sum to 1, where they are not equal: field scores,
    /// their intervals and the ranks are by these weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<std::collections::BTreeMap<String, Fixed>>,
    /// Whether any two models are separated.
    pub separable: bool,
    /// What holds for the strengths; absent unless the task carries win counts of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strengths: Option<Strengths>,
    /// Which window of real use it is; absent for a challenge over datasets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<InUse>,
    /// The challenge whose next window this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordId>,
    /// Largest change of a field score that one contributor could have made, as a fraction.
    pub influence: Option<Fixed>,
    /// Half-widths to expect of a field score and a slice, from the task alone.
    pub expected: Expectation,
    /// Rows, best field score first.
    pub models: Vec<ModelRow>,
    /// What holds for every board and every reader should know.
    pub caveats: [&'static str; 2],
    /// What is unusual about this one.
    pub notices: Vec<String>,
    /// Record ids this board is derived from, sorted.
    pub inputs: Vec<RecordId>,
}

/// A number in millionths, printed as a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fixed(pub Micro);

impl Serialize for Fixed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.to_f64())
    }
}

/// An estimate with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimate.
    pub value: Fixed,
    /// Lower end.
    pub lo: Fixed,
    /// Upper end.
    pub hi: Fixed,
}

/// A score in [0, 1] with its 95% interval; absent numbers mean that it cannot be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cell {
    /// The score.
    pub score: Option<Fixed>,
    /// Lower end, sampling error and noise.
    pub lo: Option<Fixed>,
    /// Upper end, sampling error and noise.
    pub hi: Option<Fixed>,
    /// Lower end of the interval with the committee's noise alone.
    pub noise_lo: Option<Fixed>,
    /// Its upper end.
    pub noise_hi: Option<Fixed>,
    /// Whether the interval is wider than 95% ask for, to be safe: a worst case stands in for something
    /// not measured, or a margin for noise in the estimates is large.
    pub conservative: bool,
    /// Whether the interval ends at 0 or 1, so that it may cover more than 95%.
    pub bound: bool,
    /// Why the score is not shown, where it is not: its records are too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<&'static str>,
}

/// Why a cell is hidden.
const TOO_FEW: &str = "too few records";

/// One model's row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelRow {
    /// The Release record.
    pub release: RecordId,
    /// `name@version`.
    pub name: String,
    /// Its author's identity.
    pub author: Option<PublicKey>,
    /// Best and worst rank it could have.
    pub rank: [u16; 2],
    /// Mean score over the slices, with its interval.
    #[serde(flatten)]
    pub field: Cell,
    /// Score by slice.
    pub slices: std::collections::BTreeMap<String, Cell>,
    /// Name of the slice with the lowest score.
    pub worst_slice: Option<String>,
    /// Strength in pairs, where the task carries win counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// Mean confidence less mean score; positive is over-confident.
    pub calibration_gap: Option<Estimate>,
    /// Metrics beyond scores, fairness gaps and drift included.
    pub metrics: Vec<MetricCell>,
    /// What it would be without one of the replicate groups, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_groups: Option<WithoutGroups>,
    /// Whether its author withdrew it since; its row stays.
    pub withdrawn: bool,
}

/// Half-widths of 95% intervals to expect before anything is measured, in fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Expectation {
    /// Source records assumed: all seats of the window filled to the cap, or the list's.
    pub records: u64,
    /// Of a field score.
    pub field: Fixed,
    /// Of one slice.
    pub slice: Fixed,
}

/// Why a board cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// No such challenge in effect here.
    #[error("no challenge {0} is known here")]
    NoChallenge(RecordId),
    /// The task's statistics make no schema.
    #[error("the challenge's task cannot be read")]
    Schema(#[from] fieldmark_fl::schema::SchemaError),
    /// The aggregate does not fit the task.
    #[error("the aggregate cannot be read")]
    Scores(#[from] scores::BoardError),
    /// The reader's weights do not fit the board.
    #[error("the weights cannot be used")]
    Weights(#[from] WeightsTextError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The board of a challenge as the reader's trust policy sees it.
///
/// # Errors
/// [`BoardError`]; a challenge without a released batch has a board without rows' scores.
pub fn board(store: &dyn Read, challenge: &RecordId, policy: &TrustPolicy) -> Result<Board, BoardError> {
    weighted(store, challenge, policy, "")
}

/// The board with field scores as the reader weights the slices: `low-light:2,blur:0`, slices not named
/// weigh 1. Equal weights give [`board`], byte for byte.
///
/// # Errors
/// As [`board`], and weights that cannot be read.
pub fn weighted(
    store: &dyn Read,
    challenge: &RecordId,
    policy: &TrustPolicy,
    weights: &str,
) -> Result<Board, BoardError> {
    let inputs = ledger_board::gather(store, challenge)?.ok_or(BoardError::NoChallenge(*challenge))?;
    let task = &inputs.task.task;
    let schema = Schema::new(&schema_params(task))?;
    let weights = parse_weights(weights, &task.statistics.slices)?;
    let sums = reveal::group_sums(task, &inputs.batch);
    let released = inputs.batch.phase == Phase::Released;
    let added = sums.as_deref().map(reveal::total);
    let sum = added.as_deref().filter(|_| released);
    let seats = seats::seats(store, &inputs, added.as_deref(), policy)?;
    let strengths = sum.and_then(|sum| strengths::of_models(task, &schema, sum));
    let in_use = in_use::of_task(task, &schema, sum);
    let metrics = sum.map(|sum| metrics::of_models(&inputs, &schema, sum));
    let scored = sums
        .filter(|_| released)
        .map(|sums| scored(&inputs, &schema, sums, &weights))
        .transpose()?;
    let (table, without) = scored.unzip();
    let contributors = inputs.batch.transcript().map_or(0, |t| t.count);
    let challenge = &inputs.challenge.challenge;
    Ok(Board {
        challenge: inputs.challenge.id,
        name: challenge.name.clone(),
        scenario: challenge.scenario.clone(),
        task: inputs.task.id,
        phase: phase_name(&inputs.batch.phase),
        abort: inputs
            .batch
            .aborts
            .first()
            .map(|a| format!("{}: {}", a.value.reason.name(), a.value.detail)),
        checkpoint: ledger_board::checkpoint(&inputs, policy),
        epsilon: task.privacy.epsilon(),
        delta: task.privacy.delta(),
        unit: "source record (add or remove one, with all its views and models)",
        eligibility: task.eligibility.name(),
        contributors,
        min_batch: task.min_batch,
        replicate_groups: groups::of_batch(&inputs),
        records: table
            .as_ref()
            .map(|t| estimate(t.records.value, t.records.interval)),
        notices: notices(&inputs, policy, &seats),
        committee: seats,
        trusted: policy.accepts(task),
        trust_policy: policy.hash(),
        slices: task.statistics.slices.clone(),
        clean_slice: challenge.clean_slice.clone(),
        metric: task.statistics.extra.score.name(),
        weights: shares(&weights, &task.statistics.slices),
        separable: table.as_ref().is_some_and(|t| t.separable),
        strengths: strengths.as_ref().map(|(all, _)| all.clone()),
        in_use,
        previous: challenge.previous,
        influence: table.as_ref().and_then(|t| t.influence).map(Fixed),
        expected: expectation(task, &schema),
        models: rows(
            &inputs,
            table.as_ref(),
            (metrics.unwrap_or_default(), without.unwrap_or_default()),
            strengths.map(|(_, each)| each).unwrap_or_default(),
        ),
        caveats: CAVEATS,
        inputs: inputs.ids(),
    })
}

/// The table of the sum of all groups, and what every model would be without one of them.
fn scored(
    inputs: &ledger_board::BoardInputs,
    schema: &Schema,
    sums: Vec<Vec<i128>>,
    weights: &Weights,
) -> Result<(ScoreTable, Vec<WithoutGroups>), scores::BoardError> {
    let task = &inputs.task.task;
    let input = BoardInput {
        models: task
            .statistics
            .releases
            .iter()
            .map(|id| model_name(inputs, id))
            .collect(),
        slices: task.statistics.slices.clone(),
        schema: schema.params(),
        aggregate: reveal::total(&sums),
        sigma_squared: task.privacy.sigma_squared,
        aggregators: noises(task),
        contributors: inputs.batch.transcript().map_or(0, |t| t.count),
    };
    let table = scores::weighted_board(&input, weights)?;
    let without = groups::without(task, &input, sums, weights, &table)?;
    Ok((table, without))
}

/// Unequal weights by slice.
fn shares(weights: &Weights, slices: &[String]) -> Option<std::collections::BTreeMap<String, Fixed>> {
    let fixed = |share: f64| Fixed(Micro::from_f64(share));
    let by_slice = slices
        .iter()
        .cloned()
        .zip(weights.shares().into_iter().map(fixed));
    (!weights.equal()).then(|| by_slice.collect())
}

fn model_name(inputs: &ledger_board::BoardInputs, id: &RecordId) -> String {
    let view = inputs.releases.iter().find(|r| r.id == *id);
    view.map_or_else(
        || id.short(),
        |r| format!("{}@{}", r.release.name, r.release.version),
    )
}

fn estimate(value: Micro, interval: interval::Interval) -> Estimate {
    Estimate {
        value: Fixed(value),
        lo: Fixed(interval.low),
        hi: Fixed(interval.high),
    }
}

const NO_CELL: Cell = Cell {
    score: None,
    lo: None,
    hi: None,
    noise_lo: None,
    noise_hi: None,
    conservative: false,
    bound: false,
    hidden: None,
};

fn cell(score: &Score) -> Cell {
    let (conservative, bound) = match score {
        Score::Estimated {
            conservative, bound, ..
        } => (*conservative, *bound),
        _ => (false, false),
    };
    Cell {
        score: score.value().map(Fixed),
        lo: score.full().map(|i| Fixed(i.low)),
        hi: score.full().map(|i| Fixed(i.high)),
        noise_lo: score.noise().map(|i| Fixed(i.low)),
        noise_hi: score.noise().map(|i| Fixed(i.high)),
        conservative,
        bound,
        hidden: score.value().is_none().then_some(TOO_FEW),
    }
}

/// Rows, best field score first; models without a score stand in the task's order.
fn rows(
    inputs: &ledger_board::BoardInputs,
    table: Option<&ScoreTable>,
    (mut metrics, without): (Vec<Vec<MetricCell>>, Vec<WithoutGroups>),
    strengths: Vec<Strength>,
) -> Vec<ModelRow> {
    let task = &inputs.task.task;
    let models = u16::try_from(task.statistics.releases.len()).unwrap_or(u16::MAX);
    let mut rows = Vec::new();
    for (at, id) in task.statistics.releases.iter().enumerate() {
        let scored: Option<&Row> = table.and_then(|t| t.rows.get(at));
        let view = inputs.releases.iter().find(|r| r.id == *id);
        let slices = scored.map(|row| row.slices.iter().map(|s| (s.slice.clone(), cell(&s.score))));
        let worst = scored.and_then(|row| row.slices.get(row.worst_slice?));
        rows.push(ModelRow {
            release: *id,
            name: model_name(inputs, id),
            author: view.map(|v| v.author),
            rank: scored.map_or([1, models], |row| [row.rank.best, row.rank.worst]),
            field: scored.map_or(NO_CELL, |row| cell(&row.field)),
            slices: slices.map(Iterator::collect).unwrap_or_default(),
            worst_slice: worst.map(|s| s.slice.clone()),
            strength: strengths.get(at).copied(),
            calibration_gap: scored
                .and_then(|r| r.calibration)
                .map(|c| estimate(c.value, c.noise)),
            metrics: metrics.get_mut(at).map(std::mem::take).unwrap_or_default(),
            without_groups: without.get(at).cloned(),
            withdrawn: view.is_some_and(|v| v.withdrawn.is_some()),
        });
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.field.score));
    rows
}

/// What a full window would give: every expected report with as many records as it may count.
fn expectation(task: &Task, schema: &Schema) -> Expectation {
    let listed = match &task.eligibility {
        Eligibility::List(list) => u64::try_from(list.len()).unwrap_or(u64::MAX),
        _ => u64::from(task.min_batch),
    };
    let reports = if task.reports_expected == 0 {
        listed
    } else {
        u64::from(task.reports_expected)
    };
    let records = reports.saturating_mul(u64::from(task.statistics.records_max));
    let typical = interval::Typical::default();
    let width = interval::expected_half_width(
        schema,
        task.privacy.sigma_squared,
        noises(task),
        records,
        &typical,
    );
    let fixed = |value: f64| Fixed(Micro::from_f64(value));
    Expectation {
        records,
        field: fixed(width.field.total),
        slice: fixed(width.slice.total),
    }
}

const CAVEATS: [&str; 2] = [
    "Privacy holds while one aggregator of the committee is honest; correctness needs all of them: one that \
     lies can shift a cell undetectably.",
    "Who took part is visible; what was sent is not.",
];

fn notices(inputs: &ledger_board::BoardInputs, policy: &TrustPolicy, seats: &[Seat]) -> Vec<String> {
    let task = &inputs.task.task;
    let mut notices = Vec::new();
    if matches!(task.eligibility, Eligibility::Open) {
        notices.push("Anyone may contribute, so the minimum batch protects nobody.".to_owned());
    }
    if !policy.accepts(task) {
        notices.push(
            "The trust policy this board is read under does not name every aggregator of the committee."
                .to_owned(),
        );
    }
    if inputs.task.author_equivocated || inputs.challenge.author_equivocated {
        notices.push("The operator's log forked after this challenge: author equivocated.".to_owned());
    }
    for release in inputs.releases.iter().filter(|r| r.author_equivocated) {
        notices.push(format!("The author of {} equivocated.", release.release.name));
    }
    let (said, measured) = (
        &inputs.challenge.challenge.metric,
        task.statistics.extra.score.name(),
    );
    if said != measured {
        notices.push(format!(
            "The challenge says that its scores are '{said}'; its task measures '{measured}', which is shown."
        ));
    }
    notices.extend(seats::notices(seats, &inputs.batch));
    if inputs.batch.phase == Phase::Void {
        notices.push("Two differing aggregates were published: the result is void.".to_owned());
    }
    notices
}
