//! Readers against good and bad files.

use std::io::Write as _;

use super::*;
use crate::Place;

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
        ["r1", "r2"]
    );
    assert_eq!(sources[0].views["blur"].numbers().unwrap(), [3.0, 4.0]);
    assert_eq!(sources[1].views["clean"].numbers().unwrap(), [0.5, 1.0]);
}

#[test]
fn a_missing_column_is_named_with_those_found() {
    let error = refused("record_id,label,a\nr1,0,1\n").to_string();
    assert!(
        error.contains("no column 'slice'") && error.contains("record_id, label, a"),
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
fn records_that_lack_a_slice_are_counted_and_named() {
    let error = refused("record_id,slice,label,a\nr1,clean,0,1\nr1,blur,0,1\nr2,clean,0,1\nr3,blur,0,1\n");
    let text = error.to_string();
    assert!(
        text.contains("2 of 3 records") && text.contains("'r2' lacks blur"),
        "{text}"
    );
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
    assert!(matches!(
        crate::open("data.parquet"),
        Err(DataError::Format { .. })
    ));
    assert!(matches!(
        crate::open("/nowhere/data.csv"),
        Err(DataError::Io { .. })
    ));
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
    assert!(matches!(
        file.records().unwrap().next(),
        Some(Err(DataError::Changed { .. }))
    ));
}

/// Builds an NPZ file of 2 records × 1 slice with the given features array.
fn npz(features_type: &str, shape: &str, features: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let mut member = |name: &str, descr: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        archive
            .start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
        archive
            .write_all(&u16::try_from(header.len()).unwrap().to_le_bytes())
            .unwrap();
        archive.write_all(header.as_bytes()).unwrap();
        archive.write_all(data).unwrap();
    };
    member(
        "record_id.npy",
        "<i8",
        "(2,)",
        &[7_i64, 5].map(i64::to_le_bytes).concat(),
    );
    member("slice.npy", "|S5", "(2,)", b"cleanclean");
    member("label.npy", "|u1", "(2,)", &[1, 0]);
    member("features.npy", features_type, shape, features);
    archive.finish().unwrap();
    (dir, path)
}

#[test]
fn npz_arrays_give_the_same_records() {
    let features: Vec<u8> = (0..8_u8).flat_map(|v| f32::from(v).to_le_bytes()).collect();
    let (_dir, path) = npz("<f4", "(2, 2, 2)", &features);
    let file = crate::open(&path).unwrap();
    assert_eq!((file.summary().records, file.summary().features), (2, 4));
    let sources: Vec<Source> = file.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        (sources[0].record_id.as_str(), sources[0].target.class().unwrap()),
        ("5", "0")
    );
    assert_eq!(sources[0].views["clean"].numbers().unwrap(), [4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn npz_values_and_row_counts_are_checked() {
    let features = [0.0_f32, f32::NAN].map(f32::to_le_bytes).concat();
    let (_dir, path) = npz("<f4", "(2, 1)", &features);
    let error = crate::open(&path).unwrap_err().to_string();
    assert!(error.contains("row 1, column 'features[0]'"), "{error}");
    let (_dir, path) = npz("<f4", "(1, 2)", &features);
    assert!(
        crate::open(&path)
            .unwrap_err()
            .to_string()
            .contains("1 rows, record_id has 2")
    );
    let (_dir, path) = npz("|O", "(2,)", &features);
    assert!(crate::open(&path).unwrap_err().to_string().contains("run code"));
}
