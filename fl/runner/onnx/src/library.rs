//! Where ONNX Runtime's library is: beside the binaries of an installed copy, else where setup put it.

use std::path::{Path, PathBuf};

/// The library's name, as an installed copy has it and as the link in the cache.
const NAME: &str = "libonnxruntime.so";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_folder() {
        let error = find(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.contains(NAME) && error.contains("/nowhere"), "{error}");
    }
}
