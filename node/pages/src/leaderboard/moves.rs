//! What changes between the order in the lab and the order on the field, drawn as slopes.

use std::cmp::Reverse;

use fieldmark_node_core::board::{Board, Fixed, ModelRow};
use maud::{Markup, html};

use super::{change, clean};
use crate::text::{self, Digits};

/// Height of a row in pixels, as the style sheet has it.
const ROW: usize = 56;

/// A model that has a place on both sides.
struct Placed<'a> {
    row: &'a ModelRow,
    lab: Fixed,
    field: Fixed,
}

/// The two orders side by side; nothing where fewer than two models have both scores.
pub(super) fn section(board: &Board, digits: Digits) -> Markup {
    let field = placed(board);
    if field.len() < 2 {
        return html! {};
    }
    let mut lab: Vec<&Placed<'_>> = field.iter().collect();
    lab.sort_by_key(|model| Reverse(model.lab));
    let field: Vec<&Placed<'_>> = field.iter().collect();
    html! {
        section aria-labelledby="moves" {
            h2 #moves { "What the field changed" }
            p.statement { (statement(board, &lab, &field, digits)) }
            p.note { "Orders are by estimate; the rank sets above say which differences are certain." }
            div.moves {
                (side("Order in the lab", &lab, |model| model.lab, digits))
                (slopes(&lab, &field))
                (side("Order on the field", &field, |model| model.field, digits))
            }
        }
    }
}

fn placed(board: &Board) -> Vec<Placed<'_>> {
    let both = |row| {
        Some(Placed {
            row,
            lab: clean(board, row)?.score?,
            field: row.field.score?,
        })
    };
    let mut models: Vec<Placed<'_>> = board.models.iter().filter_map(both).collect();
    models.sort_by_key(|model| Reverse(model.field));
    models
}

fn side(title: &str, models: &[&Placed<'_>], score: fn(&Placed<'_>) -> Fixed, digits: Digits) -> Markup {
    html! {
        div.side {
            h3 { (title) }
            ol {
                @for model in models {
                    li {
                        span.place aria-hidden="true" { (place(models, model, score)) }
                        span.who title=(model.row.name) { (text::reference(&model.row.name)) }
                        span.score { (digits.score(score(model))) }
                    }
                }
            }
        }
    }
}

/// 1 for the best; equal scores share a place.
fn place(models: &[&Placed<'_>], model: &Placed<'_>, score: fn(&Placed<'_>) -> Fixed) -> usize {
    1 + models.iter().filter(|other| score(other) > score(model)).count()
}

fn slopes(lab: &[&Placed<'_>], field: &[&Placed<'_>]) -> Markup {
    let height = ROW * lab.len();
    let middle = |at: usize| at * ROW + ROW / 2;
    html! {
        svg.slopes width="100%" height=(height) role="img" aria-labelledby="slopes-title slopes-desc" {
            title #slopes-title { "From the order in the lab to the order on the field" }
            desc #slopes-desc { (spoken(lab, field)) }
            @for (from, model) in lab.iter().enumerate() {
                @let to = position(field, model);
                line class=(direction(from, to)) x1="0%" y1=(middle(from)) x2="100%" y2=(middle(to)) {}
                circle.lab cx="0%" cy=(middle(from)) r="5" {}
                circle.dot cx="100%" cy=(middle(to)) r="5" {}
            }
        }
    }
}

fn position(models: &[&Placed<'_>], model: &Placed<'_>) -> usize {
    models
        .iter()
        .position(|other| other.row.release == model.row.release)
        .unwrap_or_default()
}

fn direction(from: usize, to: usize) -> &'static str {
    match to.cmp(&from) {
        std::cmp::Ordering::Less => "up",
        std::cmp::Ordering::Equal => "same",
        std::cmp::Ordering::Greater => "down",
    }
}

fn spoken(lab: &[&Placed<'_>], field: &[&Placed<'_>]) -> String {
    let moves = lab.iter().map(|model| {
        let (from, to) = (place(lab, model, |m| m.lab), place(field, model, |m| m.field));
        format!("{} {from} to {to}", model.row.name)
    });
    moves.collect::<Vec<_>>().join("; ")
}

fn statement(board: &Board, lab: &[&Placed<'_>], field: &[&Placed<'_>], digits: Digits) -> Markup {
    let moved = lab
        .iter()
        .enumerate()
        .filter(|(from, model)| position(field, model) != *from)
        .count();
    let loss = |model: &&&Placed<'_>| (text::float(model.field) - text::float(model.lab)) * 1e6;
    let loser = field.iter().min_by(|a, b| loss(a).total_cmp(&loss(b)));
    html! {
        @if let (Some(best_lab), Some(best_field)) = (lab.first(), field.first()) {
            @if best_lab.row.release == best_field.row.release {
                strong { (best_field.row.name) } " is first in the lab and on the field. "
            } @else {
                strong { (best_lab.row.name) } " is first in the lab, " strong { (best_field.row.name) } " on the field. "
            }
        }
        @if moved == 0 { "No model changes its place. " }
        @else { (moved) " of " (lab.len()) " models change their place. " }
        @if let Some((model, change)) = loser.and_then(|model| Some((model, change(board, model.row)?))) {
            strong { (model.row.name) } @if change < 0.0 { " loses most, " } @else { " gains least, " }
            (digits.change(change)) "."
        }
    }
}
