//! libclang, which RocksDB's binding generator loads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Part, pip};
use crate::cache::Cache;

const PLACE: &str = "libclang";
const PACKAGE: &str = "libclang==18.1.1";
const LIBRARY: &str = "libclang.so";

pub(super) struct Libclang;

impl Part for Libclang {
    fn title(&self) -> String {
        "libclang (30 MB)".to_owned()
    }

    fn place(&self) -> &str {
        PLACE
    }

    fn ready(&self, cache: &Cache) -> bool {
        folder(cache).is_ok()
    }

    fn make(&self, made: &Path) -> Result<()> {
        let site = made.join("site");
        pip::install(&[PACKAGE], None, &site, made.parent().unwrap_or(made))?;
        match find(&site, LIBRARY)? {
            Some(_) => Ok(()),
            None => bail!("the package {PACKAGE} has no {LIBRARY}"),
        }
    }
}

/// The folder that holds the library.
///
/// # Errors
/// When it is not in the cache.
pub(super) fn folder(cache: &Cache) -> Result<PathBuf> {
    let site = cache.root().join(PLACE).join("site");
    let library = find(&site, LIBRARY)?.with_context(|| format!("no {LIBRARY} in {}", site.display()))?;
    let parent = library
        .parent()
        .with_context(|| format!("{} has no folder", library.display()))?;
    Ok(parent.to_path_buf())
}

/// The first file called `name` in `folder` or below it.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let read = |error| format!("cannot read {}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(|error| anyhow::anyhow!(read(error)))?;
    let mut nested = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        if path.is_dir() {
            nested.push(path);
        } else if path.file_name().is_some_and(|found| found == name) {
            return Ok(Some(path));
        }
    }
    nested.sort();
    for path in nested {
        if let Some(found) = find(&path, name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_wherever_the_package_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let native = root.path().join("libclang/site/clang/native");
        fs::create_dir_all(&native).unwrap();
        let cache = Cache::at(root.path());
        assert!(!Libclang.ready(&cache));
        fs::write(native.join(LIBRARY), "").unwrap();
        assert!(Libclang.ready(&cache));
        assert_eq!(folder(&cache).unwrap(), native);
    }
}
