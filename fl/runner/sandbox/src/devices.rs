//! The device nodes of NVIDIA's driver, by name.

use std::path::{Path, PathBuf};

/// Folders that hold nodes, and what their names start with.
const PLACES: [(&str, &str); 2] = [("/dev", "nvidia"), ("/dev/nvidia-caps", "nvidia-cap")];

/// Every node of the driver on this machine, in order: the control node, unified memory, each GPU. Empty
/// without a GPU.
#[must_use]
pub fn nvidia_devices() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = PLACES
        .iter()
        .flat_map(|(folder, prefix)| nodes(Path::new(folder), prefix))
        .collect();
    found.sort();
    found
}

fn nodes(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_char_device()))
        .map(|entry| entry.path())
        .collect()
}
