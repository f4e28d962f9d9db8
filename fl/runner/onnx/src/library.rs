//! Where ONNX Runtime's library is: beside the binaries of an installed copy, else where setup put it.

use fieldmark_sandbox::Library;
use std::path::{Path, PathBuf};

/// The library's name, as an installed copy has it and as the link in the cache.
const NAME: &str = "libonnxruntime.so";
/// Its CUDA half, beside it. ONNX Runtime opens it itself, with the first session on a GPU: opened by another, it
/// calls into a host that is not there yet.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";
/// What the provider is linked against, and what those open by name later, in the order in which they need each
/// other; and the folder of each in [`PACKAGES`].
const CUDA: [(&str, &str); 8] = [
    ("cuda_runtime", "libcudart.so.12"),
    ("nvjitlink", "libnvJitLink.so.12"),
    ("cuda_nvrtc", "libnvrtc.so.12"),
    ("cublas", "libcublasLt.so.12"),
    ("cublas", "libcublas.so.12"),
    ("curand", "libcurand.so.10"),
    ("cufft", "libcufft.so.11"),
    ("cudnn", "libcudnn.so.9"),
];
/// NVIDIA's packages, beside the library.
const PACKAGES: &str = "nvidia";
/// Beside the folder of the binaries.
const INSTALLED: &str = "../lib/fieldmark";
/// The folder that `cargo xtask setup` filled, compiled in.
const BUILT: Option<&str> = option_env!("FIELDMARK_ONNXRUNTIME");

/// The library's real path, the only one that exists behind the layers: in `given`, if that is given, else in the
/// places above.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, String> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join(INSTALLED)));
    let folders: Vec<PathBuf> = match given {
        Some(folder) => vec![folder.to_owned()],
        None => beside.into_iter().chain(BUILT.map(PathBuf::from)).collect(),
    };
    let found = folders
        .iter()
        .filter_map(|folder| folder.join(NAME).canonicalize().ok())
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        let listed: Vec<String> = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        format!(
            "{NAME} is not in {}; run `cargo xtask setup`, or put ONNX Runtime's library there",
            listed.join(" or ")
        )
    })
}

/// Opens what the CUDA half beside `library` needs, so that it is there behind the layers and its folders are known.
pub(crate) fn open_cuda(library: &Path) -> Result<(), String> {
    let folder = library.parent().unwrap_or(Path::new("/"));
    if !folder.join(PROVIDER).is_file() {
        return Err(format!(
            "{} has no {PROVIDER}; get ONNX Runtime for CUDA with `cargo xtask setup --gpu`",
            folder.display()
        ));
    }
    for (package, name) in CUDA {
        let path = place(folder, package, name);
        Library::open(&path.display().to_string()).map_err(|cause| {
            format!(
                "a library of CUDA 12 that ONNX Runtime needs cannot be opened: {cause}; get it with `cargo xtask \
                 setup --gpu`"
            )
        })?;
    }
    Ok(())
}

/// Where NVIDIA's `package` beside ONNX Runtime's library has `name`; else the name, for the machine's own.
fn place(folder: &Path, package: &str, name: &str) -> PathBuf {
    let own = folder.join(PACKAGES).join(package).join("lib").join(name);
    if own.is_file() { own } else { PathBuf::from(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_folder() {
        let error = find(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.contains(NAME) && error.contains("/nowhere"), "{error}");
        let error = open_cuda(&Path::new("/nowhere").join(NAME)).unwrap_err();
        assert!(
            error.contains(PROVIDER) && error.contains("setup --gpu"),
            "{error}"
        );
    }

    #[test]
    fn nvidias_packages_come_before_the_machines_own_libraries() {
        let folder = std::env::temp_dir().join(format!("fieldmark-packages-{}", std::process::id()));
        let own = folder.join("nvidia/cudnn/lib/libcudnn.so.9");
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "").unwrap();
        assert_eq!(place(&folder, "cudnn", "libcudnn.so.9"), own);
        assert_eq!(
            place(&folder, "cufft", "libcufft.so.11"),
            Path::new("libcufft.so.11")
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
