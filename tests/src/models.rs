//! The digit classifiers, trained once and then taken from the user's cache.
//!
//! A set of packages is kept under the hash of what made it: the trainer's program, the data and the
//! rows. It is made beside its place and moved there whole.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::answer::answer;
use crate::programs::Programs;
use crate::wait::together;

/// What is trained, in the order of their size.
pub const MODELS: [&str; 3] = ["logistic", "mlp", "cnn"];

const TRAINER: &str = "fieldmark-train";
const PLACE: &str = "models";
/// Training takes seconds; this is for a machine that is busy with other things.
const TRAINING_MAX: Duration = Duration::from_secs(300);

/// Package folders of the trained models.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Whether they were trained just now.
    pub fresh: bool,
    folder: PathBuf,
}

impl Packages {
    /// Folder of one of [`MODELS`].
    #[must_use]
    pub fn of(&self, model: &str) -> PathBuf {
        self.folder.join(model)
    }
}

/// The cache that setup fills: `$FIELDMARK_CACHE`, else `$XDG_CACHE_HOME/fieldmark`, else
/// `~/.cache/fieldmark`.
///
/// # Errors
/// When no variable says where the user's files are.
pub fn user_cache() -> Result<PathBuf> {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    named("FIELDMARK_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("fieldmark")))
        .or_else(|| named("HOME").map(|folder| folder.join(".cache/fieldmark")))
        .context("no cache folder: set FIELDMARK_CACHE or HOME")
}

/// The packages of [`MODELS`], trained on `rows` (`FIRST..END`) of `data`.
///
/// # Errors
/// When training fails, or a file cannot be read or written.
pub fn packages(programs: &Programs, cache: &Path, data: &Path, rows: &str) -> Result<Packages> {
    let folder = cache.join(PLACE).join(key(&programs.path(TRAINER), data, rows)?);
    if folder.is_dir() {
        return Ok(Packages { fresh: false, folder });
    }
    let parent = cache.join(PLACE);
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let made = tempfile::Builder::new().prefix(".partial-").tempdir_in(&parent);
    let made = made.with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    train(programs, made.path(), data, rows)?;
    match fs::rename(made.path(), &folder) {
        Ok(()) => {
            // Nothing is left at its path to be removed.
            let _ = made.keep();
        }
        // Another process was faster with the same.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
            ) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
    }
    Ok(Packages { fresh: true, folder })
}

fn train(programs: &Programs, out: &Path, data: &Path, rows: &str) -> Result<()> {
    let one = |model: &str| -> Result<()> {
        let mut command = programs.command(TRAINER);
        command
            .arg("--data")
            .arg(data)
            .args(["--rows", rows, "--model", model, "--out"]);
        command.arg(out.join(model));
        answer(programs, command, TRAINING_MAX)?.success().map(|_| ())
    };
    together(&MODELS, |model| one(model)).map(|_| ())
}

/// Hash of everything that decides the result.
fn key(trainer: &Path, data: &Path, rows: &str) -> Result<String> {
    let mut hasher = blake3::Hasher::new_derive_key("fieldmark tests: trained packages");
    for path in [trainer, data] {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        hasher.update(blake3::hash(&bytes).as_bytes());
    }
    hasher.update(rows.as_bytes());
    Ok(hasher.finalize().to_hex().chars().take(32).collect())
}
