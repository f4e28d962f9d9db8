//! `cargo xtask setup`: from a bare machine to a workspace that builds.
//!
//! It checks the system's tools and names all that are missing at once, downloads libtorch, ONNX
//! Runtime, libclang and the demo's data into the shared cache, compiles RocksDB into it once, and writes the absolute paths into `.cargo/local.toml`.
//! It needs no root and installs nothing outside the cache. When all is there it does nothing, fast,
//! so that every other command starts with it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::{Cache, Lock};
use crate::process::seconds;
use crate::workspace::Workspace;

pub(crate) mod clients;
mod configuration;
mod digits;
mod libclang;
mod onnxruntime;
mod pip;
mod rocksdb;
mod tools;
mod torch;

/// What `cargo xtask setup` is asked for.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Keep the CUDA libraries of libtorch and ONNX Runtime, which runners load on a machine with a GPU, and
    /// fetch NVIDIA's own (4 GB more)
    #[arg(long)]
    gpu: bool,
}

impl Options {
    /// With the libraries for a GPU.
    pub(crate) const fn with_gpu() -> Self {
        Self { gpu: true }
    }
}

/// One thing that the cache holds.
trait Part {
    /// What it is, and roughly how much is downloaded, for the progress line.
    fn title(&self) -> String;
    /// Where it is kept, relative to the cache.
    fn place(&self) -> &str;
    /// Whether it is there and whole.
    fn ready(&self, cache: &Cache) -> bool;
    /// Downloads it and lays it out at `made`.
    fn make(&self, made: &Path) -> Result<()>;
}

/// Sets the workspace up and says so.
///
/// # Errors
/// When a tool is missing, a download fails or a file cannot be written.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let started = Instant::now();
    let cache = fill(workspace, options)?;
    println!(
        "ready in {}: the cache is {}",
        seconds(started.elapsed()),
        cache.root().display()
    );
    Ok(())
}

/// Sets the workspace up for another command; silent when nothing is missing.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    fill(workspace, &Options::default()).map(|_| ())
}

fn fill(workspace: &Workspace, options: &Options) -> Result<Cache> {
    let cache = Cache::locate()?;
    let parts: [&dyn Part; 4] = [
        &torch::Torch { gpu: options.gpu },
        &onnxruntime::OnnxRuntime { gpu: options.gpu },
        &libclang::Libclang,
        &digits::Digits,
    ];
    let missing: Vec<&dyn Part> = parts.into_iter().filter(|part| !part.ready(&cache)).collect();
    tools::check(!missing.is_empty())?;
    if !missing.is_empty() {
        let lock = cache.lock()?;
        for part in missing {
            install(&cache, &lock, part)?;
        }
    }
    configuration::write(workspace, &cache)?;
    if rocksdb::folder(workspace, &cache)?.is_none() {
        // Needs libclang, whose place was written just now; its own place is written after it.
        rocksdb::ensure(workspace, &cache, &cache.lock()?)?;
        configuration::write(workspace, &cache)?;
    }
    Ok(cache)
}

fn install(cache: &Cache, lock: &Lock, part: &dyn Part) -> Result<()> {
    // Whoever held the lock before may have made it.
    if part.ready(cache) {
        return Ok(());
    }
    let started = Instant::now();
    eprintln!("{}: downloading", part.title());
    cache
        .install(lock, part.place(), |made| part.make(made))
        .with_context(|| format!("{} is not set up; run `cargo xtask setup` again", part.title()))?;
    let bytes = size(&cache.root().join(part.place()))?;
    eprintln!(
        "{}: {} on disk in {}",
        part.title(),
        megabytes(bytes),
        seconds(started.elapsed())
    );
    Ok(())
}

/// Bytes of a file, or of all files in a folder; links count as nothing.
fn size(path: &Path) -> Result<u64> {
    let found = path
        .symlink_metadata()
        .with_context(|| format!("cannot read {}", path.display()))?;
    if !found.is_dir() {
        return Ok(if found.is_file() { found.len() } else { 0 });
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    entries.map(|entry| size(&entry?.path())).sum()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_weighs_what_its_files_weigh() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nested")).unwrap();
        fs::write(folder.path().join("nested/five"), "12345").unwrap();
        fs::write(folder.path().join("two"), "12").unwrap();
        std::os::unix::fs::symlink("two", folder.path().join("link")).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 7);
    }
}
