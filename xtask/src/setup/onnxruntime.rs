//! ONNX Runtime's shared library out of the Python package, without the Python module.
//!
//! The runner for ONNX models opens `libonnxruntime.so` by its path, which is compiled in; here that name is
//! a link to the library with its version. With `--gpu` the package for CUDA is taken in its place, whose
//! provider libraries lie beside it, and so does `nvidia` with the libraries of CUDA 12 and cuDNN that they ask
//! for: libtorch has others, of CUDA 13.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Part, pip};
use crate::cache::Cache;

const PLACE: &str = "onnxruntime-1.23.2";
const CPU: &[&str] = &["onnxruntime==1.23.2"];
/// With what the CUDA provider is linked against, and what cuDNN and cuFFT open: one release of CUDA, 12.8.1.
const GPU: &[&str] = &[
    "onnxruntime-gpu==1.23.2",
    "nvidia-cublas-cu12==12.8.4.1",
    "nvidia-cuda-nvrtc-cu12==12.8.93",
    "nvidia-cuda-runtime-cu12==12.8.90",
    "nvidia-cudnn-cu12==9.10.2.21",
    "nvidia-cufft-cu12==11.3.3.83",
    "nvidia-curand-cu12==10.3.9.90",
    "nvidia-nvjitlink-cu12==12.8.93",
];

/// Any version that the package is built for serves: only its C library is used.
const PYTHON: &str = "3.12";

/// The name that the runner opens.
const LIBRARY: &str = "libonnxruntime.so";
/// Where the package keeps its libraries.
const CAPI: &str = "onnxruntime/capi";
/// By which the packages for CUDA are recognised.
const CUDA: [&str; 2] = [
    "libonnxruntime_providers_cuda.so",
    "nvidia/cudnn/lib/libcudnn.so.9",
];

/// ONNX Runtime, with or without its CUDA provider.
pub(super) struct OnnxRuntime {
    pub(super) gpu: bool,
}

impl Part for OnnxRuntime {
    fn title(&self) -> String {
        let megabytes = if self.gpu { 2000 } else { 17 };
        format!("ONNX Runtime 1.23.2 ({megabytes} MB)")
    }

    fn place(&self) -> &'static str {
        PLACE
    }

    fn ready(&self, cache: &Cache) -> bool {
        let folder = folder(cache);
        folder.join(LIBRARY).exists() && (!self.gpu || CUDA.iter().all(|path| folder.join(path).exists()))
    }

    fn make(&self, made: &Path) -> Result<()> {
        let scratch = made.parent().unwrap_or(made);
        let package = scratch.join("package");
        let packages = if self.gpu { GPU } else { CPU };
        pip::install(packages, Some(PYTHON), &package, scratch)?;
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
    move_named("nvidia", package, &lib)?;
    for name in move_named("libonnxruntime", &package.join(CAPI), &lib)? {
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

/// Moves what lies in `from` and has a name that starts with `start` to `to`, and returns the names.
fn move_named(start: &str, from: &Path, to: &Path) -> Result<Vec<String>> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(start) {
            let path = entry.path();
            fs::rename(&path, to.join(&name)).with_context(|| format!("cannot move {}", path.display()))?;
            moved.push(name);
        }
    }
    Ok(moved)
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
    fn nvidias_libraries_are_kept_beside_it_and_must_be_there() {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("package");
        for file in [
            "onnxruntime/capi/libonnxruntime.so.1.23.2",
            "onnxruntime/capi/libonnxruntime_providers_cuda.so",
            "nvidia/cudnn/lib/libcudnn.so.9",
            "nvidia_cudnn_cu12.dist-info/License.txt",
        ] {
            let path = package.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let made = root.path().join(PLACE);
        keep(&package, &made).unwrap();
        let cache = Cache::at(root.path());
        assert!(OnnxRuntime { gpu: true }.ready(&cache));
        assert!(made.join("lib/nvidia_cudnn_cu12.dist-info/License.txt").exists());
        fs::remove_dir_all(made.join("lib/nvidia")).unwrap();
        assert!(!OnnxRuntime { gpu: true }.ready(&cache), "cuDNN is missing");
    }

    #[test]
    fn a_package_without_the_library_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(CAPI)).unwrap();
        assert!(keep(root.path(), &root.path().join("made")).is_err());
    }
}
