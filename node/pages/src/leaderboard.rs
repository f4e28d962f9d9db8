//! The leaderboard: one sentence, the intervals, the slices, what the field changed, and everything a
//! reader needs to judge the numbers. The same sections serve the site and the file of its own.

use std::collections::BTreeMap;

use fieldmark_node_core::board::{Board, Cell, ModelRow, Trend};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::challenge::Slice;
use maud::{Markup, html};

use crate::layout::Place;
use crate::phase;
use crate::text::{self, Digits};
use crate::view::SpeedView;

mod committee;
mod evidence;
mod field;
mod groups;
mod metrics;
mod moves;
mod privacy;
mod result;
mod scale;
mod slices;
mod speed;
mod strengths;
mod trend;

/// Where the board stands and what else is known of its slices.
pub(crate) struct Setting<'a> {
    pub(crate) place: Place,
    pub(crate) slices: &'a [Slice],
    pub(crate) speeds: &'a BTreeMap<RecordId, SpeedView>,
    pub(crate) trend: Option<&'a Trend>,
}

impl Setting<'_> {
    /// A model's name, as a link where there is a page behind it.
    fn model(&self, row: &ModelRow) -> Markup {
        let name = text::reference(&row.name);
        html! {
            @if self.place == Place::File { (name) } @else { a href={ "/models/" (row.release) } { (name) } }
        }
    }
}

/// All sections for a board in any phase.
pub(crate) fn sections(board: &Board, setting: &Setting<'_>, reports: u64) -> Markup {
    html! {
        @if board.phase == "released" { (released(board, setting)) } @else { (withheld(board, setting, reports)) }
        @if let Some(trend) = setting.trend { (trend::section(board, trend, setting)) }
        (privacy::section(board))
        (committee::section(board))
        (evidence::section(board, setting))
    }
}

fn released(board: &Board, setting: &Setting<'_>) -> Markup {
    let digits = Digits::for_cells(board.models.iter().map(|row| &row.field));
    html! {
        (result::section(board, digits))
        (warnings(board))
        (figures(board))
        (notices(board))
        (field::section(board, setting, digits))
        (slices::section(board, setting, digits))
        (groups::section(board, setting, digits))
        (metrics::section(board, setting))
        (strengths::section(board, setting))
        (speed::section(board, setting))
        @if board.in_use.is_none() { (moves::section(board, digits)) }
    }
}

/// Before the release, or without one: what was pre-registered, and no number.
fn withheld(board: &Board, setting: &Setting<'_>, reports: u64) -> Markup {
    html! {
        section.result aria-label="Result" {
            p.headline { (phase::sentence(board, reports)) }
            @if let Some(reason) = &board.abort { p { "Reason given: " q { (reason) } } }
        }
        (warnings(board))
        (notices(board))
        section aria-labelledby="entered" {
            h2 #entered { "Models entered" }
            ul.tags { @for row in &board.models { li { (setting.model(row)) } } }
            p.note { "A model entered is a model listed: withdrawing it later does not remove its row." }
        }
        section aria-labelledby="slices" {
            h2 #slices { "Slices" }
            dl.slices-list {
                @for name in &board.slices {
                    div {
                        dt { (name) @if *name == board.clean_slice { span.key { " – stands for the lab" } } }
                        dd { (description(setting, name)) }
                    }
                }
            }
        }
    }
}

fn warnings(board: &Board) -> Markup {
    html! {
        @if !board.trusted {
            p.banner.warn {
                strong { span aria-hidden="true" { "⚠ " } "Not accepted by this reader's trust policy. " }
                "At least one aggregator below is not on it, and one dishonest aggregator can shift any number \
                 without a trace."
            }
        }
    }
}

fn notices(board: &Board) -> Markup {
    html! {
        @if !board.notices.is_empty() {
            aside.notices aria-label="Notices" {
                ul { @for notice in &board.notices { li { (notice) } } }
            }
        }
    }
}

fn figures(board: &Board) -> Markup {
    html! {
        dl.figures {
            div { dt { "Contributors" } dd { (text::count(board.contributors)) } }
            div {
                dt { "Source records, with noise" }
                @match &board.records {
                    Some(records) => dd {
                        "≈ " (text::whole_value(records))
                        span.interval { " [" (text::whole_interval(records)) "]" }
                    },
                    None => dd { "not estimable" },
                }
            }
            @if let Some(in_use) = &board.in_use {
                div {
                    dt { "Counted and never labelled" }
                    @match &in_use.unlabelled {
                        Some(unlabelled) => dd {
                            "≈ " (text::whole_value(unlabelled))
                            span.interval { " [" (text::whole_interval(unlabelled)) "]" }
                        },
                        None => dd { "not estimable" },
                    }
                }
                div {
                    dt { "Drawn of what was served" }
                    dd { (format!("{:.1}", 100.0 * text::float(in_use.rate))) " %" }
                }
            }
            div { dt { "A score is" } dd { (score_words(board.metric)) } }
            div { dt { "Models × slices" } dd { (board.models.len()) " × " (board.slices.len()) } }
            div { dt { "Privacy per " (unit(board)) } dd { "ε = " (board.epsilon) } }
        }
    }
}

/// What a score is, in a few words.
fn score_words(metric: &str) -> &str {
    match metric {
        "accuracy" => "the part answered right",
        "brier-score" => "1 less half the Brier score",
        "closeness" => "1 less the error as a part of the range",
        "win-rate" => "the part of other models beaten",
        "preference" => "the part of comparisons preferred",
        other => other,
    }
}

fn description<'a>(setting: &Setting<'a>, name: &str) -> &'a str {
    setting
        .slices
        .iter()
        .find(|slice| slice.name == name)
        .map_or("", |slice| &slice.description)
}

/// What the promise protects, without the words in brackets that say it exactly.
fn unit(board: &Board) -> &str {
    board.unit.split_once(" (").map_or(board.unit, |(name, _)| name)
}

/// The cell that stands for the lab.
fn clean<'a>(board: &Board, row: &'a ModelRow) -> Option<&'a Cell> {
    // What is served in real use has no lab to compare with.
    row.slices
        .get(&board.clean_slice)
        .filter(|_| board.in_use.is_none())
}

/// Field score less clean score, where both are estimated.
fn change(board: &Board, row: &ModelRow) -> Option<f64> {
    Some(text::float(row.field.score?) - text::float(clean(board, row)?.score?))
}
