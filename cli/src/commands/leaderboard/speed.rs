//! How fast the models are here, as text.

use serde_json::Value;

use crate::text;

/// The times of all models, or why there are none.
pub(super) fn speed_text(found: &Value) -> String {
    let row = |model: &Value| {
        let number = |key: &str| model.get(key).and_then(Value::as_f64);
        let ms = |key: &str| number(key).map_or(String::new(), |ms| format!("{ms:.3} ms"));
        if let Some(error) = model.get("error").and_then(Value::as_str) {
            return vec![text::short(&text::string(model, "release")), error.to_owned()];
        }
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
    let rows: Vec<Vec<String>> = text::list(found, "models").iter().map(row).collect();
    format!(
        "{}\n\nMeasured on this machine with the models' public samples; no part of the board, which is the same \
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
