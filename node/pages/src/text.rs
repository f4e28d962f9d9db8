//! Words and numbers as the pages print them. Numbers use a real minus sign and commas; times are UTC.

use std::fmt::Write as _;

use fieldmark_node_core::board::{Cell, Estimate, Fixed};
use maud::{Markup, html};

use crate::view::Author;

/// A fixed-point number as a float, for drawing and printing only.
pub(crate) fn float(value: Fixed) -> f64 {
    value.0.to_f64()
}

/// How many digits scores of one page have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digits(pub(crate) usize);

impl Digits {
    /// Two digits, or three where the narrowest interval is under 0.02 wide.
    pub(crate) fn for_cells<'a>(cells: impl Iterator<Item = &'a Cell>) -> Self {
        let width = |c: &Cell| Some(float(c.hi?) - float(c.lo?));
        let narrowest = cells.filter_map(width).fold(1.0, f64::min);
        Self(if narrowest < 0.02 { 3 } else { 2 })
    }

    /// `0.87`
    pub(crate) fn score(self, value: Fixed) -> String {
        format!("{:.*}", self.0, float(value))
    }

    /// `[0.84, 0.90]`
    pub(crate) fn interval(self, lo: Fixed, hi: Fixed) -> String {
        format!("[{}, {}]", self.score(lo), self.score(hi))
    }

    /// `0.87 [0.84, 0.90]`, or that there is no estimate.
    pub(crate) fn cell(self, cell: &Cell) -> String {
        match (cell.score, cell.lo, cell.hi) {
            (Some(score), Some(lo), Some(hi)) => format!("{} {}", self.score(score), self.interval(lo, hi)),
            (Some(score), ..) => self.score(score),
            _ => "not estimable".into(),
        }
    }

    /// `−0.09` or `+0.02`
    pub(crate) fn change(self, change: f64) -> String {
        let size = format!("{:.*}", self.0, change.abs());
        let zero = size.chars().all(|c| c == '0' || c == '.');
        let sign = if zero {
            "±"
        } else if change < 0.0 {
            "−"
        } else {
            "+"
        };
        format!("{sign}{size}")
    }
}

/// `12,345`
pub(crate) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// `4,312`: an estimate of a whole number.
pub(crate) fn whole_value(estimate: &Estimate) -> String {
    whole(estimate.value)
}

/// `4,255 – 4,369`: its interval.
pub(crate) fn whole_interval(estimate: &Estimate) -> String {
    format!("{} – {}", whole(estimate.lo), whole(estimate.hi))
}

fn whole(value: Fixed) -> String {
    grouped(&format!("{:.0}", float(value)))
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("−", rest));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 report`, `12 reports`
pub(crate) fn plural(value: u64, one: &str) -> String {
    format!("{} {one}{}", count(value), if value == 1 { "" } else { "s" })
}

/// `1.4 MiB`
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return plural(size, "byte");
    }
    let mut unit = "";
    let mut tenths = size.saturating_mul(10);
    for name in UNITS {
        if tenths < 10 * 1024 && !unit.is_empty() {
            break;
        }
        tenths /= 1024;
        unit = name;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// `a`, `a and b`, `a, b and c`
pub(crate) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

/// `2` or `2–4`
pub(crate) fn ranks(rank: [u16; 2]) -> String {
    let [best, worst] = rank;
    if best == worst {
        best.to_string()
    } else {
        format!("{best}–{worst}")
    }
}

/// A δ as `10⁻⁶` or `2.5 × 10⁻⁶`, with real superscripts.
pub(crate) fn power(value: f64) -> Markup {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent = exponent.replace('-', "−");
    html! {
        @if exponent == "0" { (mantissa) } @else {
            @if mantissa != "1" { (mantissa) " × " }
            "10" sup { (exponent) }
        }
    }
}

/// A point in time, to the minute.
pub(crate) fn time(at_ms: u64) -> Markup {
    let (date, clock) = utc(at_ms);
    html! { time datetime={ (date) "T" (clock) "Z" } { (date) " " (clock) " UTC" } }
}

/// A day.
pub(crate) fn day(at_ms: u64) -> Markup {
    let (date, _) = utc(at_ms);
    html! { time datetime=(date) { (date) } }
}

/// Date and clock of a time, by Howard Hinnant's `civil_from_days`.
pub(crate) fn utc(at_ms: u64) -> (String, String) {
    let minutes = at_ms / 60_000;
    let days = minutes / (24 * 60) + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60),
    )
}

/// Who: the name of the profile, if any, with the start of the key, which is what counts.
pub(crate) fn author(author: &Author) -> Markup {
    let key = author.identity.to_string();
    html! {
        @if let Some(name) = &author.name { bdi { (name) } " " }
        code.key title=(key) { (author.identity.short()) }
    }
}

/// `name@version`, which may break before the version.
pub(crate) fn reference(name: &str) -> Markup {
    let (name, version) = name
        .split_once('@')
        .map_or((name, None), |(name, version)| (name, Some(version)));
    html! { (name) @if let Some(version) = version { wbr; span.version { "@" (version) } } }
}

/// A value for a query string: all but unreserved characters percent-encoded (RFC 3986 §2.3).
pub(crate) fn query_value(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(Digits(2).change(-0.094), "−0.09");
        assert_eq!(Digits(2).change(0.001), "±0.00");
        assert_eq!(power(1e-6).into_string(), "10<sup>−6</sup>");
        assert_eq!(power(2.5e-7).into_string(), "2.5 × 10<sup>−7</sup>");
        assert_eq!(ranks([1, 1]), "1");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn times_are_utc_and_know_leap_years() {
        let text = |ms| time(ms).into_string();
        assert!(text(0).contains("1970-01-01 00:00 UTC"));
        assert!(text(1_709_210_096_000).contains("2024-02-29 12:34 UTC"));
        assert!(text(4_102_444_799_000).contains("2099-12-31 23:59 UTC"));
    }

    #[test]
    fn a_query_value_cannot_leave_its_place() {
        assert_eq!(query_value("a b&c=\"<é"), "a%20b%26c%3D%22%3C%C3%A9");
    }
}
