//! From a release to what a runner is started with, for every runtime.
//!
//! TorchScript and ONNX need one file, which the supervisor streams to the runner. Python needs a folder with the
//! package's files, an interpreter and, where there are requirements, an environment; all three are made ready here,
//! in folders that can be deleted at any time and are then made again.

use std::path::{Path, PathBuf};

use fieldmark_protocol::manifest::{MANIFEST_FILE, Manifest};
use fieldmark_protocol::release::Release;
use fieldmark_supervisor::{PythonRelease, RunnerSpec, Runtime, SupervisorConfig};

use crate::allowance::{self, Allowance, Allowances};
use crate::folder::{self, Source};
use crate::python::{Environments, Interpreter, Lock, REQUIREMENTS_FILE};
use crate::{PackageError, Progress, blocking, files};

/// Where releases are made ready to run, and with what.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Folder for release folders and environments: a node's data folder, or a cache.
    pub home: PathBuf,
    /// The interpreter of python packages, a name on the `PATH` or a path. Default: `python3`.
    pub python: PathBuf,
    /// The runners' binaries, and limits where nothing else is said.
    pub config: SupervisorConfig,
    /// What the machine's owner says that releases may use. Default: nothing.
    pub allowed: Allowances,
    /// What is said for this run, before everything else. Default: nothing.
    pub asked: Allowance,
    /// Who hears about environments being built.
    pub progress: Progress,
}

impl Workshop {
    /// A workshop in `home` that uses `python3`.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, config: SupervisorConfig) -> Self {
        let (home, python) = (home.into(), PathBuf::from("python3"));
        Self {
            home,
            python,
            config,
            allowed: Allowances::new(),
            asked: Allowance::default(),
            progress: Progress::default(),
        }
    }

    /// What a runner of this release is started with. For python, its folder is laid out and its environment built
    /// if they are not there yet, which takes as long as downloading its requirements.
    ///
    /// # Errors
    /// [`PackageError`] naming the file or step.
    pub async fn prepare(&self, release: &Release, source: Source<'_>) -> Result<RunnerSpec, PackageError> {
        let title = format!("{}@{}", release.name, release.version);
        let entry = release.entry_artifact().ok_or_else(|| PackageError::Lost {
            path: release.entry.clone().into(),
        })?;
        let spec = match release.runtime.as_str() {
            runtime @ ("torchscript" | "onnx") => {
                with_runtime(RunnerSpec::new(title, source.path(entry)?), runtime)
            }
            "python" => {
                let runtime = self.python_runtime(release, source).await?;
                RunnerSpec::new(title, PathBuf::new()).runtime(runtime)
            }
            other => {
                return Err(PackageError::Runtime {
                    runtime: other.to_owned(),
                });
            }
        };
        let mut limits = self.config.limits.clone();
        allowance::apply(&self.allowed, &release.name, &release.version, &mut limits);
        self.asked.apply(&mut limits);
        Ok(spec
            .limits(limits)
            .inputs(release.inputs.iter().map(|input| input.name.clone()))
            .outputs(release.outputs.iter().map(|output| output.name.clone())))
    }

    async fn python_runtime(&self, release: &Release, source: Source<'_>) -> Result<Runtime, PackageError> {
        let package = self.lay_out(release, source).await?;
        let program = self.python.clone();
        let interpreter = blocking(move || Ok(Interpreter::find(&program)?)).await?;
        let manifest = files::read_text(&package.join(MANIFEST_FILE))?;
        let manifest = Manifest::parse(&manifest).map_err(PackageError::manifest(&package))?;
        interpreter.fits(manifest.model.python.as_deref())?;
        let lock = lock(&package)?;
        let environment = match lock {
            Some(lock) => {
                let environments = Environments::in_folder(self.home.join("environments"));
                let ready = environments.ready(&lock, &interpreter, &self.config, &self.progress);
                Some(Box::pin(ready).await?)
            }
            None => None,
        };
        Ok(Runtime::Python(PythonRelease {
            entry: release.entry.clone(),
            package,
            environment,
            interpreter: interpreter.executable,
        }))
    }

    async fn lay_out(&self, release: &Release, source: Source<'_>) -> Result<PathBuf, PackageError> {
        let (releases, release) = (self.home.join("releases"), release.clone());
        match source {
            Source::Folder(folder) => {
                let folder = folder.to_owned();
                blocking(move || folder::lay_out(&releases, &release, Source::Folder(&folder))).await
            }
            Source::Store(store) => {
                let store = store.clone();
                blocking(move || folder::lay_out(&releases, &release, Source::Store(&store))).await
            }
        }
    }
}

/// A spec for a runtime that needs one file.
pub(crate) fn with_runtime(spec: RunnerSpec, runtime: &str) -> RunnerSpec {
    match runtime {
        "onnx" => spec.runtime(Runtime::Onnx),
        _ => spec,
    }
}

/// The package's locked requirements, if it has any.
///
/// # Errors
/// [`PackageError::Lock`] naming the line.
pub(crate) fn lock(package: &Path) -> Result<Option<Lock>, PackageError> {
    let path = package.join(REQUIREMENTS_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let lock = Lock::parse(&files::read_text(&path)?);
    let lock = lock.map_err(|source| PackageError::Lock { path, source })?;
    Ok(Some(lock).filter(|lock| !lock.is_empty()))
}
