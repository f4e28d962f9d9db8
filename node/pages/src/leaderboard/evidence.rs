//! What a reader needs to judge the numbers and to recompute them.

use fieldmark_node_core::board::{Board, Cell, Fixed};
use maud::{Markup, html};

use super::Setting;
use crate::layout::Place;
use crate::text;

/// Precision, influence and the way to check.
pub(super) fn section(board: &Board, setting: &Setting<'_>) -> Markup {
    html! {
        @if board.phase == "released" { (precision(board)) } @else { (plan(board)) }
        section aria-labelledby="check" {
            h2 #check { "Check it yourself" }
            p {
                "A board is a pure function of signed records and of the reader's trust policy. Any node with the same \
                 records prints the same bytes:"
            }
            pre tabindex="0" { code { "fieldmark leaderboard " (board.challenge.short()) " --json" } }
            @if setting.place != Place::File {
                p {
                    "This board as " (download(board, "board.json", "JSON")) ", " (download(board, "board.csv", "CSV")) " or "
                    (download(board, "board.parquet", "Parquet")) "; "
                    (download(board, "provenance.json", "where every cell comes from")) "."
                }
            }
            dl.facts {
                div.wide { dt { "Checkpoint" } dd { code.hash { (board.checkpoint) } } }
                div.wide { dt { "Trust policy" } dd { code.hash { (board.trust_policy) } } }
                div.wide { dt { "Challenge record" } dd { code.hash { (board.challenge) } } }
                div.wide { dt { "Task record" } dd { code.hash { (board.task) } } }
            }
            @if !board.inputs.is_empty() {
                details {
                    summary { "The " (board.inputs.len()) " records behind this board" }
                    ul.inputs { @for id in &board.inputs { li { code.hash { (id) } } } }
                }
            }
        }
    }
}

/// A link to the board in another format, under the same weights.
fn download(board: &Board, file: &str, name: &str) -> Markup {
    let weights: Vec<String> = board
        .weights
        .iter()
        .flatten()
        .map(|(slice, share)| format!("{}:{}", text::query_value(slice), text::float(*share)))
        .collect();
    let query = if weights.is_empty() {
        String::new()
    } else {
        format!("?w={}", weights.join(","))
    };
    html! { a href={ "/challenges/" (board.challenge) "/" (file) (query) } { (name) } }
}

fn precision(board: &Board) -> Markup {
    let fields: Vec<f64> = board
        .models
        .iter()
        .filter_map(|row| half_width(&row.field))
        .collect();
    let slices: Vec<f64> = board
        .models
        .iter()
        .flat_map(|row| row.slices.values())
        .filter_map(half_width)
        .collect();
    html! {
        section aria-labelledby="precision" {
            h2 #precision { "How sure it is" }
            div.scroll.fit role="region" aria-labelledby="precision" tabindex="0" {
                table.plain {
                    caption {
                        "Half-widths of 95% intervals: what the task alone promised, for "
                        (text::plural(board.expected.records, "record")) ", and what came out"
                    }
                    thead { tr {
                        th scope="col" { "Score" } th.number scope="col" { "Expected" } th.number scope="col" { "Obtained" }
                    } }
                    tbody {
                        (width_row("Field score", board.expected.field, &fields))
                        (width_row("One slice", board.expected.slice, &slices))
                    }
                }
            }
            @if let Some(influence) = board.influence {
                p {
                    "One contributor, lying as much as the proofs allow, could have moved a field score by at most "
                    strong { (format!("{:.3}", text::float(influence))) } "."
                }
            }
        }
    }
}

/// The same before anything is measured.
fn plan(board: &Board) -> Markup {
    html! {
        section aria-labelledby="precision" {
            h2 #precision { "How sure it can be" }
            p {
                "With " (text::plural(board.expected.records, "record")) ", 95% intervals of about "
                strong { "±" (format!("{:.3}", text::float(board.expected.field))) } " for a field score and "
                strong { "±" (format!("{:.3}", text::float(board.expected.slice))) } " for one slice are to be expected."
            }
        }
    }
}

fn half_width(cell: &Cell) -> Option<f64> {
    Some((text::float(cell.hi?) - text::float(cell.lo?)) / 2.0)
}

fn width_row(label: &str, expected: Fixed, obtained: &[f64]) -> Markup {
    let (least, most) = obtained
        .iter()
        .fold((1.0, 0.0), |(lo, hi), w| (w.min(lo), w.max(hi)));
    html! {
        tr {
            th scope="row" { (label) }
            td.number { "±" (format!("{:.3}", text::float(expected))) }
            td.number {
                @if obtained.is_empty() { span.none { "not estimable" } }
                @else if format!("{least:.3}") == format!("{most:.3}") { "±" (format!("{least:.3}")) }
                @else { "±" (format!("{least:.3}")) " to ±" (format!("{most:.3}")) }
            }
        }
    }
}
