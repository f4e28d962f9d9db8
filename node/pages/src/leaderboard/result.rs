//! The result in one sentence. Who leads is said only as far as the rank sets carry it.

use fieldmark_node_core::board::{Board, ModelRow};
use maud::{Markup, html};

use crate::text::{self, Digits};

/// The headline and what qualifies it.
pub(super) fn section(board: &Board, digits: Digits) -> Markup {
    html! {
        section.result aria-label="Result" {
            @match board.models.first().filter(|row| row.field.score.is_some()) {
                Some(first) => {
                    p.headline { (lead(board, first, digits)) }
                    @let rivals = rivals(board, first);
                    @if !rivals.is_empty() { p { (rivals) } }
                },
                None => p.headline {
                    "No score can be estimated: the records of those who took part drown in the noise."
                },
            }
        }
    }
}

fn lead(board: &Board, first: &ModelRow, digits: Digits) -> Markup {
    let words = match (board.models.len(), first.rank) {
        (1, _) => "scores on the field:",
        (_, [1, _]) if board.separable => "leads on the field:",
        _ => "has the highest estimate on the field:",
    };
    html! {
        strong { (first.name) } " " (words) " "
        @match (first.field.score, first.field.lo, first.field.hi) {
            (Some(score), Some(lo), Some(hi)) => span.score {
                (digits.score(score)) " " span.interval { (digits.interval(lo, hi)) }
            },
            _ => span.score { (digits.cell(&first.field)) },
        }
    }
}

fn rivals(board: &Board, first: &ModelRow) -> String {
    let others = board.models.len().saturating_sub(1);
    let [_, worst] = first.rank;
    let close = usize::from(worst.saturating_sub(1)).min(others);
    if others == 0 {
        return String::new();
    }
    if close == 0 {
        return "Separated from every other model.".into();
    }
    if !board.separable {
        return "Not yet separable: no difference between any two models is certain.".into();
    }
    let named: Vec<&str> = board
        .models
        .iter()
        .skip(1)
        .filter(|row| row.rank[0] == 1)
        .map(|row| row.name.as_str())
        .collect();
    match close.saturating_sub(named.len()) {
        0 => format!("Not separable from {}.", text::list(&named)),
        more if named.is_empty() => format!("Not separable from {}.", others_of(more)),
        more => format!("Not separable from {} and {} more.", named.join(", "), more),
    }
}

fn others_of(count: usize) -> String {
    if count == 1 {
        "one other model".into()
    } else {
        format!("{count} other models")
    }
}
