//! Replaces the root folder by an empty, read-only one. After this no path leads anywhere.

use super::LayerError;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{chdir, pivot_root};

/// Any folder every Linux system has; the empty file system is mounted over it for a moment.
const STAGE: &str = "/proc";
const LAYER: &str = "empty-root";

/// Mounts an empty file system, makes it the root and detaches the old one.
pub(super) fn replace_by_empty() -> Result<String, LayerError> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(
        "none",
        STAGE,
        "tmpfs",
        flags,
        Some(c"size=4k,nr_inodes=2,mode=0555"),
    )
    .map_err(|error| LayerError::new(LAYER, "mounting an empty file system", error))?;
    chdir(STAGE).map_err(|error| LayerError::new(LAYER, "entering it", error))?;
    // With both arguments the same, the old root ends up on top of the new one and is then detached.
    pivot_root(".", ".").map_err(|error| LayerError::new(LAYER, "making it the root", error))?;
    unmount(".", UnmountFlags::DETACH)
        .map_err(|error| LayerError::new(LAYER, "detaching the old root", error))?;
    chdir("/").map_err(|error| LayerError::new(LAYER, "entering the new root", error))?;
    verify()?;
    Ok(LAYER.to_owned())
}

fn verify() -> Result<(), LayerError> {
    let entries =
        std::fs::read_dir("/").map_err(|error| LayerError::new(LAYER, "listing the new root", error))?;
    match entries.count() {
        0 => Ok(()),
        entries => Err(LayerError::new(
            LAYER,
            "listing the new root",
            format!("{entries} entries, none expected"),
        )),
    }
}
