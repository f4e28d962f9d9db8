//! RocksDB's static library, compiled once into the cache.
//!
//! Its C++ takes most of a build from nothing, and cargo would compile it again for every target folder
//! and every selection of packages that unites features differently. So setup compiles it alone, keeps
//! the library under the version of the lockfile, and every later build links that.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Lock};
use crate::process::{self, seconds};
use crate::workspace::Workspace;

const PACKAGE: &str = "librocksdb-sys";
const LIBRARY: &str = "librocksdb.a";

/// Compiles the library if the cache lacks the lockfile's version.
///
/// # Errors
/// When it does not compile or cannot be kept.
pub(super) fn ensure(workspace: &Workspace, cache: &Cache, lock: &Lock) -> Result<()> {
    let place = place(workspace)?;
    if cache.root().join(&place).join(LIBRARY).is_file() {
        return Ok(());
    }
    let started = std::time::Instant::now();
    eprintln!("RocksDB: compiling it once, about 15 minutes on 2 cores");
    cache
        .install(lock, &place, |made| make(workspace, made))
        .context("RocksDB is not set up; run `cargo xtask setup` again")?;
    eprintln!("RocksDB: compiled in {}", seconds(started.elapsed()));
    Ok(())
}

/// The folder of the library, if the cache has the lockfile's version.
///
/// # Errors
/// When the lockfile cannot be read.
pub(super) fn folder(workspace: &Workspace, cache: &Cache) -> Result<Option<PathBuf>> {
    let folder = cache.root().join(place(workspace)?);
    Ok(folder.join(LIBRARY).is_file().then_some(folder))
}

fn make(workspace: &Workspace, made: &Path) -> Result<()> {
    let target = made.parent().unwrap_or(made).join("target");
    let mut command = workspace.cargo();
    command.args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        PACKAGE,
        "--target-dir",
    ]);
    process::run(command.arg(&target))?;
    let build = target.join("debug/build");
    let outputs = fs::read_dir(&build).with_context(|| format!("cannot read {}", build.display()))?;
    for output in outputs {
        let library = output?.path().join("out").join(LIBRARY);
        if library.is_file() {
            fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
            fs::copy(&library, made.join(LIBRARY)).context("cannot keep the compiled library")?;
            return Ok(());
        }
    }
    bail!("{PACKAGE} compiled without leaving a {LIBRARY}")
}

/// Where the lockfile's version is kept, relative to the cache.
fn place(workspace: &Workspace) -> Result<String> {
    let path = workspace.root().join("Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let version = version(&text).with_context(|| format!("{} names no {PACKAGE}", path.display()))?;
    Ok(format!("rocksdb-{version}"))
}

fn version(lockfile: &str) -> Option<&str> {
    let (_, after) = lockfile.split_once(&format!("name = \"{PACKAGE}\"\nversion = \""))?;
    after.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_lockfiles() {
        let lockfile =
            "[[package]]\nname = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\nsource = \"x\"\n";
        assert_eq!(version(lockfile), Some("0.19.0+11.8.1"));
        assert_eq!(
            version("[[package]]\nname = \"rocksdb\"\nversion = \"1\"\n"),
            None
        );
    }
}
