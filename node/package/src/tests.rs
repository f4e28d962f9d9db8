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

/// States another compression method, 12 (bzip2), for the one member of an archive: in both of its headers.
fn compressed_otherwise(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let directory = bytes.windows(4).rposition(|sign| sign == b"PK\x01\x02").unwrap();
    (bytes[8], bytes[directory + 10]) = (12, 12);
    fs::write(path, bytes).unwrap();
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
    // A name counts even where nobody here can read the content.
    refused("weights.zip", &|path| {
        archive(path, &["weights.pkl"]);
        compressed_otherwise(path);
    });
    let dir = package();
    archive(&dir.path().join("arrays.npz"), &["a.npy"]);
    Package::read(dir.path()).unwrap();
    compressed_otherwise(&dir.path().join("arrays.npz"));
    let error = Package::read(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("arrays.npz") && error.contains("looked into"),
        "{error}"
    );
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
fn only_files_of_the_package_are_opened() {
    for outside in ["/dev/stdin", "../x.json", "sub/../sample.json", ".hidden"] {
        let dir = package();
        let manifest = MANIFEST.replace("sample.json", outside);
        fs::write(dir.path().join("fieldmark.toml"), manifest).unwrap();
        let error = Package::read(dir.path()).unwrap().sample().unwrap_err();
        let named = matches!(error, PackageError::File { .. }) && error.to_string().contains("[sample]");
        assert!(named, "{outside}: {error}");
    }
    for file in ["fieldmark.toml", "README.md"] {
        let dir = package();
        let path = dir.path().join(file);
        fs::remove_file(&path).unwrap();
        assert!(Package::read(dir.path()).unwrap_err().to_string().contains(file));
        fs::create_dir(&path).unwrap();
        assert!(Package::read(dir.path()).unwrap_err().to_string().contains(file));
        fs::remove_dir(&path).unwrap();
        // Opening a pipe would wait for someone to write into it.
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let error = Package::read(dir.path()).unwrap_err();
        assert!(matches!(error, PackageError::File { .. }), "{error}");
    }
}

#[test]
fn a_broken_reference_is_told_and_can_be_made_again() {
    let dir = package();
    let manifest = format!("{MANIFEST}[drift]\nfile = \"drift.json\"\n");
    fs::write(dir.path().join("fieldmark.toml"), manifest).unwrap();
    assert!(
        Package::read(dir.path())
            .unwrap_err()
            .to_string()
            .contains("[drift]")
    );
    fs::write(dir.path().join("drift.json"), "{").unwrap();
    let error = Package::read(dir.path()).unwrap_err();
    assert!(matches!(error, PackageError::Reference { .. }), "{error}");
    assert!(Package::read_without_reference(dir.path()).is_ok());
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
