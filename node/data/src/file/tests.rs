//! Readers against good and bad files.

use std::fs::File;
use std::io::Write as _;

use super::*;
use crate::{Place, SliceRule, Target, TargetKind};

fn csv(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.csv");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn refused(text: &str) -> DataError {
    let (_dir, path) = csv(text);
    crate::open(&path).unwrap_err()
}

#[test]
fn rows_of_a_record_need_not_be_adjacent() {
    let (_dir, path) =
        csv("record_id,slice,label,a,b\nr2,clean,1,0.5,1\nr1,blur,0,3,4\nr2,blur,1,5,6\nr1,clean,0,7,8\n");
    let file = crate::open(&path).unwrap();
    let summary = file.summary().clone();
    assert_eq!((summary.records, summary.rows, summary.features), (2, 4, 2));
    assert_eq!(
        (summary.slices, summary.labels),
        (vec!["blur".into(), "clean".into()], vec!["0".into(), "1".into()])
    );
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(summary.version, blake3::hash(&bytes).to_hex().to_string());
    let sources: Vec<Source> = file.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        sources.iter().map(|s| s.record_id.as_str()).collect::<Vec<_>>(),
        ["r2", "r1"]
    );
    assert_eq!(sources[1].views["blur"].numbers().unwrap(), [3.0, 4.0]);
    assert_eq!(sources[0].views["clean"].numbers().unwrap(), [0.5, 1.0]);
}

#[test]
fn a_missing_column_is_named_with_those_found() {
    let error = refused("record_id,slice,a\nr1,clean,1\n").to_string();
    assert!(
        error.contains("no column 'label'") && error.contains("record_id, slice, a"),
        "{error}"
    );
}

#[test]
fn a_value_that_is_no_finite_number_is_named_with_line_and_column() {
    for (value, word) in [
        ("NaN", "finite"),
        ("inf", "finite"),
        ("1e39", "finite"),
        ("", "number"),
        ("x", "number"),
    ] {
        let error = refused(&format!(
            "record_id,slice,label,a,b\nr1,clean,0,1,2\nr2,clean,0,1,{value}\n"
        ));
        let text = error.to_string();
        assert!(
            text.contains("line 3, column 'b'") && text.contains(word),
            "{text}"
        );
    }
}

