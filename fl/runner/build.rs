//! Tells the loader where libtorch is, so that the binaries run without `LD_LIBRARY_PATH`.
//!
//! In order: beside the binaries of an installed copy, then the folder the build linked against, then the
//! folders its links point to. `DT_RPATH` instead of `DT_RUNPATH`, because it also serves the libraries that
//! libtorch itself asks for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/fieldmark");
    let Some(libraries) = std::env::var_os("LIBTORCH").map(|root| PathBuf::from(root).join("lib")) else {
        return;
    };
    println!("cargo::rerun-if-changed={}", libraries.display());
    let mut folders = vec![libraries.clone()];
    folders.extend(folders_behind_links(&libraries));
    for folder in folders {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}

fn folders_behind_links(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.path().canonicalize().ok()?.parent().map(Path::to_path_buf))
        .filter(|parent| parent != folder)
        .collect()
}
