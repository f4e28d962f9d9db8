//! The table of slices: a score and a small interval per model and slice, tinted where scores are low.

use fieldmark_fl::interval::CELL_RECORDS_MIN;
use fieldmark_node_core::board::{Board, Cell, Estimate, ModelRow};
use maud::{Markup, html};

use super::field::interval;
use super::scale::{self, Scale};
use super::{Setting, description};
use crate::text::{self, Digits};

/// Shades between the highest and the lowest score of a table.
const SHADES: [f64; 5] = [0.17, 0.34, 0.51, 0.68, 0.85];

/// Scores closer together than this are not shaded: it would dress up noise.
const SHADED_RANGE_MIN: f64 = 0.02;

/// What all cells of the table share.
struct Table<'a> {
    board: &'a Board,
    digits: Digits,
    scale: Scale,
    /// Lowest and highest score.
    range: (f64, f64),
}

/// The table with its words.
pub(super) fn section(board: &Board, setting: &Setting<'_>, digits: Digits) -> Markup {
    let table = Table {
        board,
        digits,
        scale: scale_of(board),
        range: range_of(board),
    };
    let calibrated = board.models.iter().any(|row| row.calibration_gap.is_some());
    html! {
        section aria-labelledby="slices" {
            h2 #slices { "Slices" }
            p.note {
                "Score per condition with its 95% interval; the stronger the tint, the lower the score. ▼ marks each model's worst \
                 slice. Intervals hold for one cell at a time; one marked c or e is wider than 95% ask for (conservative) or ends \
                 at 0 or 1, and may cover more."
                @if cells(board).any(|cell| cell.hidden.is_some()) {
                    " A cell is hidden where its records may be fewer than " (CELL_RECORDS_MIN) ": so few say nothing, and the cell is nobody’s worst slice."
                }
            }
            div.scroll role="region" aria-labelledby="slices" tabindex="0" {
                table.slices {
                    thead { tr {
                        th.name scope="col" { "Model" }
                        th.worst scope="col" { "Worst slice" }
                        @for slice in &board.slices { (slice_head(board, slice)) }
                        @if calibrated { th.gap scope="col" { "Confidence less score" } }
                    } }
                    tbody { @for row in &board.models { (table.line(setting, row, calibrated)) } }
                }
            }
            (descriptions(board, setting))
        }
    }
}

fn slice_head(board: &Board, slice: &str) -> Markup {
    html! { th scope="col" { (slice) @if slice == board.clean_slice && board.in_use.is_none() { span.key { " lab" } } } }
}

fn cells(board: &Board) -> impl Iterator<Item = &Cell> {
    board.models.iter().flat_map(|row| row.slices.values())
}

fn scale_of(board: &Board) -> Scale {
    Scale::over(cells(board).flat_map(scale::values))
}

fn range_of(board: &Board) -> (f64, f64) {
    let scores = cells(board).filter_map(|cell| cell.score).map(text::float);
    scores.fold((1.0, 0.0), |(lo, hi), score| (score.min(lo), score.max(hi)))
}

impl Table<'_> {
    fn line(&self, setting: &Setting<'_>, row: &ModelRow, calibrated: bool) -> Markup {
        html! {
            tr {
                th.name scope="row" { (setting.model(row)) }
                td.worst { (self.worst(row)) }
                @for slice in &self.board.slices {
                    (self.cell(row.slices.get(slice), row.worst_slice.as_ref() == Some(slice)))
                }
                @if calibrated { td.gap { (self.gap(row.calibration_gap.as_ref())) } }
            }
        }
    }

    fn worst(&self, row: &ModelRow) -> Markup {
        let cell = row
            .worst_slice
            .as_ref()
            .and_then(|slice| Some((slice, row.slices.get(slice)?)));
        html! {
            @match cell.and_then(|(slice, cell)| Some((slice, cell.score?))) {
                Some((slice, score)) => { strong { (self.digits.score(score)) } span.interval { (slice) } },
                None => span.none { "not estimable" },
            }
        }
    }

    fn cell(&self, cell: Option<&Cell>, worst: bool) -> Markup {
        let Some((cell, score)) = cell.and_then(|cell| Some((cell, cell.score?))) else {
            let why = cell.and_then(|cell| cell.hidden).unwrap_or("not estimable");
            return html! { td.cell.unknown { span.none { "hidden" span.hidden { ": " } } span.interval { (why) } } };
        };
        html! {
            td class={ "cell shade-" (self.shade(text::float(score))) } {
                div.value {
                    strong { (self.digits.score(score)) }
                    @if worst { span.mark { span aria-hidden="true" { "▼" } span.hidden { " worst slice" } } }
                    @if cell.conservative { abbr.mark title="conservative interval" { "c" } }
                    @if cell.bound { abbr.mark title="the interval ends at 0 or 1" { "e" } }
                }
                svg.intervals.small width="100%" height="12" aria-hidden="true" {
                    line.track x1="0%" x2="100%" y1="6" y2="6" {}
                    (interval(&self.scale, cell, 6, 6))
                }
                @if let (Some(lo), Some(hi)) = (cell.lo, cell.hi) { div.interval { (self.digits.interval(lo, hi)) } }
            }
        }
    }

    /// 0 for the highest scores to the number of shades for the lowest.
    fn shade(&self, score: f64) -> usize {
        let (lo, hi) = self.range;
        if hi - lo < SHADED_RANGE_MIN {
            return 0;
        }
        let depth = (hi - score) / (hi - lo);
        SHADES.iter().filter(|shade| depth > **shade).count()
    }

    fn gap(&self, gap: Option<&Estimate>) -> Markup {
        let Some(gap) = gap else {
            return html! { span.none { "not estimable" } };
        };
        let (lo, hi) = (text::float(gap.lo), text::float(gap.hi));
        let words = if lo > 0.0 {
            "over-confident"
        } else if hi < 0.0 {
            "under-confident"
        } else {
            "no gap seen"
        };
        html! {
            strong { (self.digits.change(text::float(gap.value))) }
            div.interval { "[" (self.digits.change(lo)) ", " (self.digits.change(hi)) "]" }
            div.interval { (words) }
        }
    }
}

fn descriptions(board: &Board, setting: &Setting<'_>) -> Markup {
    let described = board
        .slices
        .iter()
        .any(|slice| !description(setting, slice).is_empty());
    html! {
        @if described {
            details {
                summary { "What the slices are" }
                dl.slices-list {
                    @for slice in &board.slices { div { dt { (slice) } dd { (description(setting, slice)) } } }
                }
            }
        }
    }
}
