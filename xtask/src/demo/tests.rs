//! What the demo says about a board, and when it does not accept one.

use std::collections::BTreeSet;

use super::cast::{COMPANIES, FIELD, IMAGES, TRAINING, everyone};
use super::scoreboard::{Scoreboard, Widths};

fn board(field_half: f64) -> Scoreboard {
    let cell = |score: f64, half: f64| {
        format!(
            r#"{{"score": {score}, "lo": {}, "hi": {}}}"#,
            score - half,
            score + half
        )
    };
    let row = |name: &str, rank: &str, field: f64, clean: f64| {
        format!(
            r#"{{"release": "00", "name": "{name}", "rank": {rank}, "score": {field}, "lo": {}, "hi": {},
            "slices": {{"clean": {}, "blur": {}}}, "worst_slice": "blur"}}"#,
            field - field_half,
            field + field_half,
            cell(clean, 0.03),
            cell(2.0 * field - clean, 0.05)
        )
    };
    let text = format!(
        r#"{{"name": "digits", "checkpoint": "ab", "epsilon": 2.0, "delta": 1e-6, "unit": "record",
        "contributors": 5, "clean_slice": "clean", "records": null, "models": [{}, {}]}}"#,
        row("steady@1.0.0", "[1, 1]", 0.8, 0.85),
        row("fragile@1.0.0", "[2, 2]", 0.7, 0.95)
    );
    Scoreboard::parse(&text).unwrap()
}

#[test]
fn a_change_between_clean_and_field_is_told() {
    let text = board(0.03).to_string();
    assert!(text.contains("steady@1.0.0: 2 → 1, 5.0 points less"), "{text}");
    assert!(text.contains("fragile@1.0.0: 1 → 2, 25.0 points less"), "{text}");
}

#[test]
fn intervals_that_are_too_wide_fail_with_their_widths() {
    let widths = board(0.03).widths().unwrap();
    assert!(
        (widths.field - 3.0).abs() < 1e-9 && (widths.slice - 5.0).abs() < 1e-9,
        "{widths:?}"
    );
    assert!(widths.check().is_ok());
    let error = board(0.045).widths().unwrap().check().unwrap_err().to_string();
    assert!(error.contains("±4.5 points for a field score"), "{error}");
}

#[test]
fn a_missing_report_fails() {
    assert!(board(0.03).check(5, 2).is_ok());
    assert!(
        board(0.03)
            .check(4, 2)
            .unwrap_err()
            .to_string()
            .contains("5 reports")
    );
    assert!(
        board(0.03)
            .check(5, 3)
            .unwrap_err()
            .to_string()
            .contains("2 models")
    );
}

#[test]
fn expectations_are_read_from_the_plan() {
    let row =
        |reports: u32, field: f64| serde_json::json!({"reports": reports, "field": field, "slice": 0.041});
    let plan = serde_json::json!({"expected": [row(4, 0.05), row(5, 0.029)]});
    let expected = Widths::expected(&plan, 5).unwrap();
    assert_eq!(expected.to_string(), "field ±2.9 points, slice ±4.1 points");
    assert!(Widths::expected(&plan, 6).is_err());
}

#[test]
fn nobody_holds_what_the_models_were_trained_on() {
    assert!(TRAINING.end <= FIELD.start && COMPANIES.len() * IMAGES <= FIELD.len());
    let names: BTreeSet<&str> = everyone().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 11);
}
