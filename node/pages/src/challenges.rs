//! The list of challenges.

use fieldmark_node_core::lifecycle::Stage;
use maud::{Markup, html};

use crate::layout::{Document, Place, Section};
use crate::phase;
use crate::text;
use crate::view::{ChallengeSummary, ChallengesPage, Site};

/// All challenges a node knows, in the order given.
#[must_use]
pub fn challenges(site: Site, page: &ChallengesPage) -> Markup {
    let refreshes = page.challenges.iter().any(|c| phase::under_way(&c.phase));
    let body = html! {
        h1 { "Challenges" }
        p.scenario {
            "Several models, one real scenario, private data of many contributors. Models, slices, committee \
             and privacy are fixed before the first report."
        }
        @if page.challenges.is_empty() {
            p.empty { "No challenge yet. Pose one with " code { "fieldmark challenge create SPEC.toml" } "." }
        }
        ul.entries { @for challenge in &page.challenges { (entry(challenge)) } }
    };
    Document {
        title: "Challenges",
        place: Place::Site(site, Section::Challenges),
        refreshes,
        live: None,
        body,
    }
    .render()
}

fn entry(challenge: &ChallengeSummary) -> Markup {
    html! {
        li {
            div.entry-head {
                h2 { a href={ "/challenges/" (challenge.id) } { (challenge.name) } }
                (phase::stage(challenge.stage, &challenge.phase))
            }
            p.summary { (challenge.scenario) }
            @if let Some(leader) = &challenge.leader {
                p.lead { "Highest field score: " strong { (leader) } }
            }
            p.meta {
                (text::plural(challenge.models, "model")) " · " (text::plural(challenge.slices, "slice"))
                " · " (text::plural(challenge.reports, "report"))
                @if phase::under_way(&challenge.phase) { " of at least " (challenge.min_batch) }
                " · " span.nobreak { "ε = " (challenge.epsilon) }
                @if challenge.stage == Stage::Registered { " · opens " (text::time(challenge.opens_at_ms)) }
                @else if challenge.phase == "open" { " · closes " (text::time(challenge.closes_at_ms)) }
                @else { " · opened " (text::day(challenge.opens_at_ms)) }
            }
        }
    }
}
