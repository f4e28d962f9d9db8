//! Where the binaries are, what a runner may use, and which release it loads.

use crate::error::ConfigError;
use crate::{Arena, Limits};
use std::path::{Path, PathBuf};

const LAUNCHER: &str = "fieldmark-launcher";
const RUNNER: &str = "fieldmark-runner";
const ONNX_RUNNER: &str = "fieldmark-runner-onnx";
const PYTHON_RUNNER: &str = "fieldmark-runner-python";

/// Whether a release may run without isolation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Every layer, or the release does not start.
    #[default]
    Required,
    /// None: the release can do whatever the user who started the node can. Only on a user's explicit wish.
    Off,
}

/// Where the binaries are and what every runner may use.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// The `fieldmark-launcher` binary.
    pub launcher: PathBuf,
    /// The `fieldmark-runner` binary, which loads TorchScript.
    pub runner: PathBuf,
    /// The `fieldmark-runner-onnx` binary, if it is there. Needed by ONNX releases alone.
    pub onnx_runner: Option<PathBuf>,
    /// The `fieldmark-runner-python` binary, if it is there. Needed by Python releases alone.
    pub python_runner: Option<PathBuf>,
    /// Whether isolation is required. Default: [`Isolation::Required`].
    pub isolation: Isolation,
    /// What a release may use that states no limits of its own.
    pub limits: Limits,
    /// Whether each runner gets a control group, where this process may make some. Default: true.
    pub control_groups: bool,
    /// Longest request and longest response. Default: 64 MiB; at most 4 GiB. Both processes hold it in memory.
    pub frame_bytes_max: u32,
}

impl SupervisorConfig {
    /// The binaries installed beside the running program, and the defaults. For a test program, which lies
    /// one folder deeper, they are looked for there as well.
    ///
    /// # Errors
    /// If launcher or TorchScript runner is not there; the error says where it was looked for.
    pub fn beside_current_exe() -> Result<Self, ConfigError> {
        let program = std::env::current_exe().map_err(|source| ConfigError::CurrentExe { source })?;
        let mut folders: Vec<&Path> = program.parent().into_iter().collect();
        if let Some(parent) = folders
            .first()
            .filter(|folder| folder.ends_with("deps"))
            .and_then(|f| f.parent())
        {
            folders.push(parent);
        }
        Self::in_folders(&folders)
    }

    /// The binaries in `folder`, and the defaults.
    ///
    /// # Errors
    /// If launcher or TorchScript runner is not there.
    pub fn in_folder(folder: &Path) -> Result<Self, ConfigError> {
        Self::in_folders(&[folder])
    }

    fn in_folders(folders: &[&Path]) -> Result<Self, ConfigError> {
        let find = |program: &'static str| {
            let found = folders
                .iter()
                .map(|folder| folder.join(program))
                .find(|path| path.is_file());
            found.ok_or_else(|| ConfigError::NotFound {
                program,
                folders: folders.iter().map(|folder| folder.to_path_buf()).collect(),
            })
        };
        Ok(Self {
            launcher: find(LAUNCHER)?,
            runner: find(RUNNER)?,
            onnx_runner: find(ONNX_RUNNER).ok(),
            python_runner: find(PYTHON_RUNNER).ok(),
            isolation: Isolation::Required,
            limits: Limits::default(),
            control_groups: true,
            frame_bytes_max: 64 << 20,
        })
    }

    /// The binary that loads releases of `runtime`, and its name; no path if it is not installed.
    pub(crate) fn runner_of(&self, runtime: &Runtime) -> (&'static str, Option<&Path>) {
        match runtime {
            Runtime::TorchScript => (RUNNER, Some(&self.runner)),
            Runtime::Onnx => (ONNX_RUNNER, self.onnx_runner.as_deref()),
            Runtime::Python(_) => (PYTHON_RUNNER, self.python_runner.as_deref()),
        }
    }
}

/// A release in Python: a folder of the user's, an environment, an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonRelease {
    /// The package's folder, which the release sees read-only.
    pub package: PathBuf,
    /// The file in it that is run: `predict.py`.
    pub entry: String,
    /// The environment's folder with the installed requirements, if there are any; seen read-only.
    pub environment: Option<PathBuf>,
    /// The interpreter.
    pub interpreter: PathBuf,
}

/// What loads a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// `fieldmark-runner`, from the artifact's bytes.
    #[default]
    TorchScript,
    /// `fieldmark-runner-onnx`, from the artifact's bytes.
    Onnx,
    /// `fieldmark-runner-python`, from folders; there is no artifact.
    Python(PythonRelease),
}

impl Runtime {
    /// Its name in manifests.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TorchScript => "torchscript",
            Self::Onnx => "onnx",
            Self::Python(_) => "python",
        }
    }
}

/// Which release a runner loads.
#[derive(Clone, Debug)]
pub struct RunnerSpec {
    /// The release's name, used in every error.
    pub name: String,
    /// What loads it. Default: TorchScript.
    pub runtime: Runtime,
    /// Its artifact. The supervisor opens it; the runner gets the bytes and has no file to read. Not looked at
    /// for Python.
    pub artifact: PathBuf,
    /// Names of the inputs in the order in which `forward` takes them; empty: in the order of each request.
    pub inputs: Vec<String>,
    /// Names of the outputs in the order in which `forward` returns them; empty: `output_0`, `output_1`, …
    pub outputs: Vec<String>,
    /// What it may use; without them, what the configuration says.
    pub limits: Option<Limits>,
    /// Memory shared with its processes, for large tensors; without it they travel in frames.
    pub arena: Option<Arena>,
}

impl RunnerSpec {
    /// A TorchScript release with one artifact and unnamed inputs and outputs.
    pub fn new(name: impl Into<String>, artifact: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            runtime: Runtime::TorchScript,
            artifact: artifact.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            limits: None,
            arena: None,
        }
    }

    /// Says what loads it.
    #[must_use]
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Says what it may use.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Shares memory with it.
    #[must_use]
    pub fn arena(mut self, arena: Arena) -> Self {
        self.arena = Some(arena);
        self
    }

    /// Names the inputs.
    #[must_use]
    pub fn inputs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.inputs = names.into_iter().map(Into::into).collect();
        self
    }

    /// Names the outputs.
    #[must_use]
    pub fn outputs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.outputs = names.into_iter().map(Into::into).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_is_named_with_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let error = SupervisorConfig::in_folder(folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(LAUNCHER) && error.contains(folder.path().to_str().unwrap()),
            "{error}"
        );
    }
}
