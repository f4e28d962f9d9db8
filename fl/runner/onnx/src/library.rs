//! Where ONNX Runtime's library is: beside the binaries of an installed copy, else where setup put it.

use fieldmark_sandbox::Library;
use std::path::{Path, PathBuf};

/// The library's name, as an installed copy has it and as the link in the cache.
const NAME: &str = "libonnxruntime.so";
/// Its CUDA half, in the order in which the parts need each other.
const CUDA: [&str; 2] = [
    "libonnxruntime_providers_shared.so",
    "libonnxruntime_providers_cuda.so",
];
/// Beside the folder of the binaries.
const INSTALLED: &str = "../lib/fieldmark";
/// The folder that `cargo xtask setup` filled, compiled in.
const BUILT: Option<&str> = option_env!("FIELDMARK_ONNXRUNTIME");

/// The library: in `given`, if that is given, else in the places above.
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
        .map(|folder| folder.join(NAME))
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

/// Opens the CUDA half beside `library`, and with it CUDA's own libraries, so that their folders are known.
pub(crate) fn open_cuda(library: &Path) -> Result<(), String> {
    let folder = library.parent().unwrap_or(Path::new("."));
    for name in CUDA {
        let path = folder.join(name).display().to_string();
        Library::open(&path).map_err(|cause| {
            format!(
                "ONNX Runtime's CUDA libraries cannot be opened: {cause}; get them with `cargo xtask setup --gpu`, \
                 and CUDA's and cuDNN's own libraries from the machine"
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_folder() {
        let error = find(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.contains(NAME) && error.contains("/nowhere"), "{error}");
    }
}
