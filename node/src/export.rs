//! A board as a table: one row per model and column, for CSV and Parquet.

use std::collections::BTreeMap;

use fieldmark_fl::interval::Micro;
use fieldmark_node_core::board::{Board, Cell, Fixed, MetricCell, ModelRow, Range};
use fieldmark_protocol::RecordId;
use fieldmark_tables::{Table, TableError, Values};

use crate::speed::Speed;

/// One number of a board with what it belongs to.
struct Line<'a> {
    row: &'a ModelRow,
    column: String,
    cell: Cell,
    rank: Option<[u16; 2]>,
}

/// All field scores, slices, strengths and metrics, and the speed of the models that were timed (milliseconds,
/// bytes and joules, measured in the open on one machine): `challenge, model, release, column, score, lo, hi, noise_lo, noise_hi,
/// conservative, bound, hidden, rank_best, rank_worst, worst_slice, withdrawn, checkpoint, trust_policy,
/// without_group_lowest, without_group_highest, without_group_rank_changes`. Ranks stand beside field scores and
/// strengths only; numbers are absent where they cannot be estimated, and the last three where there are no
/// replicate groups.
///
/// # Errors
/// None in practice; see [`Table::new`].
pub fn table(board: &Board, speeds: &BTreeMap<RecordId, Speed>) -> Result<Table, TableError> {
    let lines = lines(board, speeds);
    let number = |of: fn(&Cell) -> Option<Fixed>| {
        let value = |line: &Line<'_>| of(&line.cell).map(|fixed| fixed.0.to_f64());
        Values::Number(lines.iter().map(value).collect())
    };
    let rank = |at: fn([u16; 2]) -> u16| {
        let of = |line: &Line<'_>| line.rank.map(|rank| i64::from(at(rank)));
        Values::Whole(lines.iter().map(of).collect())
    };
    let worst = |line: &Line<'_>| {
        let worst = line.row.worst_slice.as_ref();
        worst.is_some_and(|slice| line.column == format!("slice:{slice}"))
    };
    let same = |text: String| Values::text(lines.iter().map(|_| text.clone()));
    let columns = vec![
        ("challenge", same(board.challenge.to_string())),
        (
            "model",
            Values::text(lines.iter().map(|line| line.row.name.clone())),
        ),
        (
            "release",
            Values::text(lines.iter().map(|line| line.row.release.to_string())),
        ),
        (
            "column",
            Values::text(lines.iter().map(|line| line.column.clone())),
        ),
        ("score", number(|cell| cell.score)),
        ("lo", number(|cell| cell.lo)),
        ("hi", number(|cell| cell.hi)),
        ("noise_lo", number(|cell| cell.noise_lo)),
        ("noise_hi", number(|cell| cell.noise_hi)),
        (
            "conservative",
            Values::Flag(lines.iter().map(|line| line.cell.conservative).collect()),
        ),
        (
            "bound",
            Values::Flag(lines.iter().map(|line| line.cell.bound).collect()),
        ),
        (
            "hidden",
            Values::Flag(lines.iter().map(|line| line.cell.hidden.is_some()).collect()),
        ),
        ("rank_best", rank(|[best, _]| best)),
        ("rank_worst", rank(|[_, worst]| worst)),
        ("worst_slice", Values::Flag(lines.iter().map(worst).collect())),
        (
            "withdrawn",
            Values::Flag(lines.iter().map(|line| line.row.withdrawn).collect()),
        ),
        ("checkpoint", same(board.checkpoint.to_string())),
        ("trust_policy", same(board.trust_policy.to_string())),
        ("without_group_lowest", without(&lines, |range| range.lowest)),
        ("without_group_highest", without(&lines, |range| range.highest)),
        ("without_group_rank_changes", rank_changes(&lines)),
    ];
    Table::new(
        columns
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect(),
    )
}

/// An end of the scores without one of the replicate groups.
fn without(lines: &[Line<'_>], end: fn(Range) -> Fixed) -> Values {
    let of = |line: &Line<'_>| {
        let without = line.row.without_groups.as_ref()?;
        let range = match line.column.strip_prefix("slice:") {
            Some(slice) => without.slices.get(slice).copied(),
            None => without.field.filter(|_| line.column == "field"),
        };
        range.map(|range| end(range).0.to_f64())
    };
    Values::Number(lines.iter().map(of).collect())
}

/// 1 where a rank set without one of the replicate groups is another, 0 where none is.
fn rank_changes(lines: &[Line<'_>]) -> Values {
    let of = |line: &Line<'_>| {
        let without = line.row.without_groups.as_ref()?;
        (line.column == "field").then_some(i64::from(without.rank_changes))
    };
    Values::Whole(lines.iter().map(of).collect())
}

fn lines<'a>(board: &'a Board, speeds: &BTreeMap<RecordId, Speed>) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for row in &board.models {
        lines.push(Line {
            row,
            column: "field".to_owned(),
            cell: row.field,
            rank: row.field.score.map(|_| row.rank),
        });
        let mut add = |column: String, cell: Cell| {
            lines.push(Line {
                row,
                column,
                cell,
                rank: None,
            });
        };
        for slice in &board.slices {
            if let Some(cell) = row.slices.get(slice) {
                add(format!("slice:{slice}"), *cell);
            }
        }
        for metric in &row.metrics {
            add(metric.column(), of_metric(metric));
        }
        for (column, value) in speeds.get(&row.release).map(of_speed).unwrap_or_default() {
            add(column.to_owned(), plain(Some(value)));
        }
        lines.extend(row.strength.map(|strength| Line {
            row,
            column: "bradley-terry".to_owned(),
            cell: Cell {
                lo: Some(strength.lo),
                hi: Some(strength.hi),
                conservative: board.strengths.as_ref().is_some_and(|all| all.conservative),
                ..plain(Some(strength.value))
            },
            rank: Some(strength.rank),
        }));
    }
    lines
}

fn of_metric(metric: &MetricCell) -> Cell {
    Cell {
        lo: metric.lo,
        hi: metric.hi,
        noise_lo: metric.noise_lo,
        noise_hi: metric.noise_hi,
        conservative: metric.conservative,
        hidden: metric.reason,
        ..plain(metric.value)
    }
}

/// A number without an interval.
fn plain(score: Option<Fixed>) -> Cell {
    Cell {
        score,
        lo: None,
        hi: None,
        noise_lo: None,
        noise_hi: None,
        conservative: false,
        bound: false,
        hidden: None,
    }
}

/// What was timed, by column.
fn of_speed(speed: &Speed) -> Vec<(&'static str, Fixed)> {
    let fixed = |value: f64| Fixed(Micro::from_f64(value));
    let mut found = vec![
        ("latency-p50-ms", fixed(speed.p50_ms)),
        ("latency-p95-ms", fixed(speed.p95_ms)),
        ("latency-p99-ms", fixed(speed.p99_ms)),
        ("memory-bytes", fixed(speed.memory_bytes_peak as f64)),
    ];
    found.extend(speed.energy_joules.map(|joules| ("energy-joules", fixed(joules))));
    found
}
