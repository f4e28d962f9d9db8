//! A release's page: its card, how it did in the field, and what exactly it is made of.

use fieldmark_protocol::release::{Release, TensorSpec};
use maud::{Markup, html};

use crate::card::card;
use crate::catalogue::tags;
use crate::issues;
use crate::layout::{Document, Place, Section};
use crate::phase;
use crate::text::{self, Digits};
use crate::view::{ModelPage, Placement, Site, Version};

/// The page of one release.
#[must_use]
pub fn model(site: Site, page: &ModelPage) -> Markup {
    let release = &page.release;
    let reference = format!("{}@{}", release.name, release.version);
    let body = html! {
        (head(page))
        (placements(&page.placements))
        (issues::section(&page.issues))
        section aria-labelledby="use" {
            h2 #use { "Use it" }
            pre tabindex="0" { code { "fieldmark pull " (reference) "\nfieldmark infer " (reference) " --input request.json" } }
            p.note {
                @if page.held { "Every artifact is on this node." }
                @else { "This node knows the release but does not hold all of its artifacts." }
            }
        }
        @if let Some(markdown) = &page.card {
            section aria-labelledby="card" {
                h2 #card { "Card" }
                p.note { "Written by the author and checked by nobody." }
                (card(markdown))
            }
        }
        (interface(release))
        (artifacts(release))
        (lineage(page))
    };
    Document {
        title: &reference,
        place: Place::Site(site, Section::Models),
        refreshes: false,
        live: Some(&format!("/models/{}/live", page.id)),
        body,
    }
    .render()
}

fn head(page: &ModelPage) -> Markup {
    let release = &page.release;
    html! {
        p.eyebrow { "Release" }
        h1 { (release.name) span.version { "@" (release.version) } }
        @if page.withdrawn {
            p.banner.bad { strong { "Withdrawn by its author." } " Rows it has in challenges stay." }
        }
        @if !release.summary.is_empty() { p.scenario { (release.summary) } }
        (tags(&release.tags))
        dl.facts {
            div { dt { "Author" } dd { (text::author(&page.author)) } }
            @if !release.task.is_empty() { div { dt { "Task" } dd { (release.task) } } }
            div {
                dt { "Licence" }
                dd { @if release.license.is_empty() { "none stated" } @else { (release.license) } }
            }
            div { dt { "Runtime" } dd { (release.runtime) } }
            div { dt { "Size" } dd { (text::bytes(release.size())) } }
            div { dt { "Published" } dd { (text::time(page.published_at_ms)) } }
            div {
                dt { "News" }
                dd { a.feed href={ "/models/" (page.id) "/feed.atom" } rel="alternate" type="application/atom+xml" { "Atom feed" } }
            }
            div.wide { dt { "Release record" } dd { code.hash { (page.id) } } }
            div.wide { dt { "Author's identity" } dd { code.hash { (page.author.identity) } } }
        }
    }
}

fn placements(placements: &[Placement]) -> Markup {
    html! {
        section aria-labelledby="field" {
            h2 #field { "In the field" }
            @if placements.is_empty() { p.note { "Not entered in any challenge this node knows." } }
            @else {
                div.scroll role="region" aria-label="Challenges this release is entered in" tabindex="0" {
                    table.plain {
                        thead { tr {
                            th scope="col" { "Challenge" } th scope="col" { "Phase" }
                            th.number scope="col" { "Rank" } th.number scope="col" { "Field score" }
                        } }
                        tbody { @for placement in placements { (placed(placement)) } }
                    }
                }
            }
        }
    }
}

fn placed(placement: &Placement) -> Markup {
    let digits = Digits::for_cells(placement.field.iter());
    html! {
        tr {
            th scope="row" { a href={ "/challenges/" (placement.challenge) } { (placement.name) } }
            td { (phase::badge(&placement.phase)) }
            td.number {
                @if let Some(rank) = placement.rank { (text::ranks(rank)) " of " (placement.models) } @else { "–" }
            }
            td.number { @if let Some(field) = &placement.field { (digits.cell(field)) } @else { "–" } }
        }
    }
}

fn interface(release: &Release) -> Markup {
    html! {
        section aria-labelledby="interface" {
            h2 #interface { "Inputs and outputs" }
            div.scroll role="region" aria-label="Inputs and outputs" tabindex="0" {
                table.plain {
                    thead { tr {
                        th scope="col" { "Tensor" } th scope="col" { "Direction" }
                        th scope="col" { "Type" } th scope="col" { "Shape" }
                    } }
                    tbody {
                        @for tensor in &release.inputs { (tensor_row(tensor, "in")) }
                        @for tensor in &release.outputs { (tensor_row(tensor, "out")) }
                    }
                }
            }
            @if !release.labels.is_empty() {
                details {
                    summary { (text::plural(u64::try_from(release.labels.len()).unwrap_or(0), "label")) }
                    p.labels { @for label in &release.labels { code { (label) } " " } }
                }
            }
        }
    }
}

fn tensor_row(tensor: &TensorSpec, direction: &str) -> Markup {
    let size = |&size: &i64| {
        if size < 0 {
            "any".to_owned()
        } else {
            size.to_string()
        }
    };
    let shape: Vec<String> = tensor.shape.iter().map(size).collect();
    html! {
        tr {
            th scope="row" { code { (tensor.name) } }
            td { (direction) } td { (tensor.datatype) } td { (shape.join(" × ")) }
        }
    }
}

fn artifacts(release: &Release) -> Markup {
    html! {
        section aria-labelledby="artifacts" {
            h2 #artifacts { "Artifacts" }
            div.scroll role="region" aria-label="Artifacts" tabindex="0" {
                table.plain {
                    thead { tr { th scope="col" { "Path" } th.number scope="col" { "Size" } th scope="col" { "Hashes" } } }
                    tbody {
                        @for artifact in &release.artifacts {
                            tr {
                                th scope="row" {
                                    code { (artifact.path) }
                                    @if artifact.path == release.entry { " " span.badge { "entry" } }
                                }
                                td.number { (text::bytes(artifact.size)) }
                                td.hashes {
                                    div { span.key { "BLAKE3 " } code.hash { (artifact.blake3) } }
                                    div { span.key { "SHA-256 " } code.hash { (artifact.sha256) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn lineage(page: &ModelPage) -> Markup {
    html! {
        @if page.release.parent.is_some() || !page.versions.is_empty() {
            section aria-labelledby="lineage" {
                h2 #lineage { "Lineage" }
                @if let Some(parent) = page.release.parent {
                    p { "Made from release " a href={ "/models/" (parent) } { code { (parent.short()) } } "." }
                }
                @if !page.versions.is_empty() {
                    p { "Other versions: " }
                    ul.tags { @for version in &page.versions { (version_link(version)) } }
                }
            }
        }
    }
}

fn version_link(version: &Version) -> Markup {
    html! {
        li {
            a href={ "/models/" (version.id) } { (version.version) }
            @if version.withdrawn { " (withdrawn)" }
        }
    }
}
