//! A model's news as an Atom feed (RFC 4287).
//!
//! Ids are UUIDs of version 8 (RFC 9562 §5.8) made of the item's id, so that they are the same on every
//! node; dates are those of the records. Everything that an author wrote is text, escaped.

use std::fmt::Write as _;

use fieldmark_ledger::catalogue::Model;
use fieldmark_node_core::news::{News, NewsKind, news_id};
use fieldmark_protocol::id::ContentHash;

use crate::text;
use crate::view::FeedPage;

/// Most items of a feed; the newest are kept.
pub const FEED_ITEMS_MAX: usize = 100;
/// The end of the year 9999, the last that the date format can write.
const LATEST_MS: u64 = 253_402_300_799_000;

/// The feed of one model.
#[must_use]
pub fn feed(page: &FeedPage<'_>) -> String {
    let base = page.base.as_deref().unwrap_or_default();
    let here = format!("{base}/models/{}", page.release);
    let owner = page
        .owner
        .name
        .clone()
        .unwrap_or_else(|| page.owner.identity.short());
    let model = Model {
        owner: page.owner.identity,
        name: page.model.clone(),
    };
    let updated = page
        .items
        .iter()
        .map(|item| item.at_ms)
        .max()
        .unwrap_or(page.published_at_ms);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "<feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <id>{}</id>\n<title>{}</title>\n<updated>{}</updated>\n<author><name>{}</name></author>\n\
         <link rel=\"self\" type=\"application/atom+xml\" href=\"{}\"/>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n",
        urn(&news_id(NewsKind::Release, &model, &[])),
        escaped(&format!("{} by {owner}", page.model)),
        date(updated),
        escaped(&owner),
        escaped(&format!("{here}/feed.atom")),
        escaped(&here),
    );
    for item in page.items.iter().rev().take(FEED_ITEMS_MAX) {
        entry(&mut out, base, item);
    }
    out.push_str("</feed>\n");
    out
}

fn entry(out: &mut String, base: &str, item: &News) {
    let at = date(item.at_ms);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "<entry>\n<id>{}</id>\n<title>{}</title>\n<published>{at}</published>\n<updated>{at}</updated>\n\
         <category term=\"{}\"/>\n<link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n\
         <summary>{}</summary>\n</entry>\n",
        urn(&item.id),
        escaped(&item.title),
        item.kind.name(),
        escaped(&format!("{base}{}", item.path)),
        escaped(&item.detail),
    );
}

/// `urn:uuid:` with version 8 and the variant of RFC 9562.
fn urn(id: &ContentHash) -> String {
    let mut digits: Vec<char> = id.to_string().chars().take(32).collect();
    if let Some(version) = digits.get_mut(12) {
        *version = '8';
    }
    if let Some(variant) = digits.get_mut(16) {
        let value = variant.to_digit(16).unwrap_or(0);
        *variant = char::from_digit(value & 3 | 8, 16).unwrap_or('8');
    }
    let mut out = String::from("urn:uuid:");
    for (at, digit) in digits.into_iter().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

/// RFC 3339, to the second, in UTC.
fn date(at_ms: u64) -> String {
    let at_ms = at_ms.min(LATEST_MS);
    let (day, clock) = text::utc(at_ms);
    format!("{day}T{clock}:{:02}Z", at_ms / 1000 % 60)
}

/// Text for XML 1.0: escaped, without the characters that XML cannot hold.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_8() {
        let id = ContentHash::new([0xff; 32]);
        assert_eq!(urn(&id), "urn:uuid:ffffffff-ffff-8fff-bfff-ffffffffffff");
    }

    #[test]
    fn dates_are_those_of_rfc_3339_and_never_after_9999() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_709_210_096_000), "2024-02-29T12:34:56Z");
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("a<b>&\"c\u{fffe}\u{1b}\nd"), "a&lt;b&gt;&amp;&quot;c\nd");
    }
}
