//! Issues: the list on a model's page, and an issue's own page with its comments.

use fieldmark_protocol::issue::Environment;
use maud::{Markup, html};

use crate::card::card;
use crate::layout::{Document, Place, Section};
use crate::text;
use crate::view::{CommentEntry, Hidden, IssueEntry, IssueList, IssuePage, Site};

/// The issues of a model as a section of its page.
pub(crate) fn section(list: &IssueList) -> Markup {
    let open = list.issues.iter().filter(|issue| issue.open).count();
    let count = |n: usize| text::count(u64::try_from(n).unwrap_or(0));
    html! {
        section aria-labelledby="issues" {
            h2 #issues { "Issues" }
            @if list.issues.is_empty() { p.note { "Nobody has reported anything about this model." } }
            @else {
                p.meta { (count(open)) " open, " (count(list.issues.len() - open)) " closed" }
                ul.issues { @for issue in &list.issues { (row(issue)) } }
            }
            (hidden(&list.hidden, "issue"))
            p.note { "Report one with " code { "fieldmark issue open " (list.reference) " --title … --body …" } "." }
        }
    }
}

fn row(issue: &IssueEntry) -> Markup {
    html! {
        li {
            (badge(issue.open)) " "
            a href={ "/issues/" (issue.id) } { (issue.title) }
            p.meta {
                (text::author(&issue.author)) " · " (text::day(issue.created_at_ms)) " · on " (issue.version)
                @if let Some(slice) = &issue.slice { " · slice " (slice) }
            }
        }
    }
}

fn badge(open: bool) -> Markup {
    html! { @if open { span.badge.live { "open" } } @else { span.badge.good { "closed" } } }
}

/// What a flood was cut down by.
fn hidden(hidden: &[Hidden], what: &str) -> Markup {
    html! {
        @for one in hidden {
            p.note.collapsed {
                (text::plural(u64::try_from(one.count).unwrap_or(u64::MAX), what)) " more by "
                (text::author(&one.author)) " collapsed: one identity's newest are shown."
            }
        }
    }
}

/// The page of one issue.
#[must_use]
pub fn issue(site: Site, page: &IssuePage) -> Markup {
    let issue = &page.issue;
    let body = html! {
        p.eyebrow {
            "Issue on " a href={ "/models/" (page.release) } { (text::reference(&page.reference)) } " " (badge(issue.open))
        }
        h1 { (issue.title) }
        p.meta {
            "Reported by " (text::author(&issue.author)) " · " (text::time(issue.created_at_ms))
            @if let Some(change) = &page.change {
                " · " @if issue.open { "reopened by " } @else { "closed by " }
                (text::author(&change.by)) " " (text::time(change.at_ms))
            }
        }
        @if !page.body.is_empty() { (card(&page.body)) }
        (facts(page))
        (comments(page))
    };
    Document {
        title: &issue.title,
        place: Place::Site(site, Section::Models),
        refreshes: false,
        live: Some(&format!("/models/{}/live", page.release)),
        body,
    }
    .render()
}

fn facts(page: &IssuePage) -> Markup {
    let told = |environment: &Environment| {
        environment
            .values()
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.to_owned()))
            .collect::<Vec<_>>()
    };
    html! {
        dl.facts {
            div { dt { "Release" } dd { (text::reference(&page.reference)) } }
            @if let Some(slice) = &page.issue.slice { div { dt { "Slice" } dd { (slice) } } }
            @if let Some(environment) = &page.environment {
                @for (name, value) in told(environment) { div { dt { (name) } dd { (value) } } }
            }
            div.wide { dt { "Issue record" } dd { code.hash { (page.issue.id) } } }
        }
    }
}

fn comments(page: &IssuePage) -> Markup {
    html! {
        section aria-labelledby="comments" {
            h2 #comments { "Comments" }
            @if page.comments.is_empty() { p.note { "No comments." } }
            ol.comments { @for comment in &page.comments { (entry(comment)) } }
            (hidden(&page.hidden, "comment"))
        }
    }
}

fn entry(comment: &CommentEntry) -> Markup {
    html! {
        li {
            p.meta {
                (text::author(&comment.author)) " · " (text::time(comment.created_at_ms))
                @if let Some(opens) = comment.opens {
                    " · " @if opens { "reopened this" } @else { "closed this" }
                }
            }
            @if !comment.body.is_empty() { (card(&comment.body)) }
        }
    }
}
