//! House rules that no other tool checks: every Rust file opens with `//!` and stays below 800 lines.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Above this a file holds two subjects.
const LINES_MAX: usize = 800;

/// Checks every Rust file of the workspace and prints every breach.
///
/// # Errors
/// When a rule is broken or a file cannot be read.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let mut files = Vec::new();
    collect(workspace.root(), &mut files)?;
    files.sort();
    let mut breaches = 0_usize;
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let shown = file.strip_prefix(workspace.root()).unwrap_or(file);
        for breach in breaches_of(&text) {
            eprintln!("house: {}: {breach}", shown.display());
            breaches += 1;
        }
    }
    if breaches > 0 {
        bail!("house rules are broken in {breaches} places");
    }
    println!("house: {} files", files.len());
    Ok(())
}

fn breaches_of(text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    if !text.starts_with("//! ") {
        breaches.push("does not open with `//!` and what the file owns".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        breaches.push(format!("has {lines} lines, more than {LINES_MAX}: split it"));
    }
    breaches
}

/// Collects the Rust files below `folder`, leaving out hidden folders and build output.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            if !name.to_string_lossy().starts_with('.') && name != "target" {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_what_it_owns() {
        assert_eq!(breaches_of("//! What it owns.\n").len(), 0);
        assert_eq!(breaches_of("use std::fs;\n").len(), 1);
        assert_eq!(breaches_of("").len(), 1);
    }

    #[test]
    fn a_file_of_two_subjects_is_named() {
        let lines = |count: usize| format!("//! Long.\n{}", "\n".repeat(count - 1));
        assert_eq!(breaches_of(&lines(LINES_MAX)).len(), 0);
        assert_eq!(
            breaches_of(&lines(LINES_MAX + 1)),
            ["has 801 lines, more than 800: split it"]
        );
    }

    #[test]
    fn build_output_and_hidden_folders_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", "target/debug", ".hidden"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("a.rs"), "").unwrap();
        }
        let mut files = Vec::new();
        collect(root.path(), &mut files).unwrap();
        assert_eq!(files, [root.path().join("src/a.rs")]);
        assert!(run(&Workspace::at(root.path())).is_err());
    }
}
