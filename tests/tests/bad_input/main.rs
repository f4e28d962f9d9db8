//! What users get wrong, and what happens to them: an exit code, a message that names what and the fix,
//! and nothing lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use fieldmark_tests::{Answer, Participant, Programs, packages, user_cache};
use tempfile::TempDir;

mod api;
mod challenge;
mod data_folder;
mod dataset;
mod full_disk;
mod package;
mod port;

/// Roles of a node that aggregates.
const AGGREGATOR: &[&str] = &["aggregator", "provider"];
/// Roles of a node that contributes.
const COMPANY: &[&str] = &["contributor", "provider"];
/// Longest that a node may take to refuse to start.
const LIMIT: Duration = Duration::from_secs(30);

/// Exit codes, as `fieldmark --help` lists them.
const FAILED: i32 = 1;
const NOT_FOUND: i32 = 3;
const NO_NODE: i32 = 4;

/// Asserts that a command was refused with this code and a message that says all of this.
#[track_caller]
fn refused(answer: &Answer, code: i32, says: &[&str]) {
    let said = format!("{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.code, Some(code), "`{}` said: {said}", answer.line);
    for part in says {
        assert!(
            said.contains(part),
            "`{}` says nothing of {part:?}: {said}",
            answer.line
        );
    }
    assert!(!said.contains("panicked"), "`{}` panicked: {said}", answer.line);
}

/// Someone alone, with a data folder in `folder`.
fn alone(folder: &TempDir, roles: &[&str]) -> Result<Participant> {
    Participant::init(
        &Programs::beside_this_test()?,
        &folder.path().join("nodes"),
        "solo",
        roles,
    )
}

/// A copy of a trained package in `folder`, to be spoilt.
fn trained_package(programs: &Programs, folder: &Path) -> Result<PathBuf> {
    let cache = user_cache()?;
    let trained = packages(programs, &cache, &cache.join("data/digits.csv.gz"), "0..560")?;
    let copy = folder.join("package");
    fs::create_dir(&copy)?;
    for entry in fs::read_dir(trained.of("logistic"))? {
        let entry = entry?;
        fs::copy(entry.path(), copy.join(entry.file_name()))?;
    }
    Ok(copy)
}

/// Replaces a part of a text file.
fn edit(path: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    ensure!(text.contains(from), "{} has no {from:?}: {text}", path.display());
    Ok(fs::write(path, text.replace(from, to))?)
}
