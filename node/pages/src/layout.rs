//! The frame of every page: head, header, footer, style sheet, and the policy that keeps every script out
//! but the project's own.

use std::fmt::Write as _;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::view::Site;

/// Renews a page when its node says that what it shows has changed.
const LIVE: &str = include_str!("live.js");
pub(crate) const STYLE: &str = include_str!("style.css");

/// Seconds after which a page of something under way loads itself again.
const REFRESH_SECONDS: u32 = 10;

/// The mark: a score in the lab (hollow), the interval in the field (filled).
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
    %3Cpath d='M2 21h22' stroke='%230d6b54' stroke-width='2'/%3E\
    %3Crect x='6' y='17' width='14' height='8' rx='2' fill='%230d6b54'/%3E\
    %3Ccircle cx='25' cy='9' r='4.5' fill='none' stroke='%23687a72' stroke-width='2.5'/%3E%3C/svg%3E";

/// Where a page is read, which decides what it links to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a node, beside the other pages.
    Site(Site, Section),
    /// In a file of its own.
    File,
    /// On a server of models, which has no other page and knows no records.
    Server,
}

impl Place {
    /// Whether it has no other pages beside it.
    fn is_alone(self) -> bool {
        matches!(self, Self::File | Self::Server)
    }
}

/// The part of the site a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Models,
    Challenges,
    Other,
}

/// A whole document.
pub(crate) struct Document<'a> {
    pub(crate) title: &'a str,
    pub(crate) place: Place,
    /// Whether it loads itself again where scripts are off.
    pub(crate) refreshes: bool,
    /// Where the node says by server-sent events that the page has changed.
    pub(crate) live: Option<&'a str>,
    pub(crate) body: Markup,
}

impl Document<'_> {
    pub(crate) fn render(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head { (self.head()) }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (header(self.place))
                    @if let Place::Site(Site { isolation_off: true }, _) = self.place {
                        div.bar { (isolation_off("A model on this node can read files, reach the network and do whatever its user can.")) }
                    }
                    main #main data-live=[self.live] { (self.body) }
                    (footer(self.place))
                    @if self.live.is_some() { script { (PreEscaped(LIVE)) } }
                }
            }
        }
    }

    fn head(&self) -> Markup {
        html! {
            meta charset="utf-8";
            @if self.place.is_alone() {
                meta http-equiv="Content-Security-Policy" content=(content_security_policy_of_file());
            }
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            @if self.refreshes {
                @if self.live.is_some() {
                    noscript { meta http-equiv="refresh" content=(REFRESH_SECONDS); }
                } @else {
                    meta http-equiv="refresh" content=(REFRESH_SECONDS);
                }
            }
            title { (self.title) " · Fieldmark" }
            link rel="icon" href=(PreEscaped(ICON));
            style { (PreEscaped(STYLE)) }
        }
    }
}

fn header(place: Place) -> Markup {
    let current = |section| matches!(place, Place::Site(_, at) if at == section).then_some("page");
    html! {
        header.site {
            div.bar {
                @if place.is_alone() {
                    span.brand { (mark()) "Fieldmark" }
                } @else {
                    a.brand href="/" { (mark()) "Fieldmark" }
                    nav aria-label="Pages" {
                        a href="/" aria-current=[current(Section::Models)] { "Models" }
                        a href="/challenges" aria-current=[current(Section::Challenges)] { "Challenges" }
                    }
                }
            }
        }
    }
}

/// Said wherever models run without isolation.
pub(crate) fn isolation_off(what_follows: &str) -> Markup {
    html! { p.banner.bad role="alert" { strong { "Isolation is off." } " " (what_follows) } }
}

fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" {
            path.mark-line d="M2 21h22" {}
            rect.mark-bar x="6" y="17" width="14" height="8" rx="2" {}
            circle.mark-lab cx="25" cy="9" r="4.5" {}
        }
    }
}

fn footer(place: Place) -> Markup {
    html! {
        footer.site {
            div.bar {
                p {
                    "A benchmark score says how a model did in the lab. Fieldmark shows how it does in the \
                     field."
                    @if place == Place::Server {
                        " Every number here was measured by this server since it started."
                    } @else {
                        " Every number comes from signed records that anyone can recompute and check."
                    }
                }
                @if !place.is_alone() { p { a href="/status" { "About this node" } } }
            }
        }
    }
}

/// The `Content-Security-Policy` header for every page: nothing loads, and nothing runs but the script that
/// renews a page, which asks only its own node. Script and style sheet are known by their hashes.
#[must_use]
pub fn content_security_policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        base64(&Sha256::digest(STYLE.as_bytes())),
        base64(&Sha256::digest(LIVE.as_bytes()))
    )
}

/// The policy of a page that carries it itself: without scripts, and without `frame-ancestors`, which has
/// no meaning there.
fn content_security_policy_of_file() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; form-action 'none'; base-uri 'none'",
        base64(&Sha256::digest(STYLE.as_bytes()))
    )
}

/// RFC 4648 §4, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |sum, at| {
            sum << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let digit = ALPHABET
                .get(group >> (18 - 6 * place) & 63)
                .copied()
                .unwrap_or(b'=');
            let _ = out.write_char(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_script_cannot_end_its_element_and_names_no_other_machine() {
        assert!(!LIVE.contains("</") && !LIVE.contains("://") && !LIVE.contains("eval"));
    }

    #[test]
    fn the_style_sheet_loads_nothing_and_cannot_end_its_element() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
    }
}
