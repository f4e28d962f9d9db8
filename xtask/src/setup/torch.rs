//! libtorch out of the PyTorch package, without its 2 GB of CUDA libraries.
//!
//! The package for CUDA is the only one that serves both CPU and GPU. Its CPU libraries need nothing of
//! CUDA but two small ones. `libtorch/lib` holds links to what the runner is linked against and nothing
//! of CUDA, because `torch-sys` would link that too. The package's own `libtorch.so` is an empty shell
//! that requires CUDA; some link orders record it and the program then does not start on a CPU, so that
//! the name leads to `libtorch_cpu.so` here. The rest of the package is not kept, except with
//! `--gpu`: then the CUDA libraries stay in `site/torch/lib`, where a runner finds them at start, and NVIDIA's
//! packages, which the package asks for, lie beside it in `site/nvidia`, where those libraries look for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::libclang::find;
use super::{Part, pip};
use crate::cache::{Cache, remove};

const PLACE: &str = "torch-2.11.0";

const PACKAGES: &[&str] = &[
    "torch==2.11.0",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cupti==13.0.85",
];

/// What the package asks for on a GPU beyond [`PACKAGES`]: its own demands, and those of `cuda-toolkit` 13.0.2.
const PACKAGES_OF_CUDA: &[&str] = &[
    "nvidia-cublas==13.1.0.3",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cudnn-cu13==9.19.0.56",
    "nvidia-cufft==12.0.0.61",
    "nvidia-cufile==1.15.1.6",
    "nvidia-curand==10.4.0.35",
    "nvidia-cusolver==12.0.4.66",
    "nvidia-cusparse==12.6.3.3",
    "nvidia-cusparselt-cu13==0.8.0",
    "nvidia-nccl-cu13==2.28.9",
    "nvidia-nvjitlink==13.0.88",
    "nvidia-nvshmem-cu13==3.4.5",
    "nvidia-nvtx==13.0.85",
];

/// Any version that the package is built for serves: only its C++ libraries are used.
const PYTHON: &str = "3.12";

/// What the runner is linked against, and needs at start.
const LIBRARIES: &[&str] = &[
    "libc10.so",
    "libtorch_cpu.so",
    "libtorch_global_deps.so",
    "libshm.so",
    "libgomp.so.1",
    "libcudart.so.13",
    "libcupti.so.13",
];

/// Names that the build asks for, and the library that each means.
const ALIASES: &[(&str, &str)] = &[("libtorch.so", "libtorch_cpu.so")];

/// A header and the CUDA libraries, libtorch's and NVIDIA's, by which a finished layout is recognised.
const HEADER: &str = "libtorch/include/torch/csrc/api/include/torch/torch.h";
const CUDA: [&str; 2] = [
    "site/torch/lib/libtorch_cuda.so",
    "site/nvidia/cudnn/lib/libcudnn.so.9",
];

/// libtorch, with or without its CUDA libraries.
pub(super) struct Torch {
    pub(super) gpu: bool,
}

impl Torch {
    fn packages(&self) -> Vec<&'static str> {
        let of_cuda: &[&'static str] = if self.gpu { PACKAGES_OF_CUDA } else { &[] };
        [PACKAGES, of_cuda].concat()
    }
}

impl Part for Torch {
    fn title(&self) -> String {
        let megabytes = if self.gpu { 2500 } else { 530 };
        format!("libtorch 2.11.0 ({megabytes} MB)")
    }

    fn place(&self) -> &str {
        PLACE
    }

    fn ready(&self, cache: &Cache) -> bool {
        let place = cache.root().join(PLACE);
        let libraries = LIBRARIES
            .iter()
            .all(|name| place.join("libtorch/lib").join(name).exists());
        libraries
            && place.join(HEADER).exists()
            && (!self.gpu || CUDA.iter().all(|path| place.join(path).exists()))
    }

    fn make(&self, made: &Path) -> Result<()> {
        let scratch = made.parent().unwrap_or(made);
        let package = scratch.join("package");
        let site = made.join("site");
        pip::install(&self.packages(), Some(PYTHON), &package, scratch)?;
        if self.gpu {
            fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
            fs::rename(&package, &site).with_context(|| format!("cannot make {}", site.display()))?;
        } else {
            keep_cpu(&package, &site)?;
            remove(&package)?;
        }
        link(made)
    }
}

/// The folder that `LIBTORCH` names.
pub(super) fn folder(cache: &Cache) -> PathBuf {
    cache.root().join(PLACE).join("libtorch")
}

