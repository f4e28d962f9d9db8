//! The suite once more, as a user without any rights, from a folder that this user can read.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder with `bin` and `lib/fieldmark`, when the suite runs for the second time.
pub(crate) const FOLDER: &str = "FIELDMARK_ESCAPES_FOLDER";
/// Around the table in what the second run prints.
pub(crate) const BEGIN: &str = "--- table\n";
pub(crate) const END: &str = "--- end\n";
/// A user and group that own nothing.
const NOBODY_IN_PARTICULAR: u32 = 54_321;
const BINARIES: [&str; 4] = [
    "fieldmark-launcher",
    "fieldmark-runner",
    "fieldmark-runner-onnx",
    "fieldmark-runner-python",
];

/// Runs this test in a copy of this program and returns the table it saw.
pub(crate) fn run_again() -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for made in ["bin", "lib/fieldmark", "tmp"] {
        std::fs::create_dir_all(root.join(made)).unwrap();
    }
    for (path, mode) in [(root.to_owned(), 0o755), (root.join("tmp"), 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let own = std::env::current_exe().unwrap();
    let built = own.parent().and_then(Path::parent).unwrap();
    for binary in BINARIES {
        bring(&built.join(binary), &root.join("bin").join(binary));
    }
    bring(&own, &root.join("bin/suite"));
    for library in libraries() {
        bring(
            &library,
            &root.join("lib/fieldmark").join(library.file_name().unwrap()),
        );
    }
    let output = Command::new(root.join("bin/suite"))
        .args([
            "--exact",
            "every_escape_is_denied_or_contained_and_the_page_says_by_whom",
            "--nocapture",
        ])
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")])
        .env("TMPDIR", root.join("tmp"))
        .env("HOME", root.join("tmp"))
        .env(FOLDER, root)
        .current_dir(root)
        .uid(NOBODY_IN_PARTICULAR)
        .gid(NOBODY_IN_PARTICULAR)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "as an ordinary user: {said}{errors}");
    let (_, rest) = said.split_once(BEGIN).expect("the table is printed");
    rest.split_once(END).expect("the table ends").0.to_owned()
}

/// A hard link, or a copy where that is not possible.
fn bring(from: &Path, to: &Path) {
    let from = from.canonicalize().unwrap();
    if std::fs::hard_link(&from, to).is_err() {
        std::fs::copy(&from, to).unwrap();
    }
}

/// What the runners load: the libraries in the folders they were built with, under the names they have there.
fn libraries() -> Vec<PathBuf> {
    let torch = option_env!("LIBTORCH").map(|folder| PathBuf::from(folder).join("lib"));
    let onnx = option_env!("FIELDMARK_ONNXRUNTIME").map(PathBuf::from);
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in torch.into_iter().chain(onnx) {
        let entries = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.to_string_lossy().contains(".so")));
    }
    assert!(
        !found.is_empty(),
        "LIBTORCH and FIELDMARK_ONNXRUNTIME say where the libraries are"
    );
    found
}
