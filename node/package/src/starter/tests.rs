//! Packages started from artifacts, without a runner.

use super::*;
use crate::Package;

const PREDICT: &str = "def predict(model, inputs):\n    return {\"sum\": inputs[\"x\"].sum(axis=1)}\n";

#[tokio::test]
async fn a_folder_is_started_in_place_and_says_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("predict.py"), PREDICT).unwrap();
    let started = start(dir.path(), None, None).await.unwrap();
    assert_eq!(started.folder, dir.path());
    assert_eq!(started.written, [CARD_FILE, MANIFEST_FILE]);
    assert!(
        started.open.iter().any(|open| open.contains("input 'x'")),
        "{:?}",
        started.open
    );
    let package = Package::read(dir.path()).unwrap();
    let release = package.hash().unwrap();
    assert_eq!(
        (release.runtime.as_str(), release.inputs[0].name.as_str()),
        ("python", "x")
    );
    let again = start(dir.path(), None, None).await.unwrap_err();
    assert!(matches!(again, PackageError::Exists { .. }), "{again}");
}

#[tokio::test]
async fn a_card_that_is_there_is_checked_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("predict.py"), PREDICT).unwrap();
    fs::write(dir.path().join(CARD_FILE), "# no header").unwrap();
    assert!(matches!(
        start(dir.path(), None, None).await,
        Err(PackageError::Card { .. })
    ));
    fs::write(dir.path().join(CARD_FILE), "---\nlicense: mit\n---\n# Sum\n").unwrap();
    let started = start(dir.path(), None, None).await.unwrap();
    assert_eq!(started.written, [MANIFEST_FILE]);
}

#[test]
fn a_model_that_does_not_load_is_told_of_even_if_it_states_everything() {
    let slot = |name: &str| Slot {
        name: name.into(),
        datatype: Some("FP32".into()),
        shape: Some(vec![-1, 4]),
    };
    let found = Finding {
        runtime: "onnx",
        inputs: vec![slot("x")],
        outputs: vec![slot("y")],
        facts: Vec::new(),
    };
    let draft = unseen(
        "m".into(),
        "m.onnx".into(),
        found,
        Some("no such operator".into()),
    );
    assert_eq!(draft.open, ["no such operator"]);
}

#[test]
fn names_out_of_paths_are_names_of_models() {
    for (path, name) in [
        ("/x/Digits CNN.v2.pt", "digits-cnn.v2"),
        ("/x/__.onnx", "model"),
        ("a.pt", "a"),
    ] {
        assert_eq!(name_of(Path::new(path)), name);
    }
}

#[test]
fn hostile_names_do_not_leave_their_string() {
    let draft = Draft {
        name: "a".into(),
        runtime: "onnx",
        entry: "m.onnx".into(),
        inputs: vec![TensorSpec {
            name: "x\"\nversion = \"9".into(),
            datatype: "FP32".into(),
            shape: vec![-1],
        }],
        outputs: vec![TensorSpec {
            name: "y".into(),
            datatype: "FP32".into(),
            shape: vec![-1],
        }],
        sampled: true,
        open: vec!["a\nb".into()],
        facts: vec!["c\n---\nlicense: mit".into()],
    };
    let manifest = fieldmark_protocol::manifest::Manifest::parse(&text::manifest(&draft, false)).unwrap();
    assert_eq!(manifest.model.version, "1.0.0");
    assert!(Card::parse(&text::card(&draft)).is_ok());
}
