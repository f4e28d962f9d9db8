//! A challenge's page: the scenario, then the leaderboard or why there is none yet. The same board as a
//! file of its own is [`standalone`].

use std::collections::BTreeMap;

use fieldmark_node_core::board::Board;
use fieldmark_node_core::lifecycle::Stage;
use fieldmark_protocol::RecordId;
use maud::{Markup, html};

use crate::layout::{Document, Place, Section};
use crate::leaderboard::{self, Setting};
use crate::phase;
use crate::text;
use crate::view::{ChallengePage, Site, SpeedView};

/// The page of one challenge, in any phase.
#[must_use]
pub fn challenge(site: Site, page: &ChallengePage<'_>) -> Markup {
    let setting = Setting {
        place: Place::Site(site, Section::Challenges),
        slices: page.slices,
        speeds: page.speeds,
        trend: page.trend,
    };
    let body = html! {
        (head(page.board, phase::stage(page.stage, page.board.phase)))
        (window(page))
        @if page.stage == Stage::Registered {
            p.banner { strong { "Registered. " } "Everything is fixed and signed; reports are taken from " (text::time(page.opens_at_ms)) "." }
        } @else if phase::under_way(page.board.phase) { (progress(page)) }
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
pub fn standalone(board: &Board, speeds: &BTreeMap<RecordId, SpeedView>) -> String {
    let setting = Setting {
        place: Place::File,
        slices: &[],
        speeds,
        trend: None,
    };
    let body = html! {
        (head(board, phase::badge(board.phase)))
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

fn head(board: &Board, badge: Markup) -> Markup {
    html! {
        p.eyebrow { "Challenge " (badge) }
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
            @if let Some(previous) = page.board.previous {
                " · next window of " a href={ "/challenges/" (previous) } { (previous.short()) }
            }
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
