//! A small challenge-level simulation.

use super::*;

const SCENARIO: &str = r#"
level = "challenge"
name = "small <field>"
clients = 1200
records = 6
epsilon = 2.0
delta = 1e-6
aggregators = 3
groups = 3
windows = 2
model = [{ name = "hare", skill = 1.8, drift = -0.2 }, { name = "tortoise", skill = 0.9 }]
slice = [{ name = "clean", harshness = 0.0 }, { name = "low-light", harshness = 0.8 }]
"#;

#[test]
fn the_same_seed_gives_the_same_report_on_any_number_of_threads() {
    let scenario = FieldScenario::parse(SCENARIO).unwrap();
    let one = scenario.run(7, 1).unwrap();
    assert_eq!(one, scenario.run(7, 3).unwrap());
    assert_ne!(one.hash, scenario.run(8, 3).unwrap().hash);
}

#[test]
fn the_report_shows_groups_windows_ranks_and_strengths() {
    let report = FieldScenario::parse(SCENARIO).unwrap().run(1, 0).unwrap();
    // Per window: all, three groups, three left out; and everything pooled. Two models, three columns.
    assert_eq!(report.cells.len(), (2 * 7 + 1) * 2 * 3);
    assert!(report.separable && report.covered > 0.8);
    let strengths = report.strengths.as_ref().unwrap();
    assert!(strengths.strengths[0].value > strengths.strengths[1].value);
    let page = report.html();
    assert!(
        page.contains("small &lt;field&gt;") && page.contains("without group 3") && page.contains("window 2")
    );
    // The hare drifts down, by more than the intervals are wide.
    assert!(page.contains("window 2, fell") && !page.contains("hidden"));
    assert!(report.table().unwrap().parquet().unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_slice_of_too_few_records_is_hidden() {
    let rare = SCENARIO.replace("harshness = 0.8 }", "harshness = 0.8, share = 0.001 }");
    let report = FieldScenario::parse(&rare).unwrap().run(1, 0).unwrap();
    let shown = |column: &str| {
        let cells = report.cells.iter().filter(|cell| cell.column == column);
        cells.map(|cell| cell.score.is_some()).collect::<Vec<_>>()
    };
    assert!(shown("low-light").iter().all(|shown| !shown));
    assert!(shown("clean").iter().all(|shown| *shown));
    assert!(report.html().contains("hare, hidden"));
}

#[test]
fn bad_scenarios_are_named() {
    let with = |from: &str, to: &str| {
        FieldScenario::parse(&SCENARIO.replace(from, to))
            .unwrap_err()
            .to_string()
    };
    assert!(with("clients = 1200", "clients = 0").contains("clients is 0"));
    assert!(with("aggregators = 3", "aggregators = 1").contains("aggregators is 1"));
    assert!(with("skill = 1.8", "skill = inf").contains("finite"));
    assert!(with("harshness = 0.8", "harshness = 0.8, share = 1.5").contains("share of slice 'low-light'"));
    assert!(with("harshness = 0.0", "harshness = 0.0, share = 0.5").contains("share of slice 'clean'"));
    assert!(FieldScenario::parse("level = 3").is_err());
    assert!(is_challenge_level(SCENARIO) && !is_challenge_level("name = \"x\""));
}
