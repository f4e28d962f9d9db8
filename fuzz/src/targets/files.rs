//! Files: budgets, manifests, cards, policies, scenarios and datasets.

use std::io::{Cursor, Write};
use std::path::Path;

use fieldmark_fl::budget::{Filter, RecordSketch};
use fieldmark_fl::drift::{Outlyingness, Reference, Watch};
use fieldmark_fl::privacy::{Delta, Epsilon, Relation, Rho};
use fieldmark_node_data as data;
use fieldmark_protocol::card::Card;
use fieldmark_protocol::manifest::Manifest;
use fieldmark_protocol::release::INPUT_BINS_MAX;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_simulations::Scenario;
use fieldmark_tables::{Table, Values};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn budget(bytes: &[u8]) {
    if let Ok(filter) = Filter::decode(bytes) {
        assert_eq!(filter.encode(), bytes);
    }
}

pub(super) fn budgets() -> Vec<Vec<u8>> {
    let (Ok(epsilon), Ok(delta)) = (Epsilon::new(4.0), Delta::new(1e-6)) else {
        return Vec::new();
    };
    let Ok(mut filter) = Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta) else {
        return Vec::new();
    };
    let empty = filter.encode();
    let charged = Rho::of_gaussian(1, 1_000).is_ok_and(|rho| {
        filter.reserve([1; 32], rho).is_ok()
            && filter.commit(&[1; 32]).is_ok()
            && filter.reserve([2; 32], rho).is_ok()
    });
    if charged {
        vec![filter.encode(), empty]
    } else {
        vec![empty]
    }
}

pub(super) fn sketch(bytes: &[u8]) {
    if let Ok(sketch) = RecordSketch::decode(bytes) {
        assert_eq!(sketch.encode(), bytes);
        assert!(sketch.overlap(&sketch).share() <= 1.0);
    }
}

pub(super) fn sketches() -> Vec<Vec<u8>> {
    let mut sketch = RecordSketch::default();
    let empty = sketch.encode();
    (0..9_u8).for_each(|record| sketch.insert(&[record]));
    vec![sketch.encode(), empty]
}

pub(super) fn manifest(bytes: &[u8]) {
    drop(Manifest::parse(&text(bytes)));
}

pub(super) fn manifests() -> Vec<Vec<u8>> {
    let manifest = "[model]\nname = \"digits\"\nversion = \"1.0.0\"\nruntime = \"torchscript\"\n\
                    artifact = \"model.pt\"\n\
                    [[input]]\nname = \"image\"\ndatatype = \"FP32\"\nshape = [-1, 64]\n\
                    [[output]]\nname = \"logits\"\ndatatype = \"FP32\"\nshape = [-1, 10]\n";
    vec![manifest.into()]
}

/// What a stranger's reference file makes of rows: places in range, findings without a panic.
pub(super) fn drift(bytes: &[u8]) {
    let Ok(reference) = Reference::parse(&text(bytes)) else {
        return;
    };
    let written = serde_json::to_string(&reference).unwrap_or_default();
    assert!(Reference::parse(&written).is_ok_and(|again| again == reference));
    let features = reference.features.len();
    for value in [0.0, -1e300, 0.5, f64::INFINITY, f64::NAN] {
        let row = vec![Some(value); features];
        if let Some(outlyingness) = Outlyingness::new(&reference, |name| !name.starts_with("logits")) {
            assert!(outlyingness.of(&row).is_none_or(|of| (0.0..=1.0).contains(&of)));
            let bin = outlyingness.bin(&row).map(usize::from);
            assert!(bin.is_none_or(|bin| bin < INPUT_BINS_MAX));
        }
        let mut watch = Watch::new(reference.clone());
        (0..32).for_each(|_| watch.add(&row));
        assert_eq!(watch.findings().len(), features);
    }
}

pub(super) fn drifts() -> Vec<Vec<u8>> {
    let feature = |name: &str| {
        format!("{{\"name\": \"{name}\", \"edges\": [0.25, 0.5], \"counts\": [3, 4, 3], \"not_finite\": 1}}")
    };
    let (mean, logits, far) = (
        feature("image.mean"),
        feature("logits[0]"),
        feature("outlyingness"),
    );
    vec![
        format!("{{\"features\": [{mean}, {logits}], \"outlyingness\": {far}, \"answers\": [7, 3]}}").into(),
        format!("{{\"features\": [{logits}]}}").into(),
    ]
}

