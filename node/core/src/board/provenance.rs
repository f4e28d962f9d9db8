//! Where every cell of a board comes from, for programs: the records, the entries of the released vector,
//! the formula, the noise.

use std::collections::BTreeMap;

use fieldmark_fl::schema::{Entry, EntryKind, Schema};
use fieldmark_ledger::batch::Phase;
use fieldmark_ledger::board as ledger_board;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::trust::TrustPolicy;
use serde::Serialize;

use super::{BoardError, MetricCell, model_name};
use crate::params::{self, schema_params};

/// The formulas by name; v is a released entry divided by twice its amplitude (by its weight for the
/// count), so that Σ(x − ½) over records results.
const FORMULAS: [(&str, &str); 7] = [
    (
        "slice-rate",
        "1/2 + v(correct)/v(records), Fieller's interval with Bernoulli sampling variance",
    ),
    (
        "field-mean",
        "1/2 + sum of weight x v(correct) over slices / v(records); sampling variance from the squares",
    ),
    (
        "rank-set",
        "simultaneous intervals of all differences of field scores, Bonferroni at 95%; variance from the \
         squared differences",
    ),
    (
        "calibration-gap",
        "(v(confidence) - mean of v(correct) over slices) / v(records)",
    ),
    ("record-count", "v(records)"),
    (
        "without-a-group",
        "field-mean and rank-set over the sum of all replicate groups but one, for each of them; the smallest \
         and the largest",
    ),
    (
        "metric",
        "the metric's formula in docs/guides/metrics.md, over the model's own entries",
    ),
];

/// The provenance of a board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Provenance {
    /// The Challenge record.
    pub challenge: RecordId,
    /// The Task record.
    pub task: RecordId,
    /// The board's checkpoint.
    pub checkpoint: ContentHash,
    /// Hash of the trust policy that the board is read under.
    pub trust_policy: ContentHash,
    /// Ids of all records that the board is derived from.
    pub inputs: Vec<RecordId>,
    /// The noise in every entry.
    pub noise: Noise,
    /// The replicate groups, whose sums add up to the entries; empty where the task has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupOf>,
    /// The formulas by name.
    pub formulas: BTreeMap<&'static str, &'static str>,
    /// The entries of the released vector, in order.
    pub entries: Vec<EntryOf>,
    /// Every cell; empty before the release.
    pub cells: Vec<CellOf>,
}

/// The noise in every entry of the released vector.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Noise {
    /// σ² of one aggregator's discrete Gaussian.
    pub sigma_squared: u64,
    /// Aggregators, each of whom added it.
    pub aggregators: usize,
    /// Replicate groups, to each of which each of them added it; 1 where the task has none.
    pub groups: u32,
    /// Variance in an entry: the product of the three.
    pub variance: u128,
}

/// One replicate group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupOf {
    /// Its number, from 1.
    pub group: u32,
    /// Accepted reports in it.
    pub reports: u64,
    /// The first of its numbers in every AggregateShare, from 0; as many follow as there are entries.
    pub first: usize,
    /// Variance of the noise in each of its numbers.
    pub noise_variance: u128,
    /// The records that its sum is computed from: the committee's AggregateShares.
    pub shares: Vec<RecordId>,
}

/// One entry of the released vector.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryOf {
    /// Its index.
    pub index: usize,
    /// What it counts.
    pub counts: String,
    /// Multiplier in the released vector.
    pub weight: u64,
    /// The most that one record adds before the multiplier.
    pub per_record_max: u32,
    /// Whether it is released as `weight · (2v − per_record_max · n)`.
    pub centred: bool,
}

/// One cell of the board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellOf {
    /// The release it is about; absent for the board's own figures.
    pub release: Option<RecordId>,
    /// `name@version`.
    pub model: Option<String>,
    /// `field`, `slice:NAME`, `rank`, `without_a_group`, `calibration_gap`, `records`, or `metric:NAME` with the slice and the
    /// class it is of.
    pub column: String,
    /// Name of the formula.
    pub formula: &'static str,
    /// Indices of the entries that it is computed from.
    pub entries: Vec<usize>,
    /// Variance of the noise in each of these entries.
    pub noise_variance: u128,
    /// The records that it is computed from: the task, the release, and the committee's Transcripts,
    /// ShareCommitments and AggregateShares.
    pub records: Vec<RecordId>,
    /// Hash of the trust policy that it is shown under.
    pub trust_policy: ContentHash,
}

/// The provenance of a challenge's board.
///
/// # Errors
/// As [`super::board`].
pub fn provenance(
    store: &dyn Read,
    challenge: &RecordId,
    policy: &TrustPolicy,
) -> Result<Provenance, BoardError> {
    let inputs = ledger_board::gather(store, challenge)?.ok_or(BoardError::NoChallenge(*challenge))?;
    let task = &inputs.task.task;
    let schema = Schema::new(&schema_params(task))?;
    let aggregators = task.committee.len();
    let noise = Noise {
        sigma_squared: task.privacy.sigma_squared,
        aggregators,
        groups: task.replicate_groups,
        variance: u128::from(task.privacy.sigma_squared) * u128::from(params::noises(task)),
    };
    let maker = Maker {
        inputs: &inputs,
        schema: &schema,
        variance: noise.variance,
        trust_policy: policy.hash(),
    };
    let released = inputs.batch.phase == Phase::Released;
    let sum = crate::reveal::sum(task, &inputs.batch).filter(|_| released);
    let metrics = sum.map(|sum| super::metrics::of_models(&inputs, &schema, &sum));
    Ok(Provenance {
        challenge: inputs.challenge.id,
        task: inputs.task.id,
        checkpoint: ledger_board::checkpoint(&inputs, policy),
        trust_policy: policy.hash(),
        inputs: inputs.ids(),
        noise,
        groups: if released {
            groups_of(&inputs, schema.len())
        } else {
            Vec::new()
        },
        formulas: FORMULAS.into_iter().collect(),
        entries: entries(&schema),
        cells: if released {
            maker.cells(&metrics.unwrap_or_default())
        } else {
            Vec::new()
        },
    })
}