#[test]
fn a_view_given_twice_names_both_lines() {
    let error = refused("record_id,slice,label,a\nr1,clean,0,1\nr2,clean,0,1\nr1,clean,0,2\n");
    assert!(
        matches!(
            error,
            DataError::Duplicate {
                place: Place::Line(4),
                first: Place::Line(2),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_record_with_two_labels_is_refused() {
    let error = refused("record_id,slice,label,a\nr1,clean,0,1\nr1,blur,1,1\n");
    assert!(matches!(error, DataError::Label { .. }), "{error}");
}

#[test]
fn records_that_lack_a_slice_are_absent_there_and_counted() {
    let (_dir, path) = csv("record_id,slice,label,a\nr1,clean,0,1\nr1,blur,0,2\nr2,clean,1,3\nr3,blur,0,4\n");
    let file = crate::open(&path).unwrap();
    assert_eq!(file.summary().slices, ["blur", "clean"]);
    assert_eq!(file.summary().slice_records, [2, 2]);
    let warnings = file.profile().warnings.join("\n");
    assert!(
        warnings.contains("slice 'blur': 1 of 3 records are absent"),
        "{warnings}"
    );
    let sources: Vec<Source> = file.records().unwrap().map(Result::unwrap).collect();
    assert!(!sources[1].views.contains_key("blur") && sources[2].views.contains_key("blur"));
}

fn options(change: impl Fn(&mut ReadOptions)) -> ReadOptions {
    let mut options = ReadOptions::default();
    change(&mut options);
    options
}

fn rule(slice: &str, condition: &str) -> SliceRule {
    SliceRule {
        slice: slice.into(),
        condition: condition.into(),
    }
}

#[test]
fn conditions_make_slices_of_attributes_label_group_and_slice() {
    let (_dir, path) = csv(
        "record_id,slice,label,group,attr.hour,site,a\nr1,clean,0,old,23,Kiel,1\nr1,blur,0,old,23,Kiel,2\n\
         r2,clean,1,,12,,3\nr3,clean,1,new,,Bonn,4\n",
    );
    let options = options(|o| {
        o.attributes = vec!["site".into()];
        o.slices = vec![
            rule("night", "hour >= 20 or hour < 6"),
            rule("nowhere", "site is missing"),
            rule("old-blur", "group = 'old' and slice = 'blur'"),
            rule("ones", "label = 1"),
        ];
    });
    let file = crate::open_with(&path, &options).unwrap();
    assert_eq!(
        file.summary().slices,
        ["blur", "clean", "night", "nowhere", "old-blur", "ones"]
    );
    assert_eq!(file.summary().slice_records, [1, 3, 1, 1, 1, 2]);
    assert_eq!(file.summary().groups, ["new", "old"]);
    let sources: Vec<Source> = file.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(sources[0].views["night"].numbers(), Some([1.0].as_slice()));
    assert_eq!(sources[0].views["old-blur"].numbers(), Some([2.0].as_slice()));
    assert_eq!(
        (sources[1].group.as_deref(), sources[1].attributes.get("site")),
        (None, None)
    );
    assert_eq!(sources[2].views.keys().collect::<Vec<_>>(), ["clean", "ones"]);
}

#[test]
fn conditions_that_cannot_hold_are_refused_with_what_is_known() {
    let text = "record_id,label,hour,a\nr1,0,23,1\n";
    let refused = |rule: SliceRule| {
        let (_dir, path) = csv(text);
        let options = options(|o| {
            o.attributes = vec!["hour".into()];
            o.slices = vec![rule.clone()];
        });
        crate::open_with(&path, &options).unwrap_err().to_string()
    };
    let error = refused(rule("x", "minute > 3"));
    assert!(
        error.contains("no attribute 'minute'") && error.contains("hour"),
        "{error}"
    );
    assert!(refused(rule("x", "hour >")).contains("character 7"));
    assert!(refused(rule("clean", "hour > 3")).contains("in the file already"));
    assert!(refused(rule("No Name", "hour > 3")).contains("slice"));
}

#[test]
fn corrupted_views_are_made_while_reading_and_follow_the_secret() {
    let (_dir, path) = csv("record_id,label,a,b,c,d\nr1,0,1,2,3,4\nr2,1,4,3,2,1\n");
    let options = options(|o| {
        let made = |slice: &str, operator: &str| crate::CorruptionRule {
            slice: slice.into(),
            operator: operator.into(),
            severity: 3,
        };
        o.corruptions = vec![made("noisy", "value-noise"), made("dark", "low-light")];
        o.range = Some(crate::Range { low: 0.0, high: 4.0 });
    });
    let views = |secret: u8| -> Vec<Source> {
        let file = crate::open_with(&path, &options).unwrap();
        assert_eq!(file.summary().slice_records, [2, 2, 2]);
        file.records_with(&[secret; 32])
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    assert_eq!(views(1), views(1));
    assert_ne!(views(1)[0].views["noisy"], views(2)[0].views["noisy"]);
    assert!(crate::open_with(&path, &options).unwrap().records().is_err());
    let texts = options_of_text();
    assert!(
        crate::open_with(&path, &texts)
            .unwrap_err()
            .to_string()
            .contains("texts")
    );
}

fn options_of_text() -> ReadOptions {
    options(|o| {
        o.corruptions = vec![crate::CorruptionRule {
            slice: "typos".into(),
            operator: "typos".into(),
            severity: 2,
        }];
    })
}

#[test]
fn texts_are_views_and_get_typos() {
    let (_dir, path) = csv("record_id,label,text\nr1,0,\"the box, wet\"\nr2,1,all is well\n");
    let file = crate::open_with(&path, &options_of_text()).unwrap();
    assert!(file.summary().text && file.summary().features == 0);
    let sources: Vec<Source> = file.records_with(&[1; 32]).unwrap().map(Result::unwrap).collect();
    assert_eq!(sources[0].views["clean"].text(), Some("the box, wet"));
    assert_ne!(sources[0].views["typos"].text(), Some("the box, wet"));
    let mixed = refused("record_id,label,text,x\nr1,0,hello,1\n").to_string();
    assert!(mixed.contains("--attributes"), "{mixed}");
}

#[test]
fn targets_may_be_numbers_or_preferences() {
    let read = |text: &str, kind: TargetKind| {
        let (_dir, path) = csv(text);
        let file = crate::open_with(&path, &options(|o| o.target = kind))?;
        file.records()?
            .map(|s| s.map(|s| s.target))
            .collect::<Result<Vec<_>, _>>()
    };
    let values = read("record_id,target,a\nr1,-0.5,1\nr2,3,1\n", TargetKind::Value).unwrap();
    assert_eq!(values, [Target::Value(-0.5), Target::Value(3.0)]);
    let error = read("record_id,target,a\nr1,NaN,1\n", TargetKind::Value)
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 2, column 'target'"), "{error}");
    let wins = read("record_id,label,a\nr1,a,1\nr2,tie,1\n", TargetKind::Preference).unwrap();
    assert_eq!(wins[1], Target::Preference(crate::Preference::Tie));
    assert!(read("record_id,label,a\nr1,c,1\n", TargetKind::Preference).is_err());
}

#[test]
fn a_check_tells_every_fault_and_what_is_worth_knowing() {
    let (_dir, path) =
        csv("record_id,label,a,b\nr1,x,1,7\nr2,x,NaN,7\nr3,y,2\nr4,x,,7\nr5,x,1,7\nr6,z,9,7\n");
    let options = options(|o| {
        o.labels = vec!["x".into(), "y".into()];
        o.range = Some(crate::Range { low: 0.0, high: 8.0 });
    });
    let report = crate::check(&path, &options).unwrap();
    let errors: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
    let errors = errors.join("\n");
    for words in [
        "line 3, column 'a'",
        "line 4: 3 values",
        "line 5, column 'a'",
        "line 7",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    assert_eq!((report.profile.refused, report.summary.records), (4, 2));
    assert_eq!(report.profile.identical, 1);
    assert_eq!(report.profile.features[0].missing, 1);
    let warnings = report.profile.warnings.join("\n");
    for words in [
        "all records have the label 'x'",
        "no record has the label y",
        "never change",
        "same view",
    ] {
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
    let filled = ReadOptions {
        fill: Some(0.0),
        ..options
    };
    assert_eq!(crate::check(&path, &filled).unwrap().profile.refused, 3);
}

#[test]
fn a_quote_that_never_closes_ends_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.csv");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"record_id,label,a\nr1,0,\"").unwrap();
    for _ in 0..70 {
        file.write_all(&vec![b'7'; 1 << 20]).unwrap();
    }
    let error = crate::open(&path).unwrap_err().to_string();
    assert!(error.contains("quote that is not closed"), "{error}");
}

#[test]
fn a_row_of_another_width_is_refused() {
    let error = refused("record_id,slice,label,a,b\nr1,clean,0,1,2\nr2,clean,0,1\n");
    assert!(
        matches!(
            error,
            DataError::Width {
                place: Place::Line(3),
                expected: 5,
                found: 4,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn empty_files_and_other_formats_are_refused() {
    assert!(matches!(refused(""), DataError::Empty { .. }));
    assert!(matches!(
        refused("record_id,slice,label,a\n"),
        DataError::Empty { .. }
    ));
    assert!(matches!(
        refused("record_id,slice,label\nr1,clean,0\n"),
        DataError::Missing { .. }
    ));
    let folder = tempfile::tempdir().unwrap();
    let sheet = folder.path().join("data.xlsx");
    std::fs::write(&sheet, "x").unwrap();
    assert!(matches!(crate::open(&sheet), Err(DataError::Format { .. })));
    for missing in ["/nowhere/data.csv", "/nowhere/photos"] {
        assert!(matches!(crate::open(missing), Err(DataError::Io { .. })));
    }
}

#[test]
fn a_slice_that_is_not_there_is_named_with_those_found() {
    let (_dir, path) = csv("record_id,slice,label,a\nr1,clean,0,1\n");
    let file = crate::open(&path).unwrap();
    assert!(file.check_slices(["clean"]).is_ok());
    let error = file.check_slices(["clean", "fog"]).unwrap_err().to_string();
    assert!(
        error.contains("'fog'") && error.contains("found are clean"),
        "{error}"
    );
}

#[test]
fn a_slice_or_id_that_is_no_name_is_refused() {
    assert!(
        refused("record_id,slice,label,a\nr1,Low Light,0,1\n")
            .to_string()
            .contains("column 'slice'")
    );
    assert!(
        refused("record_id,slice,label,a\n,clean,0,1\n")
            .to_string()
            .contains("column 'record_id'")
    );
    assert!(
        refused("record_id,slice,label,a\nr1,clean,,1\n")
            .to_string()
            .contains("column 'label'")
    );
}

#[test]
fn a_file_that_changes_between_passes_is_noticed() {
    let (_dir, path) = csv("record_id,slice,label,a\nr1,clean,0,1\nr2,clean,0,1\n");
    let file = crate::open(&path).unwrap();
    std::fs::write(&path, "record_id,slice,label,a\nr9,clean,0,1\nr2,clean,0,1\n").unwrap();
    let mut records = file.records().unwrap();
    assert!(records.any(|record| matches!(record, Err(DataError::Changed { .. }))));
}
