//! Parquet files, good and bad.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::{SliceRule, Source};

const SCHEMA: &str = "message m { required binary record_id (UTF8); required binary label (UTF8); \
    optional int64 hour; required double x0; optional double x1; }";

/// Three row groups of 2 rows each; the last row has no `hour`.
fn written(path: &Path, compression: Compression) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    for group in 0..3_i64 {
        let mut rows = writer.next_row_group().unwrap();
        let text = |values: [String; 2]| values.map(|v| v.into_bytes().into());
        for column in [
            text([0, 1].map(|at| format!("r{}", group * 2 + at))),
            text([0, 1].map(|at: i64| at.to_string())),
        ] {
            let mut next = rows.next_column().unwrap().unwrap();
            next.typed::<ByteArrayType>()
                .write_batch(&column, None, None)
                .unwrap();
            next.close().unwrap();
        }
        let mut next = rows.next_column().unwrap().unwrap();
        let levels: &[i16] = if group == 2 { &[1, 0] } else { &[1, 1] };
        next.typed::<Int64Type>()
            .write_batch(
                &[group * 10, 23][..levels.iter().filter(|l| **l == 1).count()],
                Some(levels),
                None,
            )
            .unwrap();
        next.close().unwrap();
        for shift in [0.5, 0.25] {
            let mut next = rows.next_column().unwrap().unwrap();
            let levels: Option<&[i16]> = (shift < 0.5).then_some(&[1, 1]);
            let values = [group as f64 + shift, -1.0];
            next.typed::<DoubleType>()
                .write_batch(&values, levels, None)
                .unwrap();
            next.close().unwrap();
        }
        rows.close().unwrap();
    }
    writer.close().unwrap();
}

fn options() -> ReadOptions {
    ReadOptions {
        attributes: vec!["hour".into()],
        slices: vec![SliceRule {
            slice: "night".into(),
            condition: "hour >= 20".into(),
        }],
        ..ReadOptions::default()
    }
}

#[test]
fn row_groups_of_every_codec_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, compression| -> Vec<Source> {
        let path = dir.path().join(name);
        written(&path, compression);
        let file = crate::open_with(&path, &options()).unwrap();
        assert_eq!(file.summary().slices, ["clean", "night"]);
        assert_eq!(file.summary().slice_records, [6, 3]);
        file.records().unwrap().map(Result::unwrap).collect()
    };
    let plain = read("plain.parquet", Compression::UNCOMPRESSED);
    assert_eq!(plain.len(), 6);
    assert_eq!(
        plain[2].views["clean"].numbers(),
        Some([1.5_f32, 1.25].as_slice())
    );
    assert_eq!(plain[4].attributes["hour"], "20");
    assert!(plain[5].attributes.is_empty() && !plain[5].views.contains_key("night"));
    for (name, codec) in [
        ("snappy.parquet", Compression::SNAPPY),
        ("lz4.parquet", Compression::LZ4_RAW),
        (
            "zstd.parquet",
            Compression::ZSTD(parquet::basic::ZstdLevel::default()),
        ),
        (
            "gzip.parquet",
            Compression::GZIP(parquet::basic::GzipLevel::default()),
        ),
    ] {
        assert_eq!(read(name, codec), plain, "{name}");
    }
}

#[test]
fn nested_columns_and_foreign_types_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nested.parquet");
    for (schema, words) in [
        (
            "message m { required binary record_id (UTF8); required group a { required int32 b; } }",
            "'a.b' is nested",
        ),
        (
            "message m { required binary record_id (UTF8); repeated int32 many; }",
            "'many' is nested",
        ),
        ("message m { required int96 record_id; }", "INT96"),
        ("message m { required int32 x (DECIMAL(5, 2)); }", "DECIMAL"),
    ] {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = File::create(&path).unwrap();
        SerializedFileWriter::new(file, schema, Arc::default())
            .unwrap()
            .close()
            .unwrap();
        let error = crate::open(&path).unwrap_err().to_string();
        assert!(
            error.contains(words) && error.contains("nested.parquet"),
            "{error}"
        );
    }
}

#[test]
fn cut_and_damaged_files_give_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.parquet");
    written(&path, Compression::SNAPPY);
    let whole = std::fs::read(&path).unwrap();
    let version = crate::open_with(&path, &options())
        .unwrap()
        .summary()
        .version
        .clone();
    for cut in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = crate::open_with(&path, &options()).unwrap_err().to_string();
        assert!(error.contains("damaged.parquet"), "{error}");
    }
    // One byte wrong anywhere: an error, or other content, which has another version.
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = crate::open_with(&path, &options()) {
            assert_ne!(file.summary().version, version);
        }
    }
}

#[test]
fn a_file_without_rows_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.parquet");
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let file = File::create(&path).unwrap();
    let writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    writer.close().unwrap();
    let error = crate::open_with(&path, &options()).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
}

#[test]
fn missing_and_unseen_values_name_row_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.parquet");
    written(&path, Compression::ZSTD(parquet::basic::ZstdLevel::default()));
    // The column `hour` lacks its last value: no feature then, unless something stands for it.
    let error = crate::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("row 5, column 'hour'") && error.contains("--fill"),
        "{error}"
    );
    let labels = ReadOptions {
        labels: vec!["0".into()],
        ..options()
    };
    let error = crate::open_with(&path, &labels).unwrap_err().to_string();
    assert!(error.contains("row 1, column 'label': found '1'"), "{error}");
}
