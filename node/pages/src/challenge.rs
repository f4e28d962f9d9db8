//! A challenge's page: the scenario, then the leaderboard or why there is none yet. The same board as a
//! file of its own is [`standalone`].

use fieldmark_node_core::board::Board;
use maud::{Markup, html};

use crate::layout::{Document, Place, Section};
use crate::leaderboard::{self, Setting};
use crate::phase;
use crate::text;
use crate::view::ChallengePage;

/// The page of one challenge, in any phase.
#[must_use]
pub fn challenge(page: &ChallengePage<'_>) -> Markup {
    let setting = Setting {
        place: Place::Site(Section::Challenges),
        slices: page.slices,
    };
    let body = html! {
        (head(page.board))
        (window(page))
        @if phase::under_way(page.board.phase) { (progress(page)) }
        (leaderboard::sections(page.board, &setting, reports(page)))
    };
    Document {
        title: &page.board.name,
        place: setting.place,
        refreshes: phase::under_way(page.board.phase),
        live: Some(&format!("/challenges/{}/live", page.board.challenge)),
        body,
    }
    .render()
}

/// The leaderboard as one self-contained HTML file: style inside, no script, nothing loaded, no link
/// into a node.
#[must_use]
pub fn standalone(board: &Board) -> String {
    let setting = Setting {
        place: Place::File,
        slices: &[],
    };
    let body = html! {
        (head(board))
        (leaderboard::sections(board, &setting, board.contributors))
    };
    Document {
        title: &board.name,
        place: Place::File,
        refreshes: false,
        live: None,
        body,
    }
    .render()
    .into_string()
}

fn reports(page: &ChallengePage<'_>) -> u64 {
    page.reports.unwrap_or(page.board.contributors)
}

fn head(board: &Board) -> Markup {
    html! {
        p.eyebrow { "Challenge " (phase::badge(board.phase)) }
        h1 { (board.name) }
        p.scenario { (board.scenario) }
    }
}

fn window(page: &ChallengePage<'_>) -> Markup {
    html! {
        p.meta {
            "Window " (text::time(page.opens_at_ms)) " to " (text::time(page.closes_at_ms))
            @if page.reports_expected > 0 { ", or until " (text::plural(page.reports_expected.into(), "report")) }
            @if let Some(operator) = page.operator { " · posed by " (text::author(operator)) }
        }
    }
}

/// The number of reports is all that is visible before the close.
fn progress(page: &ChallengePage<'_>) -> Markup {
    let (count, least) = (reports(page), u64::from(page.board.min_batch));
    let goal = u64::from(page.reports_expected).max(least).max(1);
    html! {
        section.progress aria-labelledby="progress" {
            h2.hidden #progress { "Progress" }
            (phase::steps(page.board.phase))
            progress max=(goal) value=(count.min(goal)) aria-label="Reports received" {}
            p {
                strong { (text::plural(count, "report")) }
                " of at least " (text::count(least))
                @if goal > least { ", " (text::count(goal)) " expected" }
                "."
            }
        }
    }
}
