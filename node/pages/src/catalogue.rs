//! The catalogue: a search field and the releases that match.

use maud::{Markup, html};

use crate::layout::{Document, Place, Section};
use crate::text;
use crate::view::{CataloguePage, ReleaseSummary, Site};

/// Releases that match a search, in the order given.
#[must_use]
pub fn catalogue(site: Site, page: &CataloguePage) -> Markup {
    let body = html! {
        h1 { "Models" }
        p.scenario { "Signed, immutable releases. Pull one and run it on your own machine, on your own data." }
        (search(page))
        p.meta role="status" { (found(page)) }
        @if page.releases.is_empty() && page.text.is_empty() && page.tag.is_empty() {
            p.empty { "Nothing published yet. Publish with " code { "fieldmark publish DIR" } "." }
        }
        ul.entries { @for release in &page.releases { (entry(release)) } }
    };
    Document {
        title: "Models",
        place: Place::Site(site, Section::Models),
        refreshes: false,
        live: None,
        body,
    }
    .render()
}

fn search(page: &CataloguePage) -> Markup {
    html! {
        form.search action="/" method="get" role="search" {
            label for="text" { "Search models" }
            input #text type="search" name="text" value=(page.text) placeholder="name, task or words of the summary";
            @if !page.tag.is_empty() { input type="hidden" name="tag" value=(page.tag); }
            button type="submit" { "Search" }
            @if !page.tag.is_empty() || !page.text.is_empty() { a.clear href="/" { "Show all" } }
        }
    }
}

fn found(page: &CataloguePage) -> String {
    let shown = u64::try_from(page.releases.len()).unwrap_or(u64::MAX);
    let mut words = text::plural(page.total, "release");
    if !page.text.is_empty() {
        words.push_str(&format!(" for “{}”", page.text));
    }
    if !page.tag.is_empty() {
        words.push_str(&format!(" tagged “{}”", page.tag));
    }
    if shown < page.total {
        words.push_str(&format!(", the first {} shown", text::count(shown)));
    }
    words
}

fn entry(release: &ReleaseSummary) -> Markup {
    html! {
        li {
            div.entry-head {
                h2 { a href={ "/models/" (release.id) } { (release.name) span.version { "@" (release.version) } } }
                @if release.withdrawn { span.badge.bad { span aria-hidden="true" { "✕" } " withdrawn" } }
            }
            @if !release.summary.is_empty() { p.summary { (release.summary) } }
            (tags(&release.tags))
            p.meta {
                @if !release.task.is_empty() { (release.task) " · " }
                (text::author(&release.author)) " · " (text::bytes(release.size_bytes)) " · "
                @if release.license.is_empty() { "no licence stated" } @else { (release.license) }
                " · " (text::day(release.published_at_ms))
            }
        }
    }
}

/// Tags as links into the catalogue.
pub(crate) fn tags(tags: &[String]) -> Markup {
    html! {
        @if !tags.is_empty() {
            ul.tags aria-label="Tags" {
                @for tag in tags { li { a href={ "/?tag=" (text::query_value(tag)) } { (tag) } } }
            }
        }
    }
}
