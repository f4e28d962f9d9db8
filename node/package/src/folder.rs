//! Release folders: the files of a release laid out as in its package, for a runtime that reads files.
//!
//! ```text
//! HOME/releases/ID/…       the package's files
//! HOME/releases/.ID-N      being written; removed by whoever takes the lock next
//! HOME/releases/.ID.lock   held while writing
//! ```
//!
//! `ID` is BLAKE3 over `fieldmark release folder 1\n` and, for every file in order of its path, its BLAKE3 in
//! hexadecimal, a space, its path and a line feed. Every byte is hashed on the way in; the folder gets its name
//! when it is complete. Files are copies, readable for all, because a runner started as root is another user by
//! the time it reads them, and because a package folder may change after it was checked.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_protocol::release::{Artifact, Release};

use crate::PackageError;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// What the first line of an id's input says.
const FORMAT: &[u8] = b"fieldmark release folder 1\n";

/// Where the files of a release are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In a package folder.
    Folder(&'a Path),
    /// In the blob store, all of them.
    Store(&'a BlobStore),
}

impl Source<'_> {
    /// The path of one file.
    pub(crate) fn path(&self, artifact: &Artifact) -> Result<PathBuf, PackageError> {
        match self {
            Self::Folder(folder) => Ok(folder.join(&artifact.path)),
            Self::Store(store) => {
                let path = store.path_of(&BlobHash(*artifact.blake3.as_bytes()));
                path.ok_or_else(|| PackageError::Lost {
                    path: PathBuf::from(&artifact.path),
                })
            }
        }
    }
}

/// Name of a release's folder.
#[must_use]
pub(crate) fn id(release: &Release) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(FORMAT);
    for artifact in &release.artifacts {
        hasher.update(format!("{} {}\n", artifact.blake3, artifact.path).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The release's folder under `releases`, made if it is not there.
pub(crate) fn lay_out(
    releases: &Path,
    release: &Release,
    source: Source<'_>,
) -> Result<PathBuf, PackageError> {
    let id = id(release);
    let folder = releases.join(&id);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(releases).map_err(PackageError::io(releases))?;
    let _lock = lock(&releases.join(format!(".{id}.lock")))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let unfinished = releases.join(format!(".{id}-0"));
    remove(&unfinished)?;
    make_folder(&unfinished)?;
    for artifact in &release.artifacts {
        copy(&source.path(artifact)?, &unfinished, artifact)?;
    }
    fs::rename(&unfinished, &folder).map_err(PackageError::io(&folder))?;
    Ok(folder)
}

/// Holds a lock file until it is dropped; the system lets go of it when the process ends, however.
pub(crate) fn lock(path: &Path) -> Result<File, PackageError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let file = file.map_err(PackageError::io(path))?;
    file.lock().map_err(PackageError::io(path))?;
    Ok(file)
}

/// Removes what an earlier, interrupted run left.
pub(crate) fn remove(path: &Path) -> Result<(), PackageError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PackageError::io(path)(error)),
        _ => Ok(()),
    }
}

/// A folder that everyone may enter and list.
pub(crate) fn make_folder(path: &Path) -> Result<(), PackageError> {
    fs::create_dir_all(path).map_err(PackageError::io(path))?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(PackageError::io(path))
}

fn copy(from: &Path, folder: &Path, artifact: &Artifact) -> Result<(), PackageError> {
    let mut to = folder.to_owned();
    let mut parts = artifact.path.split('/').peekable();
    while let Some(part) = parts.next() {
        to.push(part);
        if parts.peek().is_some() {
            make_folder(&to)?;
        }
    }
    let mut source = File::open(from).map_err(PackageError::io(from))?;
    let mut target = File::create_new(&to).map_err(PackageError::io(&to))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = source.read(&mut chunk).map_err(PackageError::io(from))?;
        let bytes = chunk.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        target.write_all(bytes).map_err(PackageError::io(&to))?;
    }
    if hasher.finalize().as_bytes() != artifact.blake3.as_bytes() {
        return Err(PackageError::Changed {
            path: from.to_owned(),
        });
    }
    target
        .set_permissions(Permissions::from_mode(0o644))
        .map_err(PackageError::io(&to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Package;
    use crate::tests::package;

    #[test]
    fn a_release_is_laid_out_once_and_checked_on_the_way() {
        let (dir, home) = (package(), tempfile::tempdir().unwrap());
        let release = Package::read(dir.path()).unwrap().hash().unwrap();
        // What an interrupted run left is no obstacle.
        fs::create_dir_all(home.path().join(format!(".{}-0/left", id(&release)))).unwrap();
        let folder = lay_out(home.path(), &release, Source::Folder(dir.path())).unwrap();
        assert_eq!(
            fs::read(folder.join("sample.json")).unwrap(),
            fs::read(dir.path().join("sample.json")).unwrap()
        );
        assert!(!folder.join(".hidden").exists());
        let mode = fs::metadata(folder.join("model.pt"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);

        fs::write(dir.path().join("model.pt"), "another").unwrap();
        assert_eq!(
            lay_out(home.path(), &release, Source::Folder(dir.path())).unwrap(),
            folder
        );
        let elsewhere = home.path().join("elsewhere");
        let changed = lay_out(&elsewhere, &release, Source::Folder(dir.path())).unwrap_err();
        assert!(matches!(changed, PackageError::Changed { .. }), "{changed}");
        assert!(!elsewhere.join(id(&release)).exists());
    }

    #[test]
    fn the_id_of_a_release_folder_stays_what_it_is() {
        let dir = package();
        let mut release = Package::read(dir.path()).unwrap().hash().unwrap();
        release.artifacts.truncate(1);
        let text = format!(
            "fieldmark release folder 1\n{} README.md\n",
            release.artifacts[0].blake3
        );
        assert_eq!(id(&release), blake3::hash(text.as_bytes()).to_hex().to_string());
    }
}
