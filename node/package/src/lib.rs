//! Packages: a folder with `fieldmark.toml`, `README.md` and the model's files, checked before anything
//! is published.
//!
//! Packing reads manifest and card, refuses files that would run code when loaded (pickles), hashes
//! every file once (BLAKE3 and SHA-256), and runs the model once on its sample in an isolated runner.
//! Importing does the same on the way into the blob store, so that what was tried out is what is kept.
//! [`Workshop`] makes a release ready to run, from either place and for every runtime; [`inspect`] looks into
//! artifacts, and [`starter`] begins a package from one.
//! Every regular file of the folder belongs to the package; hidden files and `__pycache__` do not.

mod allowance;
mod error;
mod files;
mod folder;
mod guess;
pub mod inspect;
mod pickle;
mod progress;
pub mod python;
pub mod starter;
mod trial;
mod workshop;

use std::path::{Path, PathBuf};

use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_fl::drift::Reference;
use fieldmark_fl::drift::reference::weights;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::manifest::{CARD_FILE, Counted, MANIFEST_FILE, Manifest};
use fieldmark_protocol::release::{Artifact, Release};
use fieldmark_supervisor::Tensor;

pub use allowance::{Allowance, Allowances, Bytes, EVERY, Place};
pub use error::PackageError;
pub use fieldmark_tensors::values;
pub use folder::Source;
pub use progress::Progress;
pub use trial::Trial;
pub use workshop::Workshop;

/// A package folder whose manifest, card and files were read and found in order.
#[derive(Debug, Clone)]
pub struct Package {
    folder: PathBuf,
    manifest: Manifest,
    card: String,
    /// Paths inside the package, sorted, `/` between parts.
    files: Vec<String>,
    /// What the reference file counts; nothing without one.
    counted: Counted,
}

/// A package that was hashed and tried out.
#[derive(Debug, Clone)]
pub struct Packed {
    /// What would be published.
    pub release: Release,
    /// How the run on the sample went.
    pub trial: Trial,
}

impl Package {
    /// Reads and checks a folder; hashes and runs nothing.
    ///
    /// # Errors
    /// [`PackageError`] naming the file and what to do.
    pub fn read(folder: &Path) -> Result<Self, PackageError> {
        let mut package = Self::read_without_reference(folder)?;
        if let Some(reference) = package.reference()? {
            let inputs = reference.outlyingness.map(|inputs| weights(&inputs.counts));
            package.counted = Counted {
                answers: weights(&reference.answers),
                inputs: inputs.unwrap_or_default(),
            };
            package.release(package.unhashed())?;
        }
        Ok(package)
    }

    /// Reads and checks a folder whose reference distributions are not there yet, or are about to be replaced.
    ///
    /// # Errors
    /// [`PackageError`] naming the file and what to do.
    pub fn read_without_reference(folder: &Path) -> Result<Self, PackageError> {
        if !folder.is_dir() {
            return Err(PackageError::NoFolder {
                path: folder.to_owned(),
            });
        }
        // Without a manifest nobody meant this folder: that is said before anything about its files.
        let path = folder.join(MANIFEST_FILE);
        std::fs::symlink_metadata(&path).map_err(PackageError::io(&path))?;
        let files = files::list(folder)?;
        let every = "every package has this file, and it is none of this one's";
        let manifest = Manifest::parse(&files::read_listed(folder, &files, MANIFEST_FILE, every)?)
            .map_err(PackageError::manifest(folder))?;
        let card = files::read_listed(folder, &files, CARD_FILE, every)?;
        let package = Self {
            folder: folder.to_owned(),
            manifest,
            card,
            files,
            counted: Counted::default(),
        };
        package.release(package.unhashed())?;
        for file in &package.files {
            pickle::refuse(&package.folder.join(file))?;
        }
        package.check_runtime()?;
        Ok(package)
    }

    /// What a runtime asks of its files, as far as it shows without running them.
    fn check_runtime(&self) -> Result<(), PackageError> {
        let entry = self.folder.join(&self.manifest.model.artifact);
        match self.manifest.model.runtime.as_str() {
            "onnx" => inspect::file(&entry).map(drop),
            "python" if entry.extension().is_none_or(|ending| ending != "py") => {
                let detail = "the artifact of a python package is its predict.py".to_owned();
                Err(PackageError::File { path: entry, detail })
            }
            "python" => workshop::lock(&self.folder).map(drop),
            _ => Ok(()),
        }
    }

