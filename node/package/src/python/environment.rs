//! Environments: folders of installed wheels, one for each lock and interpreter, shared by all releases with both.
//!
//! ```text
//! HOME/environments/ID/…           installed packages, as `pip --target` lays them out
//! HOME/environments/.ID/           entered by nobody else
//! HOME/environments/.ID/build/     being built: requirements.txt, packages/, work/
//! HOME/environments/.ID.lock       held while building, until the builder is gone
//! ```
//!
//! `ID` is BLAKE3 over `fieldmark python environment 1\n`, `IMPLEMENTATION-MAJOR.MINOR ABI PLATFORM\n` and the
//! lock's canonical text. A folder gets its name when pip has finished; a build that was killed at any point is
//! removed by the next one that takes the lock, which the system frees with the process that held it.
//!
//! pip runs in the sandbox of `fieldmark-runner-python --build`: it sees the interpreter, the system's libraries,
//! certificates, name resolution and its own folder, and, other than a model, the network. It is given wheels with
//! hashes only, so no code of a package runs. What the user configured for pip (index, proxy, certificates) is read
//! outside and handed over the socket, because command lines can be read by others.

mod site;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fieldmark_supervisor::{Isolation, SupervisorConfig};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use self::site::{Site, is_folder};
use super::interpreter::Interpreter;
use super::lock::Lock;
use crate::{PackageError, Progress, folder};

/// What the first line of an id's input says.
const FORMAT: &[u8] = b"fieldmark python environment 1\n";
/// The program that runs pip.
const RUNNER: &str = "fieldmark-runner-python";
/// Longest build.
const BUILD_MAX: Duration = Duration::from_mins(30);
/// Most bytes of memory of a build: pip holds one wheel at a time.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Lines of pip's errors that are kept.
const ERRORS_MAX: usize = 6;
/// Longest line of pip's that is shown.
const LINE_CHARACTERS_MAX: usize = 400;
/// pip's options that say where packages come from and how they are reached; all others are left out.
const PIP_OPTIONS: [&str; 12] = [
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "cert",
    "client-cert",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "prefer-binary",
];
/// Variables of the user that say how the network is reached.
const NETWORK_VARIABLES: [&str; 11] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
];

/// An environment that was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The sandbox did not start.
    #[error("cannot build the environment: {}: {cause}", program.display())]
    Start {
        /// What was executed.
        program: PathBuf,
        /// Why not.
        cause: String,
    },
    /// pip failed.
    #[error("the environment was not built: {0}")]
    Pip(String),
    /// It took too long.
    #[error("the environment was not built within {} minutes; try again, nothing is left of this try", BUILD_MAX.as_secs() / 60)]
    TimedOut,
}

/// What the sandboxed builder is told over its socket: one line of JSON.
#[derive(Debug, Serialize)]
struct Order {
    /// Environment of pip, by name.
    variables: BTreeMap<String, String>,
    /// Files and folders named in it that pip must be able to read.
    readable: Vec<PathBuf>,
}

/// The environments in one folder.
#[derive(Debug, Clone)]
pub struct Environments {
    folder: PathBuf,
}