pub(super) fn card(bytes: &[u8]) {
    drop(Card::parse(&text(bytes)));
}

pub(super) fn cards() -> Vec<Vec<u8>> {
    let card = "---\nlicense: mit\ntags:\n- vision\npipeline_tag: image-classification\nbase_model: a/b\n---\n\
                # Digits\n\nReads digits.\n";
    vec![card.into(), b"---\nlicense: &a [*a]\n---\n".to_vec()]
}

pub(super) fn trust(bytes: &[u8]) {
    drop(toml::from_str::<TrustPolicy>(&text(bytes)));
}

pub(super) fn trusts() -> Vec<Vec<u8>> {
    let key = "3b".repeat(32);
    vec![format!("aggregators = [\"{key}\"]\n").into(), b"".to_vec()]
}

pub(super) fn scenario(bytes: &[u8]) {
    drop(Scenario::parse(&text(bytes), Path::new("scenario.toml")));
}

pub(super) fn scenarios() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../../simulations/scenarios/smoke.toml").to_vec(),
        include_bytes!("../../../simulations/scenarios/churn.toml").to_vec(),
    ]
}

/// Opens a dataset with these bytes and reads its first records.
fn dataset(name: &str, bytes: &[u8]) {
    // A machine without room for a temporary file finds no bug.
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(records) = data::records(&path) {
        records.take(64).for_each(drop);
    }
}

pub(super) fn csv(bytes: &[u8]) {
    dataset("data.csv", bytes);
}

pub(super) fn csvs() -> Vec<Vec<u8>> {
    vec![
        b"record_id,slice,label,a,b\nr2,clean,1,0.5,1\nr1,blur,0,3,4\nr2,blur,1,5,6\nr1,clean,0,7,8\n"
            .to_vec(),
        b"record_id,slice,label,a\n\"r\"\"1\",clean,\"0\",1e3\n".to_vec(),
    ]
}

pub(super) fn parquet(bytes: &[u8]) {
    dataset("data.parquet", bytes);
}

pub(super) fn parquets() -> Vec<Vec<u8>> {
    let columns = vec![
        ("record_id".to_owned(), Values::text(["r1", "r2", "r3"])),
        ("label".to_owned(), Values::Whole(vec![Some(0), Some(1), Some(0)])),
        (
            "x0".to_owned(),
            Values::Number(vec![Some(0.5), Some(-1.0), Some(2.0)]),
        ),
        ("x1".to_owned(), Values::Number(vec![Some(1.5), None, Some(3.0)])),
    ];
    let table = Table::new(columns).and_then(|table| table.parquet());
    table.into_iter().collect()
}

pub(super) fn npz(bytes: &[u8]) {
    dataset("data.npz", bytes);
}

pub(super) fn npzs() -> Vec<Vec<u8>> {
    archive(&array("<f4", "(2, 2)", &[0; 16])).into_iter().collect()
}

/// The bytes are the array of features, in an archive that is otherwise sound.
pub(super) fn npy(bytes: &[u8]) {
    if let Some(archive) = archive(bytes) {
        dataset("data.npz", &archive);
    }
}

pub(super) fn npys() -> Vec<Vec<u8>> {
    vec![
        array("<f4", "(2, 2)", &[0; 16]),
        array("<f8", "(2, 3)", &[0; 48]),
        array("|u1", "(2, 4)", &[1; 8]),
        array(">i2", "(2, 1)", &[1; 4]),
    ]
}

/// A version 1.0 array.
fn array(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes();
    [
        b"\x93NUMPY\x01\x00".as_slice(),
        &length,
        header.as_bytes(),
        values,
    ]
    .concat()
}

fn archive(features: &[u8]) -> Option<Vec<u8>> {
    let ids = array("<U2", "(2,)", b"r\0\0\x001\0\0\0r\0\0\x002\0\0\0");
    let slices = array("<U1", "(2,)", b"c\0\0\0c\0\0\0");
    let labels = array("<i8", "(2,)", &[0; 16]);
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [
        ("record_id.npy", ids.as_slice()),
        ("slice.npy", &slices),
        ("label.npy", &labels),
        ("features.npy", features),
    ] {
        writer.start_file(name, stored).ok()?;
        writer.write_all(bytes).ok()?;
    }
    Some(writer.finish().ok()?.into_inner())
}
