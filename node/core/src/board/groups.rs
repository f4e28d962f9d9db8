//! Replicate groups on a board (design §9): how many reports each has, and what every model would score
//! without one of them.

use std::collections::BTreeMap;

use fieldmark_fl::board::{BoardError, BoardInput, Group, Row, ScoreTable, without_each};
use fieldmark_fl::interval::{Micro, Weights};
use fieldmark_ledger::board::BoardInputs;
use fieldmark_protocol::groups;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::task::Task;
use serde::Serialize;

use super::Fixed;

/// The replicate groups behind a board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// How many there are.
    pub groups: u32,
    /// Accepted reports of each, in their order; empty before the transcripts are equal.
    pub reports: Vec<u64>,
    /// What membership was drawn from.
    pub seed: Option<ContentHash>,
}

/// What a model's numbers would be without one group, over all groups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithoutGroups {
    /// Smallest and largest field score; absent where it cannot be estimated without some group.
    #[serde(flatten)]
    pub field: Option<Range>,
    /// Whether its rank set without some group differs from the board's.
    pub rank_changes: bool,
    /// Smallest and largest score by slice.
    pub slices: BTreeMap<String, Range>,
    /// By group left out, in their order.
    pub without: Vec<Without>,
}

/// A smallest and a largest score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The smallest.
    pub lowest: Fixed,
    /// The largest.
    pub highest: Fixed,
}

/// A model without one group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Without {
    /// Number of the group left out, from 1.
    pub group: u32,
    /// The field score of the others.
    pub score: Option<Fixed>,
    /// Its rank set among the others.
    pub rank: [u16; 2],
}

/// The groups of a task that has some, with what is known of its batch.
pub(super) fn of_batch(inputs: &BoardInputs) -> Option<Groups> {
    let task = &inputs.task.task;
    let transcript = inputs.batch.transcript();
    task.has_groups().then(|| Groups {
        groups: task.replicate_groups,
        reports: transcript.map_or_else(Vec::new, |transcript| sizes(task, transcript.count)),
        seed: transcript.and_then(|transcript| transcript.group_seed),
    })
}

/// Reports of each group of a batch.
fn sizes(task: &Task, reports: u64) -> Vec<u64> {
    let count = usize::try_from(reports).unwrap_or(usize::MAX);
    let groups = usize::try_from(task.replicate_groups).unwrap_or(1);
    let size = |group| u64::try_from(groups::range(group, count, groups).len()).unwrap_or(u64::MAX);
    (0..groups).map(size).collect()
}

/// What every model would score without one of the groups, in the order of the task's models; nothing where
/// there are no groups.
pub(super) fn without(
    task: &Task,
    input: &BoardInput,
    sums: Vec<Vec<i128>>,
    weights: &Weights,
    whole: &ScoreTable,
) -> Result<Vec<WithoutGroups>, BoardError> {
    if !task.has_groups() {
        return Ok(Vec::new());
    }
    let sizes = sizes(task, input.contributors);
    let parts = sums.into_iter().zip(sizes);
    let groups: Vec<Group> = parts
        .map(|(aggregate, contributors)| Group {
            aggregate,
            contributors,
        })
        .collect();
    let aggregators = u8::try_from(task.committee.len()).unwrap_or(u8::MAX);
    let tables = without_each(input, &groups, aggregators, weights)?;
    let model = |(at, row): (usize, &Row)| {
        let rows: Vec<&Row> = tables.iter().filter_map(|table| table.rows.get(at)).collect();
        of_model(row, &rows)
    };
    Ok(whole.rows.iter().enumerate().map(model).collect())
}

/// A model's row, and its rows without each of the groups.
fn of_model(whole: &Row, without: &[&Row]) -> WithoutGroups {
    let slice = |(at, slice): (usize, &fieldmark_fl::board::SliceScore)| {
        let scores = without.iter().map(|row| row.slices.get(at)?.score.value());
        Some((slice.slice.clone(), range(scores)?))
    };
    WithoutGroups {
        field: range(without.iter().map(|row| row.field.value())),
        rank_changes: without.iter().any(|row| row.rank != whole.rank),
        slices: whole.slices.iter().enumerate().filter_map(slice).collect(),
        without: (1..)
            .zip(without)
            .map(|(group, row)| Without {
                group,
                score: row.field.value().map(Fixed),
                rank: [row.rank.best, row.rank.worst],
            })
            .collect(),
    }
}

/// The ends of scores that are all there.
fn range(scores: impl Iterator<Item = Option<Micro>>) -> Option<Range> {
    let scores: Vec<Micro> = scores.collect::<Option<_>>()?;
    Some(Range {
        lowest: Fixed(*scores.iter().min()?),
        highest: Fixed(*scores.iter().max()?),
    })
}