/// Where each group's numbers are.
fn groups_of(inputs: &ledger_board::BoardInputs, entries: usize) -> Vec<GroupOf> {
    let task = &inputs.task.task;
    let Some(groups) = super::groups::of_batch(inputs) else {
        return Vec::new();
    };
    let shares = inputs.batch.shares().unwrap_or_default();
    let noise = u128::from(task.privacy.sigma_squared) * task.committee.len() as u128;
    let group = |((group, at), reports): ((u32, usize), &u64)| GroupOf {
        group,
        reports: *reports,
        first: at * entries,
        noise_variance: noise,
        shares: shares.iter().map(|held| held.id).collect(),
    };
    (1..).zip(0..).zip(&groups.reports).map(group).collect()
}

fn entries(schema: &Schema) -> Vec<EntryOf> {
    let entry = |(index, entry): (usize, &Entry)| EntryOf {
        index,
        counts: format!("{:?}", entry.kind),
        weight: entry.weight,
        per_record_max: entry.per_record_max,
        centred: entry.centred,
    };
    schema.entries().iter().enumerate().map(entry).collect()
}

/// Whether a metric of a model may be made from an entry.
fn uses(kind: EntryKind, model: u16) -> bool {
    match kind {
        EntryKind::Correct { model: of, .. } | EntryKind::Confidence { model: of } => of == model,
        // Tables that models share have 0 in the place of the model.
        EntryKind::Cell { model: of, .. } => of == model || of == 0,
        EntryKind::Wins { winner, loser } => winner == model || loser == model,
        EntryKind::Views { .. } => true,
        _ => false,
    }
}

/// What all cells share.
struct Maker<'a> {
    inputs: &'a ledger_board::BoardInputs,
    schema: &'a Schema,
    variance: u128,
    trust_policy: ContentHash,
}

impl Maker<'_> {
    fn cells(&self, metrics: &[Vec<MetricCell>]) -> Vec<CellOf> {
        let statistics = &self.inputs.task.task.statistics;
        let mut cells = vec![self.cell(None, "records".to_owned(), "record-count", |_| false)];
        for (model, release) in (0u16..).zip(&statistics.releases) {
            let own = |kind: EntryKind| matches!(kind, EntryKind::Correct { model: of, .. } if of == model);
            let field = |kind| own(kind) || kind == EntryKind::Square { model };
            cells.push(self.cell(Some(release), "field".to_owned(), "field-mean", field));
            for (slice, name) in (0u16..).zip(&statistics.slices) {
                let of =
                    |kind| kind == EntryKind::Correct { model, slice } || kind == EntryKind::Views { slice };
                cells.push(self.cell(Some(release), format!("slice:{name}"), "slice-rate", of));
            }
            let compared = |kind: EntryKind| match kind {
                EntryKind::Correct { .. } | EntryKind::Square { .. } => true,
                EntryKind::Difference { first, second } => first == model || second == model,
                _ => false,
            };
            cells.push(self.cell(Some(release), "rank".to_owned(), "rank-set", compared));
            if self.inputs.task.task.has_groups() {
                let column = "without_a_group".to_owned();
                let mut cell = self.cell(Some(release), column, "without-a-group", compared);
                // One group's noise is not in it.
                let groups = u128::from(self.inputs.task.task.replicate_groups);
                cell.noise_variance = cell.noise_variance / groups * (groups - 1);
                cells.push(cell);
            }
            if self.schema.position(EntryKind::Confidence { model }).is_some() {
                let gap = |kind| own(kind) || kind == EntryKind::Confidence { model };
                let column = "calibration_gap".to_owned();
                cells.push(self.cell(Some(release), column, "calibration-gap", gap));
            }
            for metric in metrics.get(usize::from(model)).into_iter().flatten() {
                cells.push(self.cell(Some(release), metric.column(), "metric", |kind| uses(kind, model)));
            }
        }
        cells
    }

    /// A cell over the count of records and the entries that `takes` names.
    fn cell(
        &self,
        release: Option<&RecordId>,
        column: String,
        formula: &'static str,
        takes: impl Fn(EntryKind) -> bool,
    ) -> CellOf {
        let all = self.schema.entries().iter().enumerate();
        let used = all.filter(|(_, entry)| entry.kind == EntryKind::Records || takes(entry.kind));
        CellOf {
            release: release.copied(),
            model: release.map(|id| model_name(self.inputs, id)),
            column,
            formula,
            entries: used.map(|(index, _)| index).collect(),
            noise_variance: self.variance,
            records: self.records(release),
            trust_policy: self.trust_policy,
        }
    }

    fn records(&self, release: Option<&RecordId>) -> Vec<RecordId> {
        let mut records = vec![self.inputs.task.id];
        records.extend(release);
        for seat in &self.inputs.batch.seats {
            records.extend(seat.transcript.as_ref().map(|held| held.id));
            records.extend(seat.commitment.as_ref().map(|held| held.id));
            records.extend(seat.share.as_ref().map(|held| held.id));
        }
        records
    }
}
