//! Who added the shares up, and whom of them the reader trusts.

use fieldmark_node_core::board::{Board, Seat};
use maud::{Markup, html};

/// The committee, leader first.
pub(super) fn section(board: &Board) -> Markup {
    let trusted = board.committee.iter().filter(|seat| seat.trusted).count();
    html! {
        section aria-labelledby="committee" {
            h2 #committee { "Committee" }
            p.note {
                "This reader's trust policy names " (trusted) " of " (board.committee.len()) " aggregators. \
                 A board is accepted when it names all of them."
            }
            ul.committee { @for (at, seat) in board.committee.iter().enumerate() { (member(at, seat)) } }
        }
    }
}

fn member(at: usize, seat: &Seat) -> Markup {
    html! {
        li {
            div.who {
                @match &seat.name { Some(name) => bdi { (name) }, None => span.none { "no published name" } }
                @if at == 0 { " " span.badge { "leader" } }
            }
            div.marks {
                @if seat.trusted { span.badge.good { span aria-hidden="true" { "✓" } " trusted" } }
                @else { span.badge.warn { span aria-hidden="true" { "✕" } " not trusted" } }
                @if seat.silent { " " span.badge.bad { span aria-hidden="true" { "…" } " silent: share missing" } }
                @else if !seat.faults.is_empty() { " " span.badge.bad { span aria-hidden="true" { "✕" } " not honest" } }
            }
            @if !seat.faults.is_empty() { ul.faults { @for fault in &seat.faults { li { (fault) } } } }
            code.hash { (seat.identity) }
        }
    }
}
