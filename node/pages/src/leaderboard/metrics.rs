//! Metrics beyond scores: one table of what holds for all slices together, the rest folded away.

use fieldmark_node_core::board::{Board, MetricCell, ModelRow};
use maud::{Markup, html};

use super::Setting;
use crate::text;

/// Distances from a release's references.
const DRIFT: [&str; 6] = ["psi", "ks", "js", "input-psi", "input-ks", "input-js"];

/// A column: a metric, and the slice or class it is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    metric: &'static str,
    label: &'static str,
    slice: Option<String>,
    class: Option<String>,
}

impl Column {
    fn of(cell: &MetricCell) -> Self {
        Self {
            metric: cell.metric,
            label: cell.label,
            slice: cell.slice.clone(),
            class: cell.class.clone(),
        }
    }

    fn is_of_drift(&self) -> bool {
        DRIFT.contains(&self.metric)
    }

    /// Whether it is shown at once: what is of everything, and drift of inputs where nothing was done to them.
    fn is_overall(&self, board: &Board) -> bool {
        let undisturbed =
            self.metric.starts_with("input-") && self.slice.as_ref() == Some(&board.clean_slice);
        self.class.is_none() && (self.slice.is_none() || undisturbed)
    }
}

/// The section; nothing where a board has scores alone.
pub(super) fn section(board: &Board, setting: &Setting<'_>) -> Markup {
    let (overall, parts): (Vec<Column>, Vec<Column>) = columns(board)
        .into_iter()
        .partition(|column| column.is_overall(board));
    let drift = overall.iter().any(Column::is_of_drift);
    html! {
        @if !overall.is_empty() {
            section aria-labelledby="metrics" {
                h2 #metrics { "Further metrics" }
                p.note {
                    "From the same noisy sums as the scores, each with its 95% interval from sampling and noise. “c” marks \
                     intervals that take a worst case for something not measured. Formulas and costs stand in the guide \
                     to metrics."
                }
                @if drift {
                    p.note {
                        "Drift is the distance of the answers, or of how far out inputs lie, from what the release declares: 0 \
                         where they are alike. A PSI below 0.1 is usually called small, one above 0.25 large. Inputs of a slice \
                         that stands for bad conditions are meant to be far away."
                    }
                }
                (table(board, setting, &overall, "metrics"))
                @if !parts.is_empty() {
                    details {
                        summary #metric-parts { "By class and slice" }
                        (table(board, setting, &parts, "metric-parts"))
                    }
                }
            }
        }
    }
}

/// All columns that any model has, in the order in which they first come.
fn columns(board: &Board) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for cell in board.models.iter().flat_map(|row| &row.metrics) {
        let column = Column::of(cell);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

fn table(board: &Board, setting: &Setting<'_>, columns: &[Column], label: &str) -> Markup {
    html! {
        div.scroll role="region" aria-labelledby=(label) tabindex="0" {
            table.slices {
                thead { tr {
                    th.name scope="col" { "Model" }
                    @for column in columns { th scope="col" { (head(column)) } }
                } }
                tbody { @for row in &board.models { (line(setting, row, columns)) } }
            }
        }
    }
}

fn head(column: &Column) -> Markup {
    html! {
        (column.label)
        @if let Some(class) = &column.class { span.key { " " (class) } }
        @if let Some(slice) = &column.slice { span.key { " " (slice) } }
    }
}

fn line(setting: &Setting<'_>, row: &ModelRow, columns: &[Column]) -> Markup {
    let cell = |column: &Column| row.metrics.iter().find(|cell| Column::of(cell) == *column);
    html! {
        tr {
            th.name scope="row" { (setting.model(row)) }
            @for column in columns { (value(cell(column))) }
        }
    }
}

fn value(cell: Option<&MetricCell>) -> Markup {
    let Some(cell) = cell else {
        return html! { td.cell.unknown { span.none { "–" } } };
    };
    let Some(value) = cell.value else {
        let reason = cell.reason.unwrap_or("not estimable");
        return html! { td.cell.unknown { span.none title=(reason) { "not estimable" } } };
    };
    html! {
        td.cell {
            div.value {
                strong { (number(text::float(value))) }
                @if cell.conservative { abbr.mark title="conservative interval" { "c" } }
            }
            @if let (Some(lo), Some(hi)) = (cell.lo, cell.hi) {
                div.interval { "[" (number(text::float(lo))) ", " (number(text::float(hi))) "]" }
            }
        }
    }
}

/// Three significant digits or so, with a real minus sign; ends that no number bounds are said so.
fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        size if size > 1e12 => {
            return if value > 0.0 {
                "∞".into()
            } else {
                "−∞".into()
            };
        }
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{size:.digits$}");
    if value < 0.0 && text.chars().any(|c| c != '0' && c != '.') {
        format!("−{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_about_three_digits() {
        let found: Vec<String> = [0.1234, -0.5, 3.456, 45.67, 1234.5, -0.000_01, 1e18]
            .map(number)
            .to_vec();
        assert_eq!(found, ["0.123", "−0.500", "3.46", "45.7", "1234", "0.000", "∞"]);
    }
}