impl Environments {
    /// Those in `folder`, which need not exist.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Name of the environment of a lock on an interpreter.
    #[must_use]
    pub fn id(lock: &Lock, interpreter: &Interpreter) -> String {
        let Interpreter {
            version,
            implementation,
            abi,
            platform,
            ..
        } = interpreter;
        let minor = version
            .rsplit_once('.')
            .map_or(version.as_str(), |(minor, _)| minor);
        let mut hasher = blake3::Hasher::new();
        hasher.update(FORMAT);
        hasher.update(format!("{implementation}-{minor} {abi} {platform}\n").as_bytes());
        hasher.update(lock.canonical().as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// The environment's folder, built now if it is not there. Waits for another process that builds it.
    ///
    /// # Errors
    /// [`PackageError::Environment`] with pip's own words, [`PackageError::Io`].
    pub async fn ready(
        &self,
        lock: &Lock,
        interpreter: &Interpreter,
        config: &SupervisorConfig,
        progress: &Progress,
    ) -> Result<PathBuf, PackageError> {
        let id = Self::id(lock, interpreter);
        let done = self.folder.join(&id);
        if is_folder(&done) {
            return Ok(done);
        }
        folder::make_folder(&self.folder)?;
        let path = self.folder.join(format!(".{id}.lock"));
        let held = crate::blocking(move || folder::lock(&path)).await?;
        if is_folder(&done) {
            return Ok(done);
        }
        let mut site = Site::new(self.folder.join(format!(".{id}")), held, lock)?;
        let built = build(&mut site, interpreter, config, progress).await;
        site.close().await;
        let taken = built.and_then(|()| site.take(&done));
        site.clear();
        taken.map(|()| done)
    }
}

/// Runs the builder, and leaves it to the site to see it gone.
async fn build(
    site: &mut Site,
    interpreter: &Interpreter,
    config: &SupervisorConfig,
    progress: &Progress,
) -> Result<(), PackageError> {
    let order = order(interpreter).await;
    let building = site.building();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(PackageError::io(&building))?;
    ours.set_nonblocking(true).map_err(PackageError::io(&building))?;
    let child = site
        .builder
        .insert(command(&building, interpreter, config, theirs)?);
    // The socket is the life line: when it closes, because this future is dropped or the process killed, the
    // launcher ends the builder.
    let mut socket = UnixStream::from_std(ours).map_err(PackageError::io(&building))?;
    let mut line = serde_json::to_vec(&order).map_err(|error| failed(error.to_string()))?;
    line.push(b'\n');
    // A builder that is gone already says why on standard error.
    drop(socket.write_all(&line).await);
    let outcome = tokio::time::timeout(BUILD_MAX, watch(child, progress)).await;
    drop(socket);
    let (status, words) = outcome.map_err(|_| EnvironmentError::TimedOut)??;
    if status.success() {
        return Ok(());
    }
    Err(failed(words).into())
}

fn failed(words: String) -> EnvironmentError {
    EnvironmentError::Pip(words)
}

fn command(
    building: &Path,
    interpreter: &Interpreter,
    config: &SupervisorConfig,
    socket: std::os::unix::net::UnixStream,
) -> Result<Child, EnvironmentError> {
    let isolation = match config.isolation {
        Isolation::Required => "--isolation=required",
        Isolation::Off => "--isolation=off",
    };
    let runner = config
        .python_runner
        .as_ref()
        .ok_or_else(|| EnvironmentError::Start {
            program: PathBuf::from(RUNNER),
            cause: "it is not there; install it beside fieldmark".to_owned(),
        })?;
    let spawned = Command::new(&config.launcher)
        .args(["run", isolation, "--network=host", "--"])
        .arg(runner)
        .arg(format!("--memory-bytes-max={MEMORY_BYTES_MAX}"))
        .arg(format!("--interpreter={}", interpreter.executable.display()))
        .arg("--build")
        .arg(building)
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    spawned.map_err(|error| EnvironmentError::Start {
        program: config.launcher.clone(),
        cause: error.to_string(),
    })
}

/// Passes on what pip says until the builder has ended; keeps its errors.
async fn watch(
    child: &mut Child,
    progress: &Progress,
) -> Result<(std::process::ExitStatus, String), EnvironmentError> {
    let (report, words) = (child.stdout.take(), child.stderr.take());
    let (mut errors, mut last) = (Vec::new(), String::new());
    let reading = async {
        let Some(words) = words else { return };
        let mut words = BufReader::new(words);
        loop {
            let mut line = Vec::new();
            // A line without an end is cut, not gathered.
            let limit = u64::try_from(LINE_CHARACTERS_MAX).unwrap_or(u64::MAX);
            match (&mut words).take(limit).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line: String = String::from_utf8_lossy(&line)
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with("ERROR:") && errors.len() < ERRORS_MAX {
                errors.push(line.trim_start_matches("ERROR:").trim().to_owned());
            }
            progress.say(&line);
            last = line;
        }
    };
    let draining = async {
        if let Some(report) = report {
            let mut sink = Vec::new();
            // Bounded: the launcher says a few short lines.
            drop(report.take(64 << 10).read_to_end(&mut sink).await);
        }
    };
    tokio::join!(reading, draining);
    let status = child.wait().await;
    let status = status.map_err(|error| failed(error.to_string()))?;
    let words = match (errors.is_empty(), last.is_empty()) {
        (false, _) => errors.join("; "),
        (true, false) => last,
        (true, true) => format!("its process ended with {status}"),
    };
    Ok((status, words))
}

/// What the user set for pip and the network, as variables.
async fn order(interpreter: &Interpreter) -> Order {
    let mut variables: BTreeMap<String, String> = NETWORK_VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    let listed = Command::new(&interpreter.executable)
        .args(["-I", "-m", "pip", "--disable-pip-version-check", "config", "list"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    if let Ok(listed) = listed {
        variables.extend(pip_variables(&String::from_utf8_lossy(&listed.stdout)));
    }
    let readable = variables
        .values()
        .flat_map(|value| value.split_whitespace())
        .map(PathBuf::from);
    let readable = readable
        .filter(|path| path.is_absolute() && path.exists())
        .collect();
    Order { variables, readable }
}

/// Variables out of the lines of `pip config list`, such as `global.index-url='https://…'`. Later lines, which are
/// more specific, win.
fn pip_variables(listed: &str) -> BTreeMap<String, String> {
    let variable = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let (section, option) = key.rsplit_once('.')?;
        let known = ["global", "install", ":env:"].contains(&section) && PIP_OPTIONS.contains(&option);
        let value = value.trim().trim_matches('\'').replace("\\n", " ");
        known.then(|| {
            (
                format!("PIP_{}", option.replace('-', "_").to_uppercase()),
                value.trim().to_owned(),
            )
        })
    };
    listed.lines().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(version: &str) -> Interpreter {
        Interpreter {
            version: version.into(),
            implementation: "cpython".into(),
            abi: "cpython-311-x86_64-linux-gnu".into(),
            platform: "linux-x86_64".into(),
            executable: "/usr/bin/python3".into(),
        }
    }

    #[test]
    fn equal_locks_on_equal_interpreters_share_an_environment() {
        let hash = format!("sha256:{}", "a".repeat(64));
        let lock = |text: &str| Lock::parse(&text.replace("HASH", &hash)).unwrap();
        let id = |text: &str, version: &str| Environments::id(&lock(text), &interpreter(version));
        let one = id("Six==1.0 --hash=HASH\n", "3.11.7");
        assert_eq!(one, id("# locked\nsix==1.0 \\\n  --hash=HASH\n", "3.11.2"));
        assert_ne!(one, id("six==1.1 --hash=HASH\n", "3.11.7"));
        assert_ne!(one, id("six==1.0 --hash=HASH\n", "3.12.0"));
        let text = format!(
            "fieldmark python environment 1\ncpython-3.11 cpython-311-x86_64-linux-gnu linux-x86_64\nsix==1.0 --hash={hash}\n"
        );
        assert_eq!(one, blake3::hash(text.as_bytes()).to_hex().to_string());
    }

    #[test]
    fn only_what_says_how_packages_are_reached_is_passed_on() {
        let listed = "global.index-url='https://index.example/simple'\nglobal.target='/home/me'\n\
                      install.no-binary=':all:'\n:env:.extra-index-url='\\nhttps://a\\nhttps://b'\n";
        let variables = pip_variables(listed);
        let expected = [
            ("PIP_EXTRA_INDEX_URL", "https://a https://b"),
            ("PIP_INDEX_URL", "https://index.example/simple"),
        ];
        let expected: BTreeMap<String, String> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(variables, expected);
    }
}
