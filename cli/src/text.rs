//! Text for people: tables, sizes, times, and fields of JSON answers. What comes from others is stripped
//! of control characters, which a terminal would obey.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A number from a flag, as JSON can hold it: it has no NaN and no infinity.
pub(crate) fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "a finite number is needed, such as 4 or 1e-6".to_owned())
}

/// A table with a header; columns are as wide as their longest cell. Numbers belong to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let clean: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = clean
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(header.get(column).map(|name| name.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.iter().copied().map(str::trim).collect())];
    lines.extend(
        clean
            .iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}

/// Lines of `name  value`, names padded to the same width; what has no value is left out.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let told = || rows.iter().filter(|(_, value)| !value.trim().is_empty());
    let width = told().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {}", plain(value));
    told().map(line).collect::<Vec<_>>().join("\n")
}

/// A text without control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A field as text; empty when it is not there.
pub(crate) fn string(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => plain(text),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A field as text of several lines, each without control characters.
pub(crate) fn lines(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// A field as a number; 0 when it is not there.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A field as a list; empty when it is not there.
pub(crate) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Texts of a list, joined.
pub(crate) fn joined(value: &Value, name: &str) -> String {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), plain);
    list(value, name).iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The first digits of an id.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(10).collect()
}

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// A fraction with four decimals, or a dash.
pub(crate) fn fraction(value: Option<&Value>) -> String {
    value
        .and_then(Value::as_f64)
        .map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
}

/// A moment as the time from now.
pub(crate) fn when(at_ms: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let span = |ms: u64| match ms / 1000 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    };
    if at_ms > now {
        format!("in {}", span(at_ms - now))
    } else {
        format!("{} ago", span(now - at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_escapes_do_not_reach_the_terminal() {
        let rows = [
            vec!["a\u{1b}[31m".to_owned(), "1".to_owned()],
            vec!["longer".to_owned(), "22".to_owned()],
        ];
        let text = table(&["name", "n"], &rows);
        assert!(!text.contains('\u{1b}'));
        assert_eq!(text.lines().nth(2), Some("longer  22"));
    }

    #[test]
    fn times_are_told_from_now() {
        assert!(when(0).ends_with("days ago"));
        assert!(when(u64::MAX).starts_with("in "));
    }
}