/// Moves what the build and the runner need from the unpacked package to `site`: headers, libraries and
/// the packages' licences.
fn keep_cpu(package: &Path, site: &Path) -> Result<()> {
    let mut kept = vec![PathBuf::from("torch/include"), PathBuf::from("torch/version.py")];
    for name in LIBRARIES {
        kept.push(relative(&library(package, name)?, package)?);
    }
    for entry in fs::read_dir(package).with_context(|| format!("cannot read {}", package.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "dist-info") {
            kept.push(relative(&path, package)?);
        }
    }
    for path in kept {
        let (from, to) = (package.join(&path), site.join(&path));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::rename(&from, &to).with_context(|| format!("cannot move {}", from.display()))?;
    }
    Ok(())
}

/// Makes `libtorch` beside `site`, of relative links, so that the whole can be renamed.
fn link(made: &Path) -> Result<()> {
    let lib = made.join("libtorch/lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    for name in LIBRARIES {
        let target = relative(&library(&made.join("site"), name)?, made)?;
        make_link(&Path::new("../..").join(target), &lib.join(name))?;
    }
    for (alias, name) in ALIASES {
        make_link(Path::new(name), &lib.join(alias))?;
    }
    make_link(Path::new("../site/torch/include"), &made.join("libtorch/include"))?;
    if !made.join(HEADER).exists() {
        bail!("{} has no {HEADER}", made.display());
    }
    Ok(())
}

fn make_link(target: &Path, at: &Path) -> Result<()> {
    symlink(target, at).with_context(|| format!("cannot make the link {}", at.display()))
}

fn library(folder: &Path, name: &str) -> Result<PathBuf> {
    find(folder, name)?.with_context(|| format!("the packages {PACKAGES:?} have no {name} for this machine"))
}

fn relative(path: &Path, root: &Path) -> Result<PathBuf> {
    let inside = path.strip_prefix(root);
    Ok(inside
        .with_context(|| format!("{} is outside {}", path.display(), root.display()))?
        .to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(package: &Path) {
        let header = HEADER.replace("libtorch/", "torch/");
        let mut files = vec![
            header,
            "torch/version.py".to_owned(),
            "torch/nn/big.py".to_owned(),
        ];
        files.extend(CUDA.map(|path| path.replace("site/", "")));
        files.push("torch-2.11.0.dist-info/licenses/LICENSE".to_owned());
        for name in LIBRARIES {
            let folder = if name.starts_with("libcu") {
                "nvidia/cu13/lib"
            } else {
                "torch/lib"
            };
            files.push(format!("{folder}/{name}"));
        }
        for file in files {
            let path = package.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn the_kept_part_is_linked_and_survives_a_rename() {
        let root = tempfile::tempdir().unwrap();
        let (package, made) = (root.path().join("package"), root.path().join("made"));
        unpacked(&package);
        keep_cpu(&package, &made.join("site")).unwrap();
        link(&made).unwrap();
        fs::rename(&made, root.path().join(PLACE)).unwrap();

        let cache = Cache::at(root.path());
        assert!(Torch { gpu: false }.ready(&cache));
        assert!(
            !Torch { gpu: true }.ready(&cache),
            "the CUDA library was not kept"
        );
        assert!(!root.path().join(PLACE).join("site/torch/nn").exists());
        assert!(
            root.path()
                .join(PLACE)
                .join("site/torch-2.11.0.dist-info/licenses/LICENSE")
                .exists()
        );
    }

    #[test]
    fn nvidias_packages_are_fetched_for_a_gpu_only_and_must_be_there() {
        let cudnn = |gpu| {
            let packages = Torch { gpu }.packages();
            packages
                .iter()
                .any(|package| package.starts_with("nvidia-cudnn-cu13=="))
        };
        assert!(cudnn(true) && !cudnn(false));

        let root = tempfile::tempdir().unwrap();
        let (made, cache) = (root.path().join(PLACE), Cache::at(root.path()));
        unpacked(&made.join("site"));
        link(&made).unwrap();
        assert!(Torch { gpu: true }.ready(&cache));
        fs::remove_dir_all(made.join("site/nvidia/cudnn")).unwrap();
        assert!(!Torch { gpu: true }.ready(&cache), "cuDNN is missing");
    }

    #[test]
    fn a_package_without_a_library_is_refused() {
        let root = tempfile::tempdir().unwrap();
        unpacked(root.path());
        fs::remove_file(root.path().join("torch/lib/libshm.so")).unwrap();
        let error = keep_cpu(root.path(), &root.path().join("site")).unwrap_err();
        assert!(error.to_string().contains("libshm.so"));
    }
}
