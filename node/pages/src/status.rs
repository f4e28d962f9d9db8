//! What a node says about itself, and what it says when there is nothing.

use maud::{Markup, html};

use crate::layout::{Document, Place, Section};
use crate::text;
use crate::view::{Site, StatusPage};

/// The node's public face; it names nothing that is private to its owner.
#[must_use]
pub fn status(site: Site, page: &StatusPage) -> Markup {
    let counts = [
        ("Peers connected", page.peers),
        ("Logs", page.logs),
        ("Records", page.records),
        ("Forked logs", page.forks),
        ("Releases", page.releases),
        ("Challenges", page.challenges),
    ];
    let roles: Vec<&str> = page.roles.iter().map(String::as_str).collect();
    let body = html! {
        p.eyebrow { "Node" }
        h1 { bdi { (page.node) } }
        p.scenario {
            "A Fieldmark node in the network " strong { (page.network) } ", version " (page.version) "."
            @if !roles.is_empty() { " It serves as " (text::list(&roles)) "." }
        }
        dl.figures { @for (label, value) in counts { div { dt { (label) } dd { (text::count(value)) } } } }
        dl.facts {
            div.wide { dt { "Identity" } dd { code.hash { (page.identity) } } }
            div.wide { dt { "Node key" } dd { code.hash { (page.node_key) } } }
        }
    };
    Document {
        title: &page.node,
        place: Place::Site(site, Section::Other),
        refreshes: false,
        live: None,
        body,
    }
    .render()
}

/// The body of a 404: `what` is what was asked for, as typed.
#[must_use]
pub fn not_found(site: Site, what: &str) -> Markup {
    let body = html! {
        p.eyebrow { "Not found" }
        h1 { "Nothing here by that name" }
        p.scenario { "This node knows nothing called " strong.typed { bdi { (what) } } "." }
        p {
            "It may not have arrived yet: records spread from peer to peer. Look in the " a href="/" { "catalogue" }
            " or among the " a href="/challenges" { "challenges" } "."
        }
    };
    Document {
        title: "Not found",
        place: Place::Site(site, Section::Other),
        refreshes: false,
        live: None,
        body,
    }
    .render()
}
