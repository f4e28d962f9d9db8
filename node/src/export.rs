//! A board as a table: one row per model and column, for CSV and Parquet.

use fieldmark_node_core::board::{Board, Cell, Fixed, ModelRow};
use fieldmark_tables::{Table, TableError, Values};

/// One number of a board with what it belongs to.
struct Line<'a> {
    row: &'a ModelRow,
    column: String,
    cell: Cell,
}

/// All field scores, slices and metrics: `challenge, model, release, column, score, lo, hi, noise_lo, noise_hi,
/// conservative, bound, rank_best, rank_worst, worst_slice, withdrawn, checkpoint, trust_policy`. Ranks
/// stand beside field scores only; numbers are absent where they cannot be estimated.
///
/// # Errors
/// None in practice; see [`Table::new`].
pub fn table(board: &Board) -> Result<Table, TableError> {
    let lines = lines(board);
    let number = |of: fn(&Cell) -> Option<Fixed>| {
        let value = |line: &Line<'_>| of(&line.cell).map(|fixed| fixed.0.to_f64());
        Values::Number(lines.iter().map(value).collect())
    };
    let rank = |at: fn([u16; 2]) -> u16| {
        let of = |line: &Line<'_>| {
            let shown = line.column == "field" && line.cell.score.is_some();
            shown.then(|| i64::from(at(line.row.rank)))
        };
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
        ("rank_best", rank(|[best, _]| best)),
        ("rank_worst", rank(|[_, worst]| worst)),
        ("worst_slice", Values::Flag(lines.iter().map(worst).collect())),
        (
            "withdrawn",
            Values::Flag(lines.iter().map(|line| line.row.withdrawn).collect()),
        ),
        ("checkpoint", same(board.checkpoint.to_string())),
        ("trust_policy", same(board.trust_policy.to_string())),
    ];
    Table::new(
        columns
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect(),
    )
}

fn lines(board: &Board) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for row in &board.models {
        lines.push(Line {
            row,
            column: "field".to_owned(),
            cell: row.field,
        });
        for slice in &board.slices {
            if let Some(cell) = row.slices.get(slice) {
                lines.push(Line {
                    row,
                    column: format!("slice:{slice}"),
                    cell: *cell,
                });
            }
        }
        lines.extend(row.metrics.iter().map(|metric| Line {
            row,
            column: metric.column(),
            cell: Cell {
                score: metric.value,
                lo: metric.lo,
                hi: metric.hi,
                noise_lo: metric.noise_lo,
                noise_hi: metric.noise_hi,
                conservative: metric.conservative,
                bound: false,
            },
        }));
    }
    lines
}
