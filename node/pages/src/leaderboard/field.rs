//! The field scores: one row per model with rank set, interval plot, and the way from the lab.

use fieldmark_node_core::board::{Board, Cell, ModelRow};
use maud::{Markup, html};

use super::scale::{self, Scale};
use super::{Setting, change, clean};
use crate::text::{self, Digits};

/// Heights in a plot, in pixels: the lab above, the field below.
const HEIGHT: u32 = 48;
const CLEAN_Y: u32 = 14;
const FIELD_Y: u32 = 32;

/// What all rows share.
struct Table<'a> {
    board: &'a Board,
    setting: &'a Setting<'a>,
    digits: Digits,
    scale: Scale,
}

/// The table of rows.
pub(super) fn section(board: &Board, setting: &Setting<'_>, digits: Digits) -> Markup {
    let table = Table {
        board,
        setting,
        digits,
        scale: scale_of(board),
    };
    html! {
        section aria-labelledby="field" {
            h2 #field { "Field scores" }
            p.note {
                "The field score is a model's mean over all slices. Ranks are sets: with 95% certainty for all \
                 models together, a model's rank lies in its set."
                @if board.in_use.is_none() { " “" (board.clean_slice) "” stands for the lab." }
                @else { " It comes from real use: nothing of it was measured in a lab." }
            }
            (legend(board))
            table.field role="table" {
                caption.hidden { "Field scores with rank sets and 95% intervals, best first" }
                thead role="rowgroup" { (heads(&table.scale, board.in_use.is_none())) }
                tbody role="rowgroup" {
                    @for (at, row) in board.models.iter().enumerate() { (table.line(at, row)) }
                }
            }
        }
    }
}

fn scale_of(board: &Board) -> Scale {
    let cleans = board.models.iter().filter_map(|row| clean(board, row)?.score);
    Scale::over(
        board
            .models
            .iter()
            .flat_map(|row| scale::values(&row.field))
            .chain(cleans),
    )
}

fn heads(scale: &Scale, lab: bool) -> Markup {
    html! {
        tr role="row" {
            th.rank role="columnheader" scope="col" { "Rank" }
            th.name role="columnheader" scope="col" { "Model" }
            th.plot role="columnheader" scope="col" { span.hidden { "Interval" } (axis(scale)) }
            th.number role="columnheader" scope="col" { "Field" }
            @if lab {
                th.number role="columnheader" scope="col" { "Lab" }
                th.number role="columnheader" scope="col" { "Lab to field" }
            }
        }
    }
}

fn axis(scale: &Scale) -> Markup {
    html! {
        svg.axis width="100%" height="20" aria-hidden="true" {
            @for tick in scale.ticks() {
                text x=(scale.at(tick)) y="13" text-anchor="middle" { (scale.label(tick)) }
            }
        }
    }
}

impl Table<'_> {
    fn line(&self, at: usize, row: &ModelRow) -> Markup {
        html! {
            tr role="row" {
                td.rank role="cell" { (rank(self.board, row)) }
                th.name role="rowheader" scope="row" { (self.setting.model(row)) (marks(row)) }
                td.plot role="cell" { (self.plot(at, row)) }
                td.number.score role="cell" { (field(&row.field, self.digits)) }
                @if self.board.in_use.is_none() { (self.against_the_lab(row)) }
            }
        }
    }

    fn against_the_lab(&self, row: &ModelRow) -> Markup {
        html! {
            td.number.lab role="cell" {
                span.label aria-hidden="true" { "Lab " }
                @match clean(self.board, row).and_then(|cell| cell.score) {
                    Some(score) => (self.digits.score(score)),
                    None => span.none { "hidden" },
                }
            }
            td.number.change role="cell" {
                span.label aria-hidden="true" { "Lab to field " }
                @match change(self.board, row) {
                    Some(change) => (self.digits.change(change)),
                    None => "–",
                }
            }
        }
    }

    fn plot(&self, at: usize, row: &ModelRow) -> Markup {
        let scale = &self.scale;
        let clean = clean(self.board, row);
        let lab = clean.and_then(|cell| cell.score);
        html! {
            svg.intervals width="100%" height=(HEIGHT) role="img" aria-labelledby={ "plot-" (at) } {
                title id={ "plot-" (at) } { (description(row, clean, self.digits)) }
                @for x in scale.ticks().into_iter().map(|tick| scale.at(tick)) {
                    line.grid x1=(x) x2=(x) y1="-100%" y2="200%" {}
                }
                @if let (Some(score), Some(lab)) = (row.field.score, lab) {
                    line.drop x1=(scale.at(lab)) y1=(CLEAN_Y) x2=(scale.at(score)) y2=(FIELD_Y) {}
                }
                (interval(scale, &row.field, FIELD_Y, 10))
                @if let Some(lab) = lab { circle.lab cx=(scale.at(lab)) cy=(CLEAN_Y) r="5" {} }
            }
        }
    }
}

