//! The files of a package folder: which belong to it, and their hashes.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::release::{ARTIFACTS_MAX, Artifact, check_path};
use sha2::{Digest as _, Sha256};

use crate::PackageError;

/// Most bytes of a manifest, card or sample.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Deepest folder inside a package.
const DEPTH_MAX: usize = 8;
/// Bytes read at once while hashing.
const CHUNK_BYTES: usize = 256 * 1024;

/// Reads a text file of bounded length.
pub(crate) fn read_text(path: &Path) -> Result<String, PackageError> {
    let not_text = |_| PackageError::Text {
        path: path.to_owned(),
        detail: "the file is not UTF-8 text; save it as UTF-8".to_owned(),
    };
    String::from_utf8(read_bytes(path, TEXT_BYTES_MAX)?).map_err(not_text)
}

/// Reads a text that is among a package's listed files. Whatever else a name leads to, a device, a pipe or a file
/// outside, is never opened; `missing` says so.
pub(crate) fn read_listed(
    folder: &Path,
    listed: &[String],
    file: &str,
    missing: &str,
) -> Result<String, PackageError> {
    let path = folder.join(file);
    if !listed.iter().any(|listed| listed == file) {
        let detail = missing.to_owned();
        return Err(PackageError::File { path, detail });
    }
    read_text(&path)
}

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PackageError> {
    let file = File::open(path).map_err(PackageError::io(path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(PackageError::io(path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(PackageError::Text {
            path: path.to_owned(),
            detail: format!("more than {bytes_max} bytes; make it shorter"),
        });
    }
    Ok(bytes)
}

/// Paths of all files, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>, PackageError> {
    let mut files = Vec::new();
    walk(folder, "", 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) -> Result<(), PackageError> {
    let fail = |path: &Path, detail: String| {
        Err(PackageError::File {
            path: path.to_owned(),
            detail,
        })
    };
    if depth > DEPTH_MAX {
        return fail(
            folder,
            format!("folders are nested deeper than {DEPTH_MAX}; flatten the package"),
        );
    }
    for entry in fs::read_dir(folder).map_err(PackageError::io(folder))? {
        let entry = entry.map_err(PackageError::io(folder))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            return fail(&path, "the name is not UTF-8; rename the file".to_owned());
        };
        if name.starts_with('.') || name == "__pycache__" {
            continue;
        }
        let kind = entry.file_type().map_err(PackageError::io(&path))?;
        let inside = format!("{prefix}{name}");
        if kind.is_dir() {
            walk(&path, &format!("{inside}/"), depth + 1, files)?;
            continue;
        }
        if !kind.is_file() {
            return fail(
                &path,
                "links and devices are not packed; put the file itself here".to_owned(),
            );
        }
        if let Err(error) = check_path(&inside) {
            return fail(&path, format!("{error}; rename the file"));
        }
        if files.len() >= ARTIFACTS_MAX {
            return fail(
                &path,
                format!("the package has more than {ARTIFACTS_MAX} files; remove what is not needed"),
            );
        }
        files.push(inside);
    }
    Ok(())
}

/// Hashes one file with BLAKE3 and SHA-256 in one pass.
pub(crate) fn hash(folder: &Path, file: &str) -> Result<Artifact, PackageError> {
    let path = folder.join(file);
    let mut source = File::open(&path).map_err(PackageError::io(&path))?;
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut size = 0_u64;
    loop {
        let count = source.read(&mut chunk).map_err(PackageError::io(&path))?;
        let bytes = chunk.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        blake3.update(bytes);
        sha256.update(bytes);
        size += bytes.len() as u64;
    }
    Ok(Artifact {
        path: file.to_owned(),
        blake3: ContentHash::new(*blake3.finalize().as_bytes()),
        sha256: ContentHash::new(sha256.finalize().into()),
        size,
    })
}
