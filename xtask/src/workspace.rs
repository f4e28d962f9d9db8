//! The workspace this command was called in, and the one way it is built.
//!
//! Tests, demo, simulations and benches all call [`Workspace::build`], with the same flags: cargo
//! unites the features of what it builds together, so that another selection of packages would
//! compile much of the graph again.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, Metadata, MetadataCommand};

use crate::process;

/// Flags of every build and test, so that nothing compiles twice.
pub(crate) const BUILD_FLAGS: &[&str] = &["--workspace", "--all-targets"];

/// The variables that builds find their libraries by; setup writes them into `.cargo/local.toml`.
pub(crate) const ENVIRONMENT: [&str; 7] = [
    "LIBTORCH",
    "LIBTORCH_BYPASS_VERSION_CHECK",
    "FIELDMARK_ONNXRUNTIME",
    "LIBCLANG_PATH",
    "BINDGEN_EXTRA_CLANG_ARGS",
    "ROCKSDB_LIB_DIR",
    "ROCKSDB_STATIC",
];

/// The folder that holds the workspace's `Cargo.toml`.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace from cargo's word, or from the current folder upwards.
    ///
    /// # Errors
    /// When neither leads to a workspace.
    pub(crate) fn locate() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(package) => PathBuf::from(package),
            None => env::current_dir().context("the current folder is gone")?,
        };
        let root = start.ancestors().find(|folder| is_root(folder));
        let root = root.with_context(|| format!("no Fieldmark workspace at or above {}", start.display()))?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// The workspace at `root`, for tests.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A cargo command that behaves as if typed into a shell.
    ///
    /// What cargo set for this process is taken away again: build scripts watch some of these
    /// variables, and a difference would rebuild their packages each time a developer alternates
    /// between `cargo` and `cargo xtask`. It also lets a child see a configuration written just now.
    pub(crate) fn cargo(&self) -> Command {
        let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let shown = name.to_string_lossy();
            let of_package = shown.starts_with("CARGO_PKG_") || shown.starts_with("CARGO_MANIFEST_");
            if of_package || ENVIRONMENT.contains(&shown.as_ref()) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The packages of the build on this machine, with their resolved dependencies.
    ///
    /// # Errors
    /// When cargo cannot resolve the workspace.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let platform = host_platform()?;
        MetadataCommand::new()
            .current_dir(&self.root)
            .other_options(["--filter-platform".to_owned(), platform])
            .exec()
            .context("cannot read the workspace's packages")
    }

    /// Builds every target of every package and returns the binaries by name.
    ///
    /// # Errors
    /// When something does not compile.
    pub(crate) fn build(&self) -> Result<Binaries> {
        let mut command = self.cargo();
        command
            .arg("build")
            .args(BUILD_FLAGS)
            .arg("--message-format=json-render-diagnostics");
        let line = process::describe(&command);
        let built = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let built = built.with_context(|| format!("cannot start `{line}`"))?;
        if !built.status.success() {
            bail!("`{line}` failed: {}", built.status);
        }
        Binaries::parse(&built.stdout)
    }
}

fn is_root(folder: &Path) -> bool {
    folder.join("xtask").is_dir() && folder.join("Cargo.toml").is_file()
}

fn host_platform() -> Result<String> {
    let text = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// The workspace's built programs.
#[derive(Debug)]
pub(crate) struct Binaries {
    paths: BTreeMap<String, PathBuf>,
}

impl Binaries {
    fn parse(messages: &[u8]) -> Result<Self> {
        let mut paths = BTreeMap::new();
        for message in Message::parse_stream(messages) {
            let Message::CompilerArtifact(artifact) = message.context("cargo's build messages broke off")?
            else {
                continue;
            };
            if artifact.target.is_bin()
                && !artifact.profile.test
                && let Some(executable) = artifact.executable
            {
                paths.insert(artifact.target.name, executable.into_std_path_buf());
            }
        }
        Ok(Self { paths })
    }

    /// The path of the program called `name`.
    ///
    /// # Errors
    /// When the workspace builds no such program.
    pub(crate) fn path(&self, name: &str) -> Result<&Path> {
        let found = self.paths.get(name).map(PathBuf::as_path);
        found.with_context(|| format!("the workspace builds no program called `{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_taken_and_its_test_harness_is_not() {
        let artifact = |executable: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/cli#fieldmark-cli@0.1.0",
                "manifest_path":"/w/cli/Cargo.toml","target":{{"kind":["bin"],"crate_types":["bin"],
                "name":"fieldmark","src_path":"/w/cli/src/main.rs","edition":"2024","doc":true,"doctest":false,
                "test":true}},"profile":{{"opt_level":"2","debuginfo":1,"debug_assertions":true,
                "overflow_checks":true,"test":{test}}},"features":[],"filenames":["{executable}"],
                "executable":"{executable}","fresh":true}}"#
            )
            .replace('\n', " ")
        };
        let stream = format!(
            "{}\n{}\n",
            artifact("/t/fieldmark", false),
            artifact("/t/fieldmark-1f", true)
        );
        let binaries = Binaries::parse(stream.as_bytes()).unwrap();
        assert_eq!(binaries.path("fieldmark").unwrap(), Path::new("/t/fieldmark"));
        assert!(binaries.path("other").is_err());
    }
}
