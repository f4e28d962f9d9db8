//! What a writer of conditions would notice.

use proptest::prelude::*;

use super::*;

fn holds(condition: &str, values: &[(&str, &str)]) -> bool {
    let predicate = Predicate::parse(condition).unwrap_or_else(|e| panic!("{condition}: {e}"));
    predicate.holds(|name| values.iter().find(|(n, _)| *n == name).map(|(_, value)| *value))
}

#[test]
fn conditions_mean_what_they_say() {
    let row = [
        ("hour", "23"),
        ("site", "Kiel"),
        ("label", "3"),
        ("per cent", "1e1"),
    ];
    for (condition, expected) in [
        ("hour >= 20 or hour < 6", true),
        ("hour < 6 OR hour > 23", false),
        ("hour = 23", true),
        ("hour == 23.0", true),
        ("hour = '23.0'", false),
        ("hour != 23", false),
        ("site = \"Kiel\" and label in [1, 2, 3]", true),
        ("site in ['Bonn', 'Kiel']", true),
        ("site not in ['Bonn']", true),
        ("not site = 'Kiel'", false),
        ("not (site = 'Kiel' and hour > 23)", true),
        ("`per cent` <= 10", true),
        ("hour > -1.5e0", true),
        // And binds closer than or.
        ("label = 3 or label = 4 and hour = 0", true),
        ("(label = 3 or label = 4) and hour = 0", false),
    ] {
        assert_eq!(holds(condition, &row), expected, "{condition}");
    }
}

#[test]
fn what_is_missing_or_no_number_compares_with_nothing() {
    let row = [("hour", "late")];
    for condition in [
        "hour > 5",
        "hour != 5",
        "hour not in [5]",
        "age = 1",
        "age != 'x'",
        "age not in ['x']",
    ] {
        let expected = condition == "hour not in [5]";
        assert_eq!(holds(condition, &row), expected, "{condition}");
    }
    assert!(holds("age is missing and hour is not missing", &row));
    assert!(!holds("hour is missing", &row));
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    for (condition, place, words) in [
        ("", 1, "a column's name"),
        ("hour", 5, "a comparison"),
        ("hour >= ", 9, "a number or a text"),
        ("hour >= 20 and", 15, "a column's name"),
        ("hour >= 20 hour", 12, "'and', 'or' or the end, found 'hour'"),
        ("(hour >= 20", 12, "')'"),
        ("hour in 20", 9, "'['"),
        ("hour in [20", 12, "',' or ']'"),
        ("site = Kiel", 8, "found 'Kiel'"),
        ("site = 'Kiel", 8, "closing '"),
        ("hour > 1e999", 8, "no finite number"),
        ("hour ~ 3", 6, "'~'"),
        ("hour is late", 9, "'missing'"),
        ("hour not 5", 10, "'in'"),
    ] {
        let error = Predicate::parse(condition).unwrap_err();
        assert_eq!(error.at, place, "{condition}: {error}");
        assert!(error.detail.contains(words), "{condition}: {error}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = format!("{}a = 1{}", "(".repeat(40), ")".repeat(40));
    assert!(Predicate::parse(&deep).unwrap_err().detail.contains("32 levels"));
    let many = vec!["a = 1"; 257].join(" or ");
    assert!(
        Predicate::parse(&many)
            .unwrap_err()
            .detail
            .contains("256 comparisons")
    );
    let long = format!("a = '{}'", "x".repeat(5000));
    assert!(Predicate::parse(&long).unwrap_err().detail.contains("4096 bytes"));
    let nots = "not ".repeat(1000) + "a = 1";
    assert!(Predicate::parse(&nots).is_err());
}

#[test]
fn the_names_asked_for_are_listed() {
    let predicate = Predicate::parse("a = 1 and (b in [2] or not `c d` is missing)").unwrap();
    assert_eq!(predicate.names(), ["a", "b", "c d"]);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,80}") {
        let _ = Predicate::parse(&text).map(|p| p.holds(|_| Some("1")));
    }

    #[test]
    fn texts_of_tokens_are_parsed_or_refused(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "a", "not", "and", "or", "in", "is", "missing", "(", ")", "[", "]", ",", "1", "'x'", "<", "=",
            ]),
            0..20,
        )
    ) {
        let _ = Predicate::parse(&parts.join(" ")).map(|p| p.holds(|_| None));
    }
}
