//! `.cargo/local.toml`: the absolute paths that make a plain `cargo build` work in this clone.
//!
//! The paths point into the cache, never into the clone, so that clones sharing a target folder build
//! the same thing. Values are forced over the shell's: someone who exports another libtorch for other
//! work still builds Fieldmark against the pinned one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{libclang, onnxruntime, rocksdb, torch};
use crate::cache::Cache;
use crate::process;
use crate::workspace::{ENVIRONMENT, Workspace};

/// Writes the file if it is missing or says something else.
///
/// # Errors
/// When gcc does not answer or the file cannot be written.
pub(super) fn write(workspace: &Workspace, cache: &Cache) -> Result<()> {
    let headers = process::capture(Command::new("gcc").arg("-print-file-name=include"))?;
    let text = render(
        &torch::folder(cache),
        &onnxruntime::folder(cache),
        &libclang::folder(cache)?,
        Path::new(&headers),
        rocksdb::folder(workspace, cache)?.as_deref(),
    );
    let path = workspace.root().join(".cargo/local.toml");
    if fs::read_to_string(&path).is_ok_and(|current| current == text) {
        return Ok(());
    }
    // Other cargo processes may read the file at any moment: they find the old one or the new one.
    let partial = path.with_extension("toml.partial");
    fs::write(&partial, text).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// `rocksdb` is missing only while setup compiles it.
fn render(
    libtorch: &Path,
    onnxruntime: &Path,
    libclang: &Path,
    headers: &Path,
    rocksdb: Option<&Path>,
) -> String {
    let mut values = vec![
        libtorch.display().to_string(),
        "1".to_owned(),
        onnxruntime.display().to_string(),
        libclang.display().to_string(),
        format!("-I{}", headers.display()),
    ];
    if let Some(rocksdb) = rocksdb {
        values.extend([rocksdb.display().to_string(), "1".to_owned()]);
    }
    let mut text = "# Written by `cargo xtask setup`; not for editing.\n[env]\n".to_owned();
    for (name, value) in ENVIRONMENT.iter().zip(values) {
        text += &format!(
            "{name} = {{ value = {}, force = true }}\n",
            toml::Value::String(value)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_round_through_toml() {
        let text = render(
            Path::new("/home/a \"b\"/libtorch"),
            Path::new("/cache/onnxruntime"),
            Path::new("/c"),
            Path::new("/usr/include"),
            Some(Path::new("/cache/rocksdb")),
        );
        let parsed: toml::Table = text.parse().unwrap();
        let value = |name: &str| parsed["env"][name]["value"].as_str().unwrap().to_owned();
        assert_eq!(value("LIBTORCH"), "/home/a \"b\"/libtorch");
        assert_eq!(value("LIBTORCH_BYPASS_VERSION_CHECK"), "1");
        assert_eq!(value("BINDGEN_EXTRA_CLANG_ARGS"), "-I/usr/include");
        assert_eq!(value("FIELDMARK_ONNXRUNTIME"), "/cache/onnxruntime");
        assert_eq!(value("ROCKSDB_LIB_DIR"), "/cache/rocksdb");
        assert_eq!(parsed["env"]["LIBCLANG_PATH"]["force"].as_bool(), Some(true));
    }
}
