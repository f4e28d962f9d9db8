//! How fast the models are here, as text.

use serde_json::Value;

use crate::text;

fn error(model: &Value) -> Option<&str> {
    model.get("error").and_then(Value::as_str)
}

/// The times of all models; below the table, why some have none.
pub(super) fn speed_text(found: &Value) -> String {
    let models = text::list(found, "models");
    let failures: String = models
        .iter()
        .filter_map(|model| {
            let release = text::short(&text::string(model, "release"));
            Some(format!("\n{release}: {}", text::plain(error(model)?)))
        })
        .collect();
    let row = |model: &Value| {
        let number = |key: &str| model.get(key).and_then(Value::as_f64);
        let ms = |key: &str| number(key).map_or(String::new(), |ms| format!("{ms:.3} ms"));
        let memory = number("memory_bytes_peak").unwrap_or(0.0) / f64::from(1 << 20);
        vec![
            text::string(model, "name"),
            ms("p50_ms"),
            ms("p95_ms"),
            ms("p99_ms"),
            format!("{memory:.0} MiB"),
            number("energy_joules").map_or("not readable here".to_owned(), |j| format!("{j:.3} J")),
        ]
    };
    let timed = models.iter().filter(|model| error(model).is_none());
    let rows: Vec<Vec<String>> = timed.map(row).collect();
    format!(
        "{}{failures}\n\nMeasured on this machine with the models' public samples; no part of the board, which is the same \
         everywhere. This node's page of the challenge shows them beside it.",
        text::table(
            &["model", "p50", "p95", "p99", "memory", "energy a request"],
            &rows
        )
    )
}

/// Latency and energy of a release as two cells; dashes where nobody measured.
pub(super) fn cells(board: &Value, release: &str) -> [String; 2] {
    let speed = text::list(board, "speed")
        .iter()
        .find(|s| text::string(s, "release") == release);
    let number = |key: &str| speed.and_then(|s| s.get(key)?.as_f64());
    let shown =
        |value: Option<f64>, unit: &str| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3} {unit}"));
    [shown(number("p50_ms"), "ms"), shown(number("energy_joules"), "J")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_that_was_not_timed_is_named_below_the_table() {
        let found = json!({"models": [
            {"release": "00112233445566778899", "name": "sharp", "p50_ms": 1.5, "p95_ms": 2.0, "p99_ms": 2.5},
            {"release": "ffeeddccbbaa99887766", "error": "its memory\nwas exceeded"},
        ]});
        let text = speed_text(&found);
        let lines: Vec<&str> = text.lines().take(3).collect();
        assert!(lines[1].starts_with("sharp  1.500 ms  2.000 ms"), "{text}");
        assert_eq!(lines[2], "ffeeddccbb: its memory was exceeded");
    }
}
