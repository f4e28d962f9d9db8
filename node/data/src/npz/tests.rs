//! NPZ files, good and bad.

use std::io::Write as _;

use super::*;
use crate::Source;

/// Builds an NPZ file of 2 records × 1 slice with the given features array.
fn npz(features_type: &str, shape: &str, features: &[u8]) -> (tempfile::TempDir, PathBuf) {
    stored(CompressionMethod::Stored, features_type, shape, features)
}

fn stored(
    method: CompressionMethod,
    features_type: &str,
    shape: &str,
    features: &[u8],
) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
    let mut member = |name: &str, descr: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        archive
            .start_file(
                name,
                zip::write::SimpleFileOptions::default().compression_method(method),
            )
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
fn arrays_stored_and_deflated_give_the_same_records() {
    let features: Vec<u8> = (0..8_u8).flat_map(|v| f32::from(v).to_le_bytes()).collect();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let (_dir, path) = stored(method, "<f4", "(2, 2, 2)", &features);
        let file = crate::open(&path).unwrap();
        assert_eq!((file.summary().records, file.summary().features), (2, 4));
        let sources: Vec<Source> = file.records().unwrap().map(Result::unwrap).collect();
        assert_eq!(
            (sources[1].record_id.as_str(), sources[1].target.class().unwrap()),
            ("5", "0")
        );
        assert_eq!(sources[1].views["clean"].numbers().unwrap(), [4.0, 5.0, 6.0, 7.0]);
    }
}

#[test]
fn values_and_row_counts_are_checked() {
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

#[test]
fn what_does_not_match_its_shape_or_checksum_is_refused() {
    let said = |path: &Path| crate::open(path).unwrap_err().to_string();
    let features = [1.0_f32, 2.0, 3.0].map(f32::to_le_bytes).concat();
    let (_dir, path) = npz("<f4", "(2, 1)", &features);
    assert!(said(&path).contains("more values than its shape says"));
    let (_dir, path) = npz("<f4", "(2, 2)", &features);
    assert!(said(&path).contains("array 'features': it ends early"));
    for shape in ["(2, 99999999999)", "(2, 4294967296, 4294967296)", "(2, 0)"] {
        let (_dir, path) = npz("<f4", shape, &features);
        assert!(said(&path).contains("features per row"), "{shape}");
    }
    let (_dir, path) = npz("<f4", "(2, 1)", &features[..8]);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|part| part == &features[..8]).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(said(&path).contains("its checksum is another"));
}

#[test]
fn an_archive_without_an_array_lists_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file("images.npy", options).unwrap();
    archive.finish().unwrap();
    let error = crate::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("no array 'record_id', found are images"),
        "{error}"
    );
}

#[test]
fn arrays_without_rows_hold_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, shape) in [("record_id", "(0,)"), ("label", "(0,)"), ("features", "(0, 2)")] {
        let header = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}\n");
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
        let length = u16::try_from(header.len()).unwrap();
        archive.write_all(&length.to_le_bytes()).unwrap();
        archive.write_all(header.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    assert!(matches!(crate::open(&path), Err(DataError::Empty { .. })));
}
