//! Compiles every schema below `fieldmark/` with protox; no protoc needs to be installed.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("fieldmark/v1");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut schemas: Vec<PathBuf> = std::fs::read_dir(root)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    schemas.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    schemas.sort();
    let descriptors = protox::compile(&schemas, ["."])?;
    prost_build::Config::new()
        .btree_map(["."])
        // Elements of tensors are passed on without being copied.
        .bytes([".fieldmark.v1.Tensor"])
        .compile_fds(descriptors)?;
    Ok(())
}
