//! The user's cache: one folder that all clones share, filled so that a killed command leaves no trace.
//!
//! Everything is made in a sibling with a `.partial` name and renamed when it is whole. What has its
//! final name is therefore complete. A lock file keeps two clones from filling the cache at once.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names the folder, in place of the one below.
const OVERRIDE: &str = "FIELDMARK_CACHE";

/// The folder that all clones share.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// Held while the cache is being filled; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Cache {
    /// `$FIELDMARK_CACHE`, else `$XDG_CACHE_HOME/fieldmark`, else `~/.cache/fieldmark`. Creates nothing.
    ///
    /// # Errors
    /// When no variable says where the user's files are.
    pub(crate) fn locate() -> Result<Self> {
        let named = |variable: &str| {
            env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = named(OVERRIDE)
            .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("fieldmark")))
            .or_else(|| named("HOME").map(|folder| folder.join(".cache/fieldmark")))
            .with_context(|| format!("no cache folder: set {OVERRIDE} or HOME"))?;
        let root = std::path::absolute(&root).with_context(|| format!("{} is not a path", root.display()))?;
        Ok(Self { root })
    }

    /// The cache at `root`, for tests.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until no other process fills the cache, then holds it.
    ///
    /// # Errors
    /// When the folder or its lock file cannot be made.
    pub(crate) fn lock(&self) -> Result<Lock> {
        fs::create_dir_all(&self.root).with_context(|| format!("cannot make {}", self.root.display()))?;
        let path = self.root.join("setup.lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("another setup is filling {}: waiting for it", self.root.display());
                file.lock()
                    .with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Lock { _file: file })
    }

    /// Makes `name` (a file or a folder, relative to the cache) whole or not at all.
    ///
    /// `fill` makes the thing at the path it is given; that path's parent is an empty folder for what it
    /// needs on the way. What was at `name` before is replaced.
    ///
    /// # Errors
    /// When `fill` fails, or a file cannot be moved.
    pub(crate) fn install(
        &self,
        _lock: &Lock,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let flat = name.replace('/', "-");
        let staging = self.root.join(format!(".{flat}.partial"));
        let retired = self.root.join(format!(".{flat}.retired"));
        remove(&staging)?;
        remove(&retired)?;
        fs::create_dir_all(&staging).with_context(|| format!("cannot make {}", staging.display()))?;
        let made = staging.join("made");
        fill(&made)?;

        let destination = self.root.join(name);
        if let Some(parent) = destination.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        if destination.symlink_metadata().is_ok() {
            rename(&destination, &retired)?;
        }
        rename(&made, &destination)?;
        remove(&retired)?;
        remove(&staging)
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Removes a file or a folder; it is fine if there is none.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_fill_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let lock = cache.lock().unwrap();
        cache
            .install(&lock, "data/one", |made| Ok(fs::write(made, "first")?))
            .unwrap();
        let failed = cache.install(&lock, "data/one", |made| {
            fs::write(made, "half")?;
            bail!("killed")
        });
        assert!(failed.is_err());
        assert_eq!(
            fs::read_to_string(folder.path().join("data/one")).unwrap(),
            "first"
        );
        cache
            .install(&lock, "data/one", |made| Ok(fs::write(made, "second")?))
            .unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("data/one")).unwrap(),
            "second"
        );
    }

    #[test]
    fn a_folder_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let lock = cache.lock().unwrap();
        for name in ["old", "new"] {
            let fill = |made: &Path| {
                fs::create_dir(made)?;
                Ok(fs::write(made.join(name), "")?)
            };
            cache.install(&lock, "torch", fill).unwrap();
        }
        assert!(folder.path().join("torch/new").exists());
        assert!(!folder.path().join("torch/old").exists());
    }
}
