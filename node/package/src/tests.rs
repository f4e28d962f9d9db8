//! Packages good and bad, without a runner.

use std::fs;
use std::io::Write as _;

use super::*;

const MANIFEST: &str = r#"
[model]
name = "digits"
version = "1.0.0"
runtime = "torchscript"
artifact = "model.pt"
[[input]]
name = "image"
datatype = "FP32"
shape = [-1, 4]
[[output]]
name = "logits"
datatype = "FP32"
shape = [-1, 10]
[sample]
file = "sample.json"
"#;

fn archive(path: &Path, members: &[&str]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for member in members {
        archive
            .start_file(*member, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(b"content").unwrap();
    }
    archive.finish().unwrap();
}

pub(crate) fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("fieldmark.toml"), MANIFEST).unwrap();
    fs::write(
        at("README.md"),
        "---\nlicense: mit\n---\n# Digits\n\nReads digits.\n",
    )
    .unwrap();
    fs::write(at("sample.json"), r#"{"image": [[0.0, 1.0, 2.0, 3.0]]}"#).unwrap();
    archive(
        &at("model.pt"),
        &["model/data.pkl", "model/code/__torch__.py", "model/constants.pkl"],
    );
    fs::write(at(".hidden"), "x").unwrap();
    dir
}

#[test]
fn a_package_is_hashed_in_one_pass_as_the_store_hashes_it() {
    let dir = package();
    let package = Package::read(dir.path()).unwrap();
    let release = package.hash().unwrap();
    let paths: Vec<&str> = release.artifacts.iter().map(|a| a.path.as_str()).collect();
    assert_eq!(paths, ["README.md", "fieldmark.toml", "model.pt", "sample.json"]);
    let store_dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(store_dir.path()).unwrap();
    let (imported, new) = package.import(&store).unwrap();
    assert_eq!((imported, new.len()), (release, 4));
    assert_eq!(package.sample().unwrap()[0].shape, [1, 4]);
}

#[test]
fn pickles_are_refused_with_the_reason() {
    let refused = |name: &str, write: &dyn Fn(&Path)| {
        let dir = package();
        write(&dir.path().join(name));
        let error = Package::read(dir.path()).unwrap_err();
        assert!(matches!(error, PackageError::Pickle { .. }), "{name}: {error}");
        assert!(error.to_string().contains("run whatever code"), "{error}");
    };
    refused("weights.pkl", &|path| fs::write(path, "x").unwrap());
    refused("weights.bin", &|path| {
        fs::write(path, [0x80, 4, 0x95, 1]).unwrap()
    });
    refused("model.pt", &|path| {
        archive(path, &["archive/data.pkl", "archive/data/0"])
    });
}

#[test]
fn a_sample_that_does_not_fit_names_the_file() {
    let dir = package();
    fs::write(dir.path().join("sample.json"), r#"{"image": [[0.0]]}"#).unwrap();
    let error = Package::read(dir.path())
        .unwrap()
        .sample()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("sample.json") && error.contains("[1, 1]"),
        "{error}"
    );
}

#[test]
fn links_missing_files_and_other_runtimes_are_refused() {
    let dir = package();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
    assert!(matches!(
        Package::read(dir.path()),
        Err(PackageError::File { .. })
    ));
    let dir = package();
    fs::remove_file(dir.path().join("model.pt")).unwrap();
    assert!(
        Package::read(dir.path())
            .unwrap_err()
            .to_string()
            .contains("model.pt")
    );
    let dir = package();
    let with = |runtime: &str| {
        fs::write(
            dir.path().join("fieldmark.toml"),
            MANIFEST.replace("torchscript", runtime),
        )
        .unwrap();
        Package::read(dir.path()).unwrap_err()
    };
    assert!(matches!(with("onnx"), PackageError::Inspect { .. }));
    assert!(matches!(with("python"), PackageError::File { .. }));
    assert!(matches!(with("julia"), PackageError::Manifest { .. }));
    assert!(matches!(
        Package::read(&dir.path().join("none")),
        Err(PackageError::NoFolder { .. })
    ));
}
