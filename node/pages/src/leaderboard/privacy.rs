//! What protects the contributors, and what does not (design §7): said on every board.

use fieldmark_node_core::board::Board;
use maud::{Markup, html};

use crate::text;

/// The privacy statement.
pub(super) fn section(board: &Board) -> Markup {
    html! {
        section aria-labelledby="privacy" {
            h2 #privacy { "What is private, and what is not" }
            div.columns {
                div {
                    h3 { span.sign aria-hidden="true" { "✓ " } "Protected" }
                    p { (promise(board)) }
                    p {
                        "Reports are split into " (board.committee.len()) " sealed shares. What a contributor sent is \
                         seen by nobody: no reader, no aggregator by itself."
                    }
                }
                div {
                    h3 { span.sign aria-hidden="true" { "✕ " } "Not protected" }
                    ul {
                        li { "Who took part, and when: the values are hidden, the identities are not." }
                        li { "How many reports there are." }
                        li { "A contributor as a whole: the promise is for one " (super::unit(board)) ", and weakens for many at once." }
                        li { "Latency, energy and memory, which are measured on public inputs." }
                    }
                }
                div {
                    h3 { span.sign aria-hidden="true" { "! " } "What must hold" }
                    ul {
                        li { strong { "Privacy needs one honest aggregator" } " of the " (board.committee.len()) "." }
                        li {
                            strong { "Correctness needs all " (board.committee.len()) "." }
                            " One liar among them can shift a cell undetectably."
                        }
                        li { (eligibility(board)) }
                    }
                }
            }
        }
    }
}

fn promise(board: &Board) -> Markup {
    html! {
        "Any one " (super::unit(board)) " of a contributor, with everything derived from it: all its views, on all models and \
         slices. Adding or removing it changes the probability of anything published by at most a factor e"
        sup { "ε" } ", plus δ: "
        strong.nobreak { "ε = " (board.epsilon) } ", " strong.nobreak { "δ = " (text::power(board.delta)) } "."
    }
}

fn eligibility(board: &Board) -> Markup {
    let least = text::plural(board.min_batch.into(), "report");
    html! {
        @if board.eligibility == "open" {
            strong { "Anyone may contribute" } ", so the minimum batch of " (least) " protects nobody: all but one of \
            them could come from a single party. Only the noise protects."
        } @else {
            "Only listed identities may contribute; below " (least) " nothing is released."
        }
    }
}
