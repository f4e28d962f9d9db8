//! Public clients of the Open Inference Protocol drive a server, and every reference package answers as the
//! framework it came from (`tests/clients/drive.py`, `tests/fixtures/reference`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{Programs, Server};

/// Where `cargo xtask test` has put the clients.
const CLIENTS: &str = "FIELDMARK_CLIENTS";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn public_clients_get_what_the_original_frameworks_answer() -> Result<()> {
    let Some(clients) = std::env::var_os(CLIENTS) else {
        eprintln!("SKIPPED: {CLIENTS} is not set; `cargo xtask test` installs the clients and sets it");
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    let reference = here("fixtures/reference");
    let mut packages: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&reference)? {
        let folder = entry?.path();
        if folder.join("fieldmark.toml").is_file() {
            packages.push(folder);
        }
    }
    packages.sort();
    ensure!(packages.len() >= 10, "packages are missing: {packages:?}");
    let server = Server::start(
        &Programs::beside_this_test()?,
        scratch.path(),
        &packages,
        &["--batch-max", "4"],
    )?;
    let mut drive = Programs::beside_this_test()?.leashed(Path::new("/usr/bin/env"));
    drive
        .args(["python3", "-B"])
        .arg(here("clients/drive.py"))
        .args(["--http", &server.http, "--grpc", &server.grpc])
        .arg("--packages")
        .arg(&reference)
        .arg("--scratch")
        .arg(scratch.path())
        .env("PYTHONPATH", clients);
    let done = drive.output().context("cannot start python3")?;
    let said = String::from_utf8_lossy(&done.stdout);
    print!("{said}");
    ensure!(
        done.status.success(),
        "{said}\n{}\nthe server: {}",
        String::from_utf8_lossy(&done.stderr),
        server.last_words()
    );
    server.stop()
}
