//! ONNX Runtime's shared library out of the Python package, without the Python module.
//!
//! The runner for ONNX models opens `libonnxruntime.so` by its path, which is compiled in; here that name is
//! a link to the library with its version. With `--gpu` the package for CUDA is taken in its place, whose
//! provider libraries lie beside it; CUDA's and cuDNN's own libraries come from the machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Part, pip};
use crate::cache::Cache;

const PLACE: &str = "onnxruntime-1.23.2";
const CPU: &str = "onnxruntime==1.23.2";
const GPU: &str = "onnxruntime-gpu==1.23.2";

/// Any version that the package is built for serves: only its C library is used.
const PYTHON: &str = "3.12";

/// The name that the runner opens.
const LIBRARY: &str = "libonnxruntime.so";
/// Where the package keeps its libraries.
const CAPI: &str = "onnxruntime/capi";
/// By which the package for CUDA is recognised.
const CUDA: &str = "libonnxruntime_providers_cuda.so";

/// ONNX Runtime, with or without its CUDA provider.
pub(super) struct OnnxRuntime {
    pub(super) gpu: bool,
}

impl Part for OnnxRuntime {
    fn title(&self) -> String {
        let megabytes = if self.gpu { 300 } else { 17 };
        format!("ONNX Runtime 1.23.2 ({megabytes} MB)")
    }

    fn place(&self) -> &'static str {
        PLACE
    }

    fn ready(&self, cache: &Cache) -> bool {
        let folder = folder(cache);
        folder.join(LIBRARY).exists() && (!self.gpu || folder.join(CUDA).exists())
    }

    fn make(&self, made: &Path) -> Result<()> {
        let scratch = made.parent().unwrap_or(made);
        let package = scratch.join("package");
        pip::install(
            &[if self.gpu { GPU } else { CPU }],
            Some(PYTHON),
            &package,
            scratch,
        )?;
        keep(&package, made)
    }
}

/// The folder that holds the library.
pub(super) fn folder(cache: &Cache) -> PathBuf {
    cache.root().join(PLACE).join("lib")
}

/// Moves the libraries and the licences to `made` and gives the library its plain name.
fn keep(package: &Path, made: &Path) -> Result<()> {
    let lib = made.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    let capi = package.join(CAPI);
    for entry in fs::read_dir(&capi).with_context(|| format!("cannot read {}", capi.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !name.starts_with("libonnxruntime") {
            continue;
        }
        fs::rename(&path, lib.join(&name)).with_context(|| format!("cannot move {}", path.display()))?;
        if name.starts_with(LIBRARY) && name != LIBRARY {
            symlink(&name, lib.join(LIBRARY)).with_context(|| format!("cannot link {name}"))?;
        }
    }
    for name in ["LICENSE", "ThirdPartyNotices.txt"] {
        let from = package.join("onnxruntime").join(name);
        if from.exists() {
            fs::rename(&from, made.join(name)).with_context(|| format!("cannot move {}", from.display()))?;
        }
    }
    if !lib.join(LIBRARY).exists() {
        bail!("the package has no {LIBRARY} for this machine");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_kept_under_its_plain_name() {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("package");
        fs::create_dir_all(package.join(CAPI)).unwrap();
        for file in ["capi/libonnxruntime.so.1.23.2", "capi/module.so", "LICENSE"] {
            fs::write(package.join("onnxruntime").join(file), file).unwrap();
        }
        let made = root.path().join(PLACE);
        keep(&package, &made).unwrap();
        let cache = Cache::at(root.path());
        assert!(OnnxRuntime { gpu: false }.ready(&cache));
        assert!(!OnnxRuntime { gpu: true }.ready(&cache));
        assert!(made.join("LICENSE").exists() && !made.join("lib/module.so").exists());
    }

    #[test]
    fn a_package_without_the_library_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(CAPI)).unwrap();
        assert!(keep(root.path(), &root.path().join("made")).is_err());
    }
}
