//! Bradley–Terry strengths: who wins against whom, on one scale.

use fieldmark_node_core::board::{Board, Strength, Strengths};
use maud::{Markup, html};

use super::Setting;
use crate::text;

/// The table; nothing where a task carries no win counts.
pub(super) fn section(board: &Board, setting: &Setting<'_>) -> Markup {
    let Some(all) = &board.strengths else {
        return html! {};
    };
    html! {
        section aria-labelledby="strengths" {
            h2 #strengths { "Strength in pairs" }
            p.note {
                "Bradley–Terry: a model beats another with odds of e to the difference of their strengths; 1.1 is three wins to \
                 one loss. Strengths sum to zero. Intervals are of 95% for each by itself, from chance and noise; rank sets \
                 hold together."
                @if all.conservative { " Pairs were compared on the same records, so the worst-case dependence is taken." }
            }
            @match &all.reason {
                Some(reason) => p.empty { "Hidden: " (reason) "." },
                None => (table(board, all, setting)),
            }
        }
    }
}

fn table(board: &Board, all: &Strengths, setting: &Setting<'_>) -> Markup {
    let mut rows: Vec<_> = board
        .models
        .iter()
        .filter_map(|row| Some((row, row.strength?)))
        .collect();
    rows.sort_by_key(|(_, strength)| std::cmp::Reverse(strength.value));
    html! {
        div.scroll.fit role="region" aria-labelledby="strengths" tabindex="0" {
            table.plain.strengths {
                thead { tr {
                    th scope="col" { "Rank" } th scope="col" { "Model" }
                    th.number scope="col" { "Strength" } th.number scope="col" { "95% interval" }
                } }
                tbody {
                    @for (row, strength) in rows {
                        tr {
                            td { (text::ranks(strength.rank)) }
                            th scope="row" { (setting.model(row)) }
                            td.number { strong { (signed(text::float(strength.value))) } }
                            td.number { (interval(&strength)) }
                        }
                    }
                }
            }
        }
        @if !all.separable { p { "Not yet separable: no difference in strength is certain." } }
    }
}

fn interval(strength: &Strength) -> Markup {
    html! {
        "[" (signed(text::float(strength.lo))) ", " (signed(text::float(strength.hi))) "]"
        @if strength.separated {
            " " abbr.badge title="It never clearly won, or never clearly lost: an end leans on the prior." { "prior" }
        }
    }
}

fn signed(value: f64) -> String {
    text::Digits(2).change(value)
}
