//! Replicate groups: what every model would score without one of them, so that a reader sees whether one part
//! of the contributors makes the result. Nothing where the task has none.

use fieldmark_node_core::board::{Board, Groups, ModelRow, WithoutGroups};
use maud::{Markup, html};

use super::Setting;
use crate::text::{self, Digits};

pub(super) fn section(board: &Board, setting: &Setting<'_>, digits: Digits) -> Markup {
    let Some(groups) = &board.replicate_groups else {
        return html! {};
    };
    html! {
        section aria-labelledby="groups" {
            h2 #groups { "Without one group" }
            p.statement { (statement(board)) }
            div.scroll role="region" aria-labelledby="groups" tabindex="0" {
                table.slices {
                    caption.hidden { "Field score and ranks of every model without each of the replicate groups" }
                    thead {
                        tr {
                            th.name scope="col" { "Model" }
                            th scope="col" { "All groups" }
                            @for group in 1..=groups.groups { th scope="col" { "Without " (group) } }
                            th scope="col" { "Range" }
                        }
                    }
                    tbody { @for row in &board.models { (line(row, setting, digits)) } }
                }
            }
            p.note { (drawn(groups)) }
        }
    }
}

fn statement(board: &Board) -> &'static str {
    let mut without = board.models.iter().filter_map(|row| row.without_groups.as_ref());
    if without.any(|without| without.rank_changes) {
        "Some rank sets are others when one group of contributors is left out."
    } else {
        "No rank set is another when one group of contributors is left out."
    }
}

fn line(row: &ModelRow, setting: &Setting<'_>, digits: Digits) -> Markup {
    let Some(without) = &row.without_groups else {
        return html! {};
    };
    html! {
        tr {
            th.name scope="row" { (setting.model(row)) }
            td.cell { (score(row.field.score.map(|score| digits.score(score)), row.rank, false)) }
            @for left in &without.without {
                td.cell { (score(left.score.map(|score| digits.score(score)), left.rank, left.rank != row.rank)) }
            }
            td.cell { (range(without, digits)) }
        }
    }
}

/// A field score over the ranks that go with it.
fn score(score: Option<String>, rank: [u16; 2], changed: bool) -> Markup {
    html! {
        @match score {
            Some(score) => strong { (score) },
            None => span.none { "not estimable" },
        }
        span.interval {
            "rank " (text::ranks(rank))
            @if changed { " " span.mark { "≠" span.hidden { " not as with all groups" } } }
        }
    }
}

fn range(without: &WithoutGroups, digits: Digits) -> Markup {
    html! {
        @match without.field {
            Some(range) => (digits.interval(range.lowest, range.highest)),
            None => span.none { "not estimable" },
        }
    }
}

/// How the groups came about, and what they cost.
fn drawn(groups: &Groups) -> String {
    let reports: Vec<String> = groups.reports.iter().map(u64::to_string).collect();
    let names: Vec<&str> = reports.iter().map(String::as_str).collect();
    format!(
        "The reports were divided into {} groups of {} after joining had closed, by lot from nonces that all \
         aggregators had committed to. Each group carries the whole noise of every aggregator, so the board's \
         noise has {} times the variance; what is left without a group has fewer records, and wider intervals.",
        groups.groups,
        text::list(&names),
        groups.groups,
    )
}
