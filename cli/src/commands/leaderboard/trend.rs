//! The windows of a challenge as text: a row per model, a column per window.

use serde_json::Value;

use crate::text;

/// Newest windows that a terminal has room for.
const SHOWN_MAX: usize = 6;

/// The table, and what is certain.
pub(super) fn trend_text(trend: &Value) -> String {
    let windows = text::list(trend, "windows");
    let first = windows.len().saturating_sub(SHOWN_MAX);
    let names: Vec<String> = windows
        .iter()
        .skip(first)
        .map(|w| text::string(w, "name"))
        .collect();
    let header: Vec<&str> = std::iter::once("model")
        .chain(names.iter().map(String::as_str))
        .collect();
    let models = text::list(trend, "models");
    let row = |model: &Value| {
        let cells = (first..windows.len()).map(|window| cell(model, window));
        std::iter::once(text::string(model, "name"))
            .chain(cells)
            .collect()
    };
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let mut lines = vec![text::table(&header, &rows), String::new()];
    let name = |change: &Value, key: &str| {
        let at = usize::try_from(text::number(change, key)).unwrap_or(usize::MAX);
        windows
            .get(at)
            .map(|w| text::string(w, "name"))
            .unwrap_or_default()
    };
    let mut certain = 0;
    for model in models {
        for change in text::list(model, "changes") {
            let direction = text::string(change, "direction");
            if direction == "unclear" {
                continue;
            }
            certain += 1;
            let number = |key: &str| change.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            lines.push(format!(
                "{} {direction} by {:.4} [{:+.4}, {:+.4}] from {} to {}",
                text::string(model, "name"),
                number("difference").abs(),
                number("lo"),
                number("hi"),
                name(change, "from"),
                name(change, "to")
            ));
        }
    }
    if certain == 0 {
        lines.push("no change between neighbouring windows is certain".to_owned());
    }
    lines.join("\n")
}

/// A model's score in a window with its interval and the sign of a certain change; empty where it was not
/// entered or nothing is released.
fn cell(model: &Value, window: usize) -> String {
    let is = |value: &Value, key: &str| usize::try_from(text::number(value, key)) == Ok(window);
    let Some(point) = text::list(model, "points")
        .iter()
        .find(|point| is(point, "window"))
    else {
        return String::new();
    };
    let number = |key: &str| point.get("field").and_then(|field| field.get(key)?.as_f64());
    let sign = text::list(model, "changes")
        .iter()
        .find(|change| is(change, "to"));
    let sign = match sign.map(|change| text::string(change, "direction")).as_deref() {
        Some("rose") => " ▲",
        Some("fell") => " ▼",
        _ => "",
    };
    match (number("score"), number("lo"), number("hi")) {
        (Some(score), Some(lo), Some(hi)) => format!("{score:.3} [{lo:.3}, {hi:.3}]{sign}"),
        _ => "hidden".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_window_and_words_for_what_is_certain() {
        let field =
            |score: f64| serde_json::json!({ "score": score, "lo": score - 0.01, "hi": score + 0.01 });
        let trend = serde_json::json!({
            "windows": [{ "name": "w0" }, { "name": "w1" }],
            "models": [
                { "name": "a@1", "points": [{ "window": 0, "field": field(0.9) }, { "window": 1, "field": field(0.8) }],
                  "changes": [{ "from": 0, "to": 1, "difference": -0.1, "lo": -0.12, "hi": -0.08, "direction": "fell" }] },
                { "name": "b@1", "points": [{ "window": 1, "field": { "score": null } }], "changes": [] },
            ],
        });
        let text = trend_text(&trend);
        assert!(
            text.contains("0.800 [0.790, 0.810] ▼") && text.contains("hidden"),
            "{text}"
        );
        assert!(
            text.contains("a@1 fell by 0.1000 [-0.1200, -0.0800] from w0 to w1"),
            "{text}"
        );
    }
}
