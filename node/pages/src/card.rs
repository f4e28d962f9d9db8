//! Model cards: Markdown from strangers. Raw HTML is shown as text, images are not loaded, links go
//! only to http, https or relative addresses and carry `rel="nofollow noopener"`.

use fieldmark_protocol::card::{self, Card};
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Most bytes of a card that are shown (64 KiB).
pub const CARD_BYTES_MAX: usize = 64 << 10;

/// Renders a card below the page's own headings: what its header says, then its text.
pub(crate) fn card(markdown: &str) -> Markup {
    let text = start_of(card::body(markdown));
    html! {
        @if let Ok(card) = Card::parse(markdown) { (header(&card)) }
        (body(text))
        @if markdown.len() >= CARD_BYTES_MAX { p.note { "The card is longer; it is cut here." } }
    }
}

/// What the header says and the release does not.
fn header(card: &Card) -> Markup {
    let lists = [
        ("Made from", &card.base_models),
        ("Languages", &card.languages),
        ("Trained on", &card.datasets),
        ("Measured by", &card.metrics),
    ];
    html! {
        dl.facts {
            @if !card.library.is_empty() { div { dt { "Library" } dd { (card.library) } } }
            @if !card.license_link.is_empty() { div { dt { "Licence text" } dd { (card.license_link) } } }
            @for (what, list) in lists {
                @if !list.is_empty() { div { dt { (what) } dd { (list.join(", ")) } } }
            }
        }
    }
}

fn body(shown: &str) -> Markup {
    let parser = Parser::new_ext(shown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let mut open_links = Vec::new();
    let events = parser.flat_map(|event| defused(event, &mut open_links));
    let mut body = String::with_capacity(shown.len() * 2);
    pulldown_cmark::html::push_html(&mut body, events);
    html! { div.card { (PreEscaped(body)) } }
}

fn start_of(markdown: &str) -> &str {
    let end = (0..=CARD_BYTES_MAX.min(markdown.len()))
        .rev()
        .find(|at| markdown.is_char_boundary(*at));
    markdown.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Replaces what could act by what only shows. `open_links` remembers which links were kept.
fn defused<'a>(event: Event<'a>, open_links: &mut Vec<bool>) -> Option<Event<'a>> {
    Some(match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::Link { dest_url, .. }) => {
            let start = link_start(&dest_url);
            open_links.push(start.is_some());
            Event::InlineHtml(start?)
        }
        Event::End(TagEnd::Link) => {
            let kept = open_links.pop().unwrap_or(false);
            return kept.then_some(Event::InlineHtml("</a>".into()));
        }
        Event::Start(Tag::Image { .. }) => Event::Text("[image not loaded: ".into()),
        Event::End(TagEnd::Image) => Event::Text("]".into()),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        // Alignment would come as an inline style, which the pages' policy forbids.
        Event::Start(Tag::Table(columns)) => {
            Event::Start(Tag::Table(columns.iter().map(|_| Alignment::None).collect()))
        }
        Event::Start(Tag::Heading { level, .. }) => Event::Start(Tag::Heading {
            level: below(level),
            id: None,
            classes: vec![],
            attrs: vec![],
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below(level))),
        other => other,
    })
}

/// The page has its own first and second level.
fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

fn link_start(address: &str) -> Option<CowStr<'static>> {
    let address = allowed(address)?;
    let escaped = html! { (address) }.into_string();
    Some(format!("<a href=\"{escaped}\" rel=\"nofollow noopener\">").into())
}

/// The address without the characters that browsers skip, if it is http, https or relative.
fn allowed(address: &str) -> Option<String> {
    let address: String = address
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .collect();
    let end = address.find([':', '/', '?', '#']);
    let scheme = end.filter(|at| address.get(*at..).is_some_and(|rest| rest.starts_with(':')));
    let scheme = scheme
        .and_then(|at| address.get(..at))
        .map(str::to_ascii_lowercase);
    scheme
        .is_none_or(|s| s == "http" || s == "https")
        .then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(markdown: &str) -> String {
        card(markdown).into_string()
    }

    #[test]
    fn raw_html_is_text() {
        let page = rendered("<script>alert(1)</script>\n\ntext <img src=x onerror=alert(1)> end");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(
            page.contains("&lt;script&gt;") && page.contains("&lt;img"),
            "{page}"
        );
    }

    #[test]
    fn links_go_only_where_a_link_should() {
        for bad in [
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](<java\tscript:alert(1)>)",
            "[x](javascript&colon;alert(1))",
            "[x](data:text/html,hi)",
            "<vbscript:x>",
        ] {
            assert!(!rendered(bad).contains("<a "), "{bad} became {}", rendered(bad));
        }
        for good in [
            "[x](https://example.org/a?b=\"c\")",
            "[x](docs/use.md)",
            "[x](#part:two)",
            "<http://e.org>",
        ] {
            let page = rendered(good);
            assert!(
                page.contains("rel=\"nofollow noopener\"") && page.contains("</a>"),
                "{page}"
            );
        }
        assert!(!rendered("[x](https://e.org/\"onmouseover=\"alert)").contains("\"onmouseover"));
    }

    #[test]
    fn images_are_named_but_not_loaded() {
        let page = rendered("![a plot](https://tracker.example/pixel.png)");
        assert!(!page.contains("tracker.example"), "{page}");
        assert!(page.contains("[image not loaded: a plot]"), "{page}");
    }

    #[test]
    fn headings_go_below_the_pages_own_and_a_long_card_is_cut() {
        assert!(rendered("# Title").contains("<h3>Title</h3>"));
        let page = rendered(&"é".repeat(CARD_BYTES_MAX));
        assert!(page.contains("cut here") && page.len() < CARD_BYTES_MAX + 200);
    }
}