fn marks(row: &ModelRow) -> Markup {
    html! {
        @if row.withdrawn { " " span.badge.bad { span aria-hidden="true" { "✕" } " withdrawn" } }
        @if row.field.conservative {
            " " abbr.badge title="Wider than 95% ask for, to be safe: a worst case or a large margin stands in for what noise hides." {
                "conservative"
            }
        }
        @if row.field.bound {
            " " abbr.badge title="The interval ends at 0 or 1 and may cover more than 95%." { "at the end" }
        }
        @if let Some(author) = row.author { span.by { "by " code title=(author) { (author.short()) } } }
    }
}

fn field(cell: &Cell, digits: Digits) -> Markup {
    html! {
        @match (cell.score, cell.lo, cell.hi) {
            (Some(score), Some(lo), Some(hi)) => {
                strong { (digits.score(score)) } " " span.interval { (digits.interval(lo, hi)) }
            },
            _ => span.none { (digits.cell(cell)) },
        }
    }
}

/// The rank set in words and as a strip with one place per rank.
fn rank(board: &Board, row: &ModelRow) -> Markup {
    let [best, worst] = row.rank;
    let places = u16::try_from(board.models.len()).unwrap_or(u16::MAX);
    html! {
        @if row.field.score.is_none() { span.none { "–" } } @else {
            span.set { span.label aria-hidden="true" { "Rank " } (text::ranks(row.rank)) }
            svg.strip width=(u32::from(places) * 9) height="8" aria-hidden="true" {
                @for place in 1..=places {
                    rect .in[place >= best && place <= worst] x=(u32::from(place - 1) * 9) width="7" height="8" rx="1.5" {}
                }
            }
        }
    }
}

/// A cell's marks at a height: thin line for the full interval, thick bar for noise alone, a dot for the
/// estimate.
pub(super) fn interval(scale: &Scale, cell: &Cell, y: u32, thickness: u32) -> Markup {
    let half = thickness / 2;
    html! {
        @if let (Some(lo), Some(hi)) = (cell.lo, cell.hi) {
            line.full .conservative[cell.conservative] x1=(scale.at(lo)) x2=(scale.at(hi)) y1=(y) y2=(y) {}
            @for end in [lo, hi] {
                line.full x1=(scale.at(end)) x2=(scale.at(end)) y1=(y - half) y2=(y + half) {}
            }
        }
        @if let (Some(lo), Some(hi)) = (cell.noise_lo, cell.noise_hi) {
            rect.noise x=(scale.at(lo)) y=(y - half) width=(scale.width(lo, hi)) height=(thickness) rx="2" {}
        }
        @if let Some(score) = cell.score { circle.dot cx=(scale.at(score)) cy=(y) r=(half.max(3)) {} }
    }
}

fn description(row: &ModelRow, clean: Option<&Cell>, digits: Digits) -> String {
    let mut words = format!("{}: field {}", row.name, digits.cell(&row.field));
    if let (Some(lo), Some(hi)) = (row.field.noise_lo, row.field.noise_hi) {
        words.push_str(&format!(", from noise alone {}", digits.interval(lo, hi)));
    }
    if let Some(clean) = clean {
        words.push_str(&format!("; lab {}", digits.cell(clean)));
    }
    words
}

/// The marks of the plots, explained by examples.
fn legend(board: &Board) -> Markup {
    let conservative = board.models.iter().any(|row| row.field.conservative);
    html! {
        ul.legend aria-label="How to read the plots" {
            li { (key(12, html! { circle.dot cx="6" cy="8" r="5" {} })) "field score" }
            li {
                (key(32, html! { rect.noise x="0" y="3" width="32" height="10" rx="2" {} })) "95% interval, noise alone"
            }
            li { (key(42, whiskers(false))) "95% interval, noise and sampling" }
            @if conservative { li { (key(42, whiskers(true))) "the same, conservative" } }
            @if board.in_use.is_none() {
                li { (key(12, html! { circle.lab cx="6" cy="8" r="5" {} })) "lab (" (board.clean_slice) ")" }
            }
        }
    }
}

fn whiskers(conservative: bool) -> Markup {
    html! {
        line.full .conservative[conservative] x1="1" x2="41" y1="8" y2="8" {}
        line.full x1="1" x2="1" y1="3" y2="13" {}
        line.full x1="41" x2="41" y1="3" y2="13" {}
    }
}

fn key(width: u32, marks: Markup) -> Markup {
    html! { svg.key-mark width=(width) height="16" aria-hidden="true" { (marks) } }
}
