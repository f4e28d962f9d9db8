//! Packages started from real artifacts of PyTorch and ONNX: what is written is what an author wrote by hand, and packs.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::path::{Path, PathBuf};

use fieldmark_package::{Workshop, pack, starter};
use fieldmark_protocol::manifest::{Manifest, Tensor};
use fieldmark_supervisor::SupervisorConfig;

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference")
}

fn manifest(folder: &Path) -> Manifest {
    Manifest::parse(&std::fs::read_to_string(folder.join("fieldmark.toml")).unwrap()).unwrap()
}

/// Names of inputs are the code's, names of outputs often made up; the rest must be the author's.
fn kinds(tensors: &[Tensor]) -> Vec<(String, Vec<i64>)> {
    tensors
        .iter()
        .map(|tensor| (tensor.datatype.clone(), tensor.shape.clone()))
        .collect()
}

async fn starts_as_its_author_wrote_it(name: &str, artifact: &str) {
    let (home, config) = (
        tempfile::tempdir().unwrap(),
        SupervisorConfig::beside_current_exe().unwrap(),
    );
    let folder = home.path().join(name);
    let written = reference().join(name);
    let started = starter::start(&written.join(artifact), Some(&folder), Some(&config))
        .await
        .unwrap();
    assert_eq!(
        started.written,
        ["README.md", "sample.json", "fieldmark.toml"],
        "{name}"
    );
    let (found, expected) = (manifest(&folder), manifest(&written));
    assert_eq!(found.model.runtime, expected.model.runtime);
    assert_eq!(kinds(&found.inputs), kinds(&expected.inputs), "{name}");
    assert_eq!(kinds(&found.outputs), kinds(&expected.outputs), "{name}");
    let packed = pack(&folder, &Workshop::new(home.path(), config)).await.unwrap();
    assert_eq!(packed.trial.outputs.len(), expected.outputs.len());
}

#[tokio::test]
async fn a_traced_module_tells_what_it_was_traced_with() {
    starts_as_its_author_wrote_it("layer", "model.pt").await;
    starts_as_its_author_wrote_it("traced", "model.pt").await;
}

#[tokio::test]
async fn a_scripted_model_of_texts_is_run_to_see_what_comes_out() {
    starts_as_its_author_wrote_it("words", "model.pt").await;
}

#[tokio::test]
async fn a_graph_states_everything() {
    starts_as_its_author_wrote_it("dynamic", "model.onnx").await;
    starts_as_its_author_wrote_it("unsigned", "model.onnx").await;
}