    /// `name@version`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}@{}", self.manifest.model.name, self.manifest.model.version)
    }

    /// Hashes every file in one pass.
    ///
    /// # Errors
    /// [`PackageError::Io`].
    pub fn hash(&self) -> Result<Release, PackageError> {
        let hashed = |file: &String| files::hash(&self.folder, file);
        self.release(self.files.iter().map(hashed).collect::<Result<_, _>>()?)
    }

    /// Copies every file into the blob store, hashing it on the way. What was new to the store is told,
    /// so that a caller can take it out again.
    fn import(&self, store: &BlobStore) -> Result<(Release, Vec<BlobHash>), PackageError> {
        let mut artifacts = Vec::new();
        let mut new = Vec::new();
        for file in &self.files {
            let path = self.folder.join(file);
            let imported = store
                .import_path(&path)
                .map_err(|source| PackageError::Store { path, source })?;
            if !imported.already_stored {
                new.push(imported.hash);
            }
            artifacts.push(Artifact {
                path: file.clone(),
                blake3: ContentHash::new(imported.hash.0),
                sha256: ContentHash::new(imported.sha256),
                size: imported.size,
            });
        }
        Ok((self.release(artifacts)?, new))
    }

    /// Whether the manifest names a sample.
    #[must_use]
    pub fn has_sample(&self) -> bool {
        self.manifest.sample.is_some()
    }

    /// The inputs of the sample run: the manifest's sample, or zeros of the stated shapes.
    ///
    /// # Errors
    /// [`PackageError::Sample`] when the sample does not fit the inputs.
    pub fn sample(&self) -> Result<Vec<Tensor>, PackageError> {
        let release = self.release(self.unhashed())?;
        let Some(sample) = &self.manifest.sample else {
            return Ok(values::zeros(&release.inputs)?);
        };
        let path = self.folder.join(&sample.file);
        let named = format!("[sample] of {MANIFEST_FILE} names it, and it is no file of the package");
        let text = files::read_listed(&self.folder, &self.files, &sample.file, &named)?;
        let fail = |detail: String| PackageError::Sample {
            path: path.clone(),
            detail,
        };
        let json = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        values::from_json(&json, &release.inputs).map_err(|e| fail(e.to_string()))
    }

    /// How inputs and answers were distributed when the release was made, if the package says so.
    ///
    /// # Errors
    /// [`PackageError`] when the file cannot be read or makes no sense.
    pub fn reference(&self) -> Result<Option<Reference>, PackageError> {
        let Some(drift) = &self.manifest.drift else {
            return Ok(None);
        };
        let path = self.folder.join(&drift.file);
        let named = format!("[drift] of {MANIFEST_FILE} names it, and it is no file of the package");
        let text = files::read_listed(&self.folder, &self.files, &drift.file, &named)?;
        let parsed = Reference::parse(&text);
        Ok(Some(
            parsed.map_err(|source| PackageError::Reference { path, source })?,
        ))
    }

    fn release(&self, artifacts: Vec<Artifact>) -> Result<Release, PackageError> {
        self.manifest
            .release(&self.card, artifacts, self.counted.clone())
            .map_err(PackageError::manifest(&self.folder))
    }

    /// Artifacts with empty hashes, for the checks that need no hash.
    fn unhashed(&self) -> Vec<Artifact> {
        let empty = ContentHash::new([0; 32]);
        let artifact = |path: &String| Artifact {
            path: path.clone(),
            blake3: empty,
            sha256: empty,
            size: 0,
        };
        self.files.iter().map(artifact).collect()
    }
}

/// Checks, hashes and tries out a package where it lies.
///
/// # Errors
/// [`PackageError`] naming the file, the step and what to do.
pub async fn pack(folder: &Path, workshop: &Workshop) -> Result<Packed, PackageError> {
    let package = read_off_thread(folder).await?;
    let hashing = package.clone();
    let release = blocking(move || hashing.hash()).await?;
    let spec = Box::pin(workshop.prepare(&release, Source::Folder(&package.folder))).await?;
    let trial = trial::run(&workshop.config, &release, spec, &package).await?;
    Ok(Packed { release, trial })
}

/// Checks a package, copies it into the blob store and tries out the copy. A package that fails leaves
/// nothing new in the store; one that passes is pinned.
///
/// # Errors
/// [`PackageError`] naming the file, the step and what to do.
pub async fn import(folder: &Path, workshop: &Workshop, store: &BlobStore) -> Result<Packed, PackageError> {
    let package = read_off_thread(folder).await?;
    let (importing, into) = (package.clone(), store.clone());
    let (release, new) = blocking(move || importing.import(&into)).await?;
    let tried = Box::pin(try_import(&package, workshop, store, &release)).await;
    let (store, failed) = (store.clone(), tried.is_err());
    let hashes: Vec<BlobHash> = release
        .artifacts
        .iter()
        .map(|a| BlobHash(*a.blake3.as_bytes()))
        .collect();
    blocking(move || {
        if failed {
            // A blob that cannot be removed now is left to garbage collection.
            new.iter().for_each(|hash| drop(store.remove(hash)));
            return Ok(());
        }
        let pinned = hashes.iter().try_for_each(|hash| store.pin(hash));
        pinned.map_err(|source| PackageError::Store {
            path: PathBuf::from("blobs"),
            source,
        })
    })
    .await?;
    Ok(Packed {
        release,
        trial: tried?,
    })
}

async fn try_import(
    package: &Package,
    workshop: &Workshop,
    store: &BlobStore,
    release: &Release,
) -> Result<Trial, PackageError> {
    let spec = workshop.prepare(release, Source::Store(store)).await?;
    trial::run(&workshop.config, release, spec, package).await
}

async fn read_off_thread(folder: &Path) -> Result<Package, PackageError> {
    let folder = folder.to_owned();
    blocking(move || Package::read(&folder)).await
}

/// Runs disk work where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PackageError> + Send + 'static,
) -> Result<T, PackageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| PackageError::Interrupted)?
}

#[cfg(test)]
mod tests;
