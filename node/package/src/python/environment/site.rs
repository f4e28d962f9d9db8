//! Where one environment is built, by whom, and under which lock.
//!
//! Started as root, the builder is another user inside its sandbox, so its folders are open to everyone. They lie
//! in one that nobody else can enter.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;

use super::EnvironmentError;
use crate::python::Lock;
use crate::{PackageError, folder};

/// Longest wait for a builder to be gone once its life line is cut.
const END_MAX: Duration = Duration::from_secs(10);

/// A folder in which a builder works. The lock is let go when nobody writes there any more, even if nobody waits for
/// the build.
#[derive(Debug)]
pub(super) struct Site {
    folder: PathBuf,
    held: Option<File>,
    /// The builder, once it is started.
    pub(super) builder: Option<Child>,
}

impl Site {
    /// Makes `folder` anew, with what the builder needs. `held` is the lock on it.
    pub(super) fn new(folder: PathBuf, held: File, lock: &Lock) -> Result<Self, PackageError> {
        folder::remove(&folder)?;
        prepare(&folder, lock)?;
        Ok(Self {
            folder,
            held: Some(held),
            builder: None,
        })
    }

    /// The builder's own folder.
    pub(super) fn building(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Waits for the builder, whose life line is cut, to be gone.
    pub(super) async fn close(&mut self) {
        if let Some(builder) = &mut self.builder {
            end(builder).await;
            self.builder = None;
        }
    }

    /// Makes what was built the environment `done`. The builder must be gone.
    pub(super) fn take(&self, done: &Path) -> Result<(), PackageError> {
        let packages = self.building().join("packages");
        if !is_folder(&packages) {
            let words = "pip left something else than a folder of packages; nothing of it is kept";
            return Err(EnvironmentError::Pip(words.to_owned()).into());
        }
        fs::set_permissions(&packages, Permissions::from_mode(0o755)).map_err(PackageError::io(&packages))?;
        fs::rename(&packages, done).map_err(PackageError::io(done))
    }

    /// Removes what is left. What stays nevertheless is removed by the next build.
    pub(super) fn clear(&self) {
        drop(folder::remove(&self.folder));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let (Some(mut builder), Some(held)) = (self.builder.take(), self.held.take()) else {
            return;
        };
        // Without a runtime this process ends, and the builder with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let folder = std::mem::take(&mut self.folder);
            runtime.spawn(async move {
                end(&mut builder).await;
                drop(folder::remove(&folder));
                drop(held);
            });
        }
    }
}

/// Whether this is a folder itself, and no link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Waits for a process that is about to end, and kills it if it does not.
async fn end(child: &mut Child) {
    if tokio::time::timeout(END_MAX, child.wait()).await.is_err() {
        drop(tokio::time::timeout(END_MAX, child.kill()).await);
    }
}

fn prepare(site: &Path, lock: &Lock) -> Result<(), PackageError> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    private.create(site).map_err(PackageError::io(site))?;
    let owner = fs::metadata(site).map_err(PackageError::io(site))?.uid();
    let mode = if owner == 0 { 0o777 } else { 0o700 };
    let building = site.join("build");
    for folder in [building.clone(), building.join("packages"), building.join("work")] {
        private.create(&folder).map_err(PackageError::io(&folder))?;
        fs::set_permissions(&folder, Permissions::from_mode(mode)).map_err(PackageError::io(&folder))?;
    }
    let path = building.join("requirements.txt");
    fs::write(&path, lock.canonical()).map_err(PackageError::io(&path))?;
    fs::set_permissions(&path, Permissions::from_mode(0o644)).map_err(PackageError::io(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site below `home`, and the path of its lock.
    fn site(home: &Path) -> (Site, PathBuf) {
        let lock = Lock::parse(&format!("six==1.0 --hash=sha256:{}\n", "a".repeat(64))).unwrap();
        let path = home.join("lock");
        let held = folder::lock(&path).unwrap();
        (Site::new(home.join(".id"), held, &lock).unwrap(), path)
    }

    #[test]
    fn others_cannot_enter_the_folder_in_which_anyone_may_write() {
        let home = tempfile::tempdir().unwrap();
        let (site, _) = site(home.path());
        let found = |path: &Path| fs::metadata(path).unwrap();
        let mode = |path: &Path| found(path).mode() & 0o777;
        let inner = match found(&site.folder).uid() {
            0 => 0o777,
            _ => 0o700,
        };
        assert_eq!(mode(&site.folder), 0o700);
        assert_eq!(mode(&site.building().join("packages")), inner);
    }

    #[test]
    fn a_link_in_place_of_what_was_built_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (site, _) = site(home.path());
        let (aim, done) = (home.path().join("aim"), home.path().join("done"));
        let packages = site.building().join("packages");
        fs::rename(&packages, &aim).unwrap();
        let before = fs::metadata(&aim).unwrap().mode();
        std::os::unix::fs::symlink(&aim, &packages).unwrap();
        assert!(site.take(&done).is_err() && !is_folder(&packages));
        assert_eq!(fs::metadata(&aim).unwrap().mode(), before);
        fs::remove_file(&packages).unwrap();
        fs::rename(&aim, &packages).unwrap();
        site.take(&done).unwrap();
        assert!(is_folder(&done));
    }

    #[tokio::test]
    async fn the_lock_is_held_until_a_builder_nobody_waits_for_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let (mut site, path) = site(home.path());
        let folder = site.folder.clone();
        let builder = tokio::process::Command::new("sleep").arg("1").spawn().unwrap();
        let process = PathBuf::from(format!("/proc/{}", builder.id().unwrap()));
        site.builder = Some(builder);
        drop(site);
        assert!(File::open(&path).unwrap().try_lock().is_err());
        drop(crate::blocking(move || folder::lock(&path)).await.unwrap());
        assert!(!process.exists() && !folder.exists());
    }
}
