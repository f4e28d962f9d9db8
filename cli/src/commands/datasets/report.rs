//! What a check found, as text for people.

use serde_json::Value;

use crate::text;

/// Columns that are listed; the others are in the JSON.
const COLUMNS_MAX: usize = 20;

/// Summary, profile, warnings and errors.
pub(super) fn whole(report: &Value) -> String {
    let summary = report.get("summary").unwrap_or(&Value::Null);
    let field = |name: &str| text::string(summary, name);
    let features = if summary.get("text") == Some(&Value::Bool(true)) {
        "texts".to_owned()
    } else {
        field("features")
    };
    let counts = text::list(summary, "slice_records").iter();
    let slices = text::list(summary, "slices").iter().zip(counts);
    let slices: Vec<String> = slices
        .map(|(name, n)| format!("{} ({n})", name.as_str().unwrap_or_default()))
        .collect();
    let head = text::fields(&[
        ("records", field("records")),
        ("rows", field("rows")),
        ("features", features),
        ("label", field("target")),
        ("slices", slices.join(", ")),
        ("version", field("version")),
    ]);
    let mut out = format!(
        "{head}\n\n{}",
        profile(report.get("profile").unwrap_or(&Value::Null))
    );
    for error in text::list(report, "errors") {
        out.push_str(&format!(
            "\nerror: {}",
            text::plain(error.as_str().unwrap_or_default())
        ));
    }
    out
}

/// Labels, columns and warnings.
pub(super) fn profile(profile: &Value) -> String {
    let counts = |name: &str| {
        let counts = profile.get(name).and_then(Value::as_object);
        let shown = counts
            .into_iter()
            .flatten()
            .take(COLUMNS_MAX)
            .map(|(key, n)| format!("{} ({n})", text::plain(key)));
        shown.collect::<Vec<_>>().join(", ")
    };
    let copies = text::number(profile, "identical");
    let head = text::fields(&[
        ("labels", counts("labels")),
        ("groups", counts("groups")),
        (
            "identical",
            if copies == 0 {
                String::new()
            } else {
                copies.to_string()
            },
        ),
    ]);
    let mut rows = Vec::new();
    for kind in ["features", "attributes"] {
        let columns = text::list(profile, kind);
        rows.extend(columns.iter().take(COLUMNS_MAX).map(|column| row(column, kind)));
        if columns.len() > COLUMNS_MAX {
            let more = format!("and {} more", columns.len() - COLUMNS_MAX);
            rows.push(vec![more, kind.to_owned()]);
        }
    }
    let table = if rows.is_empty() {
        String::new()
    } else {
        text::table(&["column", "is", "missing", "min", "max", "mean"], &rows)
    };
    let warnings = text::list(profile, "warnings").iter().filter_map(Value::as_str);
    let warnings = warnings.map(|warning| format!("\nwarning: {}", text::plain(warning)));
    format!("{head}\n\n{table}\n{}", warnings.collect::<String>())
}

fn row(column: &Value, kind: &str) -> Vec<String> {
    let spread = column.get("spread");
    let number = |name: &str| {
        let value = spread.and_then(|s| s.get(name)).and_then(Value::as_f64);
        value.map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"))
    };
    let kind = kind.trim_end_matches('s').to_owned();
    vec![
        text::string(column, "name"),
        kind,
        text::string(column, "missing"),
        number("min"),
        number("max"),
        number("mean"),
    ]
}
