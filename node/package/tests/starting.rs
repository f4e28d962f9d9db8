//! Packages started from real artifacts of PyTorch and ONNX: what is written is what an author wrote by hand, and packs.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::path::{Path, PathBuf};

use fieldmark_package::{Allowance, EVERY, Source, Workshop, pack, starter};
use fieldmark_protocol::manifest::{Manifest, Tensor};
use fieldmark_supervisor::{Runner, SupervisorConfig};

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
async fn a_release_gets_what_its_machine_allows_it() {
    let home = tempfile::tempdir().unwrap();
    let mut workshop = Workshop::new(home.path(), SupervisorConfig::beside_current_exe().unwrap());
    let all = Allowance {
        threads: Some(2),
        cpu_seconds: Some(60),
        ..Allowance::default()
    };
    let one = Allowance {
        cpu_seconds: Some(120),
        request_seconds: Some(3),
        ..Allowance::default()
    };
    workshop.allowed = [(EVERY.to_owned(), all), ("layer".to_owned(), one)].into();
    workshop.asked.memory = Some("1GiB".parse().unwrap());
    let folder = reference().join("layer");
    let release = pack(&folder, &workshop).await.unwrap().release;
    let spec = workshop.prepare(&release, Source::Folder(&folder)).await.unwrap();
    let runner = Runner::start(&workshop.config, spec).await.unwrap();
    let status = runner.status();
    let limits = status.limits;
    assert_eq!(
        (limits.memory_bytes_max, limits.cpu_seconds_max, status.threads),
        (1 << 30, 120, 2)
    );
    assert_eq!(limits.request_timeout.as_secs(), 3);
    runner.shutdown().await;
}

#[tokio::test]
async fn a_graph_states_everything() {
    starts_as_its_author_wrote_it("dynamic", "model.onnx").await;
    starts_as_its_author_wrote_it("unsigned", "model.onnx").await;
}
