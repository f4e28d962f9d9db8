//! Reading and writing the small files of a data folder: secrets with their modes, texts atomically.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::HomeError;

/// Most bytes of a text file in a data folder.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;
/// Hex digits of a secret.
const SECRET_DIGITS: usize = 64;

/// Draws 32 bytes and writes them to a new file of mode 0600.
pub(super) fn create_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, HomeError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(|e| HomeError::Entropy {
        detail: e.to_string(),
    })?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(*secret)));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.map_err(HomeError::io("create", path))?;
    file.write_all(text.as_bytes())
        .map_err(HomeError::io("write", path))?;
    file.sync_all().map_err(HomeError::io("write", path))?;
    Ok(secret)
}

/// Reads a file that [`create_secret`] wrote, if only the owner can.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, HomeError> {
    check_mode(path)?;
    let text = Zeroizing::new(read_text(path)?);
    let mut secret = Zeroizing::new([0; 32]);
    let digits = text.trim();
    hex::decode_to_slice(digits, secret.as_mut_slice()).map_err(|_| {
        let found = digits.len();
        HomeError::damaged(
            path,
            format!("{SECRET_DIGITS} hex digits expected, {found} characters found"),
        )
    })?;
    Ok(secret)
}

/// Checks that nobody but the owner can open a file or enter a folder.
pub(super) fn check_mode(path: &Path) -> Result<(), HomeError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(HomeError::damaged(path, "the file is missing"));
        }
        Err(error) => return Err(HomeError::io("read", path)(error)),
    };
    let found = metadata.permissions().mode() & 0o7777;
    if found & 0o077 != 0 {
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        return Err(HomeError::Mode {
            path: path.to_owned(),
            found,
            expected,
        });
    }
    Ok(())
}

/// Reads a text file of bounded length.
pub(super) fn read_text(path: &Path) -> Result<String, HomeError> {
    let file = File::open(path).map_err(HomeError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(HomeError::io("read", path))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(HomeError::damaged(
            path,
            format!("more than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| HomeError::damaged(path, "not UTF-8 text"))
}

/// Replaces a file atomically: after a crash it has its old or its new content. Mode 0600.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), HomeError> {
    let temporary = path.with_extension("new");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary);
    let mut file = file.map_err(HomeError::io("create", &temporary))?;
    file.write_all(content)
        .map_err(HomeError::io("write", &temporary))?;
    file.sync_all().map_err(HomeError::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(HomeError::io("replace", path))?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder_file = File::open(folder).map_err(HomeError::io("open", folder))?;
    folder_file.sync_all().map_err(HomeError::io("write", folder))
}
