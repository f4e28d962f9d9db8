//! Where the binaries are, what a runner may use, and which release it loads.

use crate::error::ConfigError;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LAUNCHER: &str = "fieldmark-launcher";
const RUNNER: &str = "fieldmark-runner";

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
    /// The `fieldmark-runner` binary.
    pub runner: PathBuf,
    /// Whether isolation is required. Default: [`Isolation::Required`].
    pub isolation: Isolation,
    /// Most bytes of memory of one runner, libtorch's own 70 MB included. Default: 2 GiB. Enforced by the
    /// kernel for private memory and by the supervisor, which looks ten times a second, for all of it.
    pub memory_bytes_max: u64,
    /// Most seconds of CPU time one process may take over its life. Default: 86,400 (a day). The supervisor
    /// replaces a process between two requests before it gets there, so only a runaway is killed by it.
    pub cpu_seconds_max: u64,
    /// Threads within one operation, 1 to 256. Default: 1, the best choice for small models.
    pub threads: u32,
    /// Longest time for one request, counted from when the runner gets it. Default: 30 s.
    pub request_timeout: Duration,
    /// Longest time from starting the process to a loaded release. Default: 60 s.
    pub load_timeout: Duration,
    /// Longest request and longest response. Default: 64 MiB; at most 4 GiB. Both processes hold it in memory.
    pub frame_bytes_max: u32,
    /// Requests that may wait for one runner before callers wait for a place. Default: 64; at least 1.
    pub queue_max: usize,
}

impl SupervisorConfig {
    /// The binaries installed beside the running program, and the defaults. For a test program, which lies
    /// one folder deeper, they are looked for there as well.
    ///
    /// # Errors
    /// If one of the two is not there; the error says where it was looked for.
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
    /// If one of the two is not there.
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
            isolation: Isolation::Required,
            memory_bytes_max: 2 << 30,
            cpu_seconds_max: 86_400,
            threads: 1,
            request_timeout: Duration::from_secs(30),
            load_timeout: Duration::from_secs(60),
            frame_bytes_max: 64 << 20,
            queue_max: 64,
        })
    }
}

/// Which release a runner loads.
#[derive(Clone, Debug)]
pub struct RunnerSpec {
    /// The release's name, used in every error.
    pub name: String,
    /// Its TorchScript archive. The supervisor opens it; the runner gets the bytes and has no file to read.
    pub artifact: PathBuf,
    /// Names of the inputs in the order in which `forward` takes them; empty: in the order of each request.
    pub inputs: Vec<String>,
    /// Names of the outputs in the order in which `forward` returns them; empty: `output_0`, `output_1`, …
    pub outputs: Vec<String>,
}

impl RunnerSpec {
    /// A release with one artifact and unnamed inputs and outputs.
    pub fn new(name: impl Into<String>, artifact: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            artifact: artifact.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
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
