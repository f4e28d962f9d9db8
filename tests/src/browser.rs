//! A headless Chromium, driven over the DevTools protocol: opens pages, clicks, types, waits, looks.
//!
//! Chromium is no part of the project. Where it is not installed, [`Browser::launch`] says so on standard
//! error and returns `None`, and the test that asked ends there; `cargo xtask test` says so as well.
//! The browser runs on a leash with an empty profile of its own and is killed when dropped.
//!
//! Protocol: <https://chromedevtools.github.io/devtools-protocol/>.

mod page;
mod wire;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tempfile::TempDir;

use crate::programs::Programs;
use crate::wait::until;

pub use page::Page;
use wire::Wire;

/// Names this variable to use a browser that is not found by itself.
pub const CHROMIUM: &str = "FIELDMARK_CHROMIUM";
/// Names under which Chromium is installed.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// Chromium starts in a second; this is for a machine that is busy with other things.
const START_MAX: Duration = Duration::from_secs(60);
/// File in the profile in which Chromium says where it listens.
const PORT_FILE: &str = "DevToolsActivePort";
/// Nothing is asked of other machines, and nothing is left of a run.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-proxy-server",
    "--remote-debugging-port=0",
];

/// A running browser. Killed when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    wire: Wire,
    /// Removed after the browser has ended.
    _profile: TempDir,
}

impl Browser {
    /// Where Chromium is, if it is installed.
    #[must_use]
    pub fn find() -> Option<PathBuf> {
        if let Some(named) = env::var_os(CHROMIUM).filter(|path| !path.is_empty()) {
            return Some(PathBuf::from(named)).filter(|path| path.is_file());
        }
        let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
        let candidates = NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        candidates.into_iter().find(|path| path.is_file())
    }

    /// Starts Chromium; `None`, said on standard error, where it is not installed.
    ///
    /// # Errors
    /// When it is installed and does not start.
    pub fn launch(programs: &Programs) -> Result<Option<Self>> {
        match Self::find() {
            Some(program) => Self::start(programs, &program).map(Some),
            None => {
                // Not captured by the test runner, as the printing macros would be.
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED in the browser: Chromium is not installed (apt-get install chromium, or name it \
                     in {CHROMIUM})"
                );
                Ok(None)
            }
        }
    }

    fn start(programs: &Programs, program: &Path) -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("fieldmark-chromium-").tempdir();
        let profile = profile.context("cannot make a folder for the browser's profile")?;
        let mut command = programs.leashed(program);
        command
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let line = programs.tell(&command);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let wire = connect(&mut child, &profile.path().join(PORT_FILE));
        let wire = match wire {
            Ok(wire) => wire,
            Err(error) => {
                kill(&mut child);
                return Err(error.context(format!("`{line}`")));
            }
        };
        Ok(Self {
            child,
            wire,
            _profile: profile,
        })
    }

    /// Opens an address in a tab of its own and waits until it is loaded.
    ///
    /// # Errors
    /// When the browser fails or the page does not load.
    pub fn open(&mut self, address: &str) -> Result<Page<'_>> {
        let target = self
            .wire
            .ask(None, "Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = target
            .get("targetId")
            .and_then(|id| id.as_str())
            .context("no target")?;
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self.wire.ask(None, "Target.attachToTarget", &attach)?;
        let session = session.get("sessionId").and_then(|id| id.as_str());
        let session = session.context("no session")?.to_owned();
        let mut page = Page::new(&mut self.wire, session);
        page.goto(address)?;
        Ok(page)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Ends the browser with the processes it has started.
fn kill(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None))
        && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    {
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits until the browser says where it listens, and connects.
fn connect(child: &mut Child, file: &Path) -> Result<Wire> {
    let (port, path) = until("Chromium to listen", START_MAX, || {
        if let Some(ended) = child.try_wait().context("cannot watch Chromium")? {
            bail!("Chromium ended ({ended}) before it listened");
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut lines = text.lines();
        let found = lines
            .next()
            .and_then(|port| port.parse::<u16>().ok())
            .zip(lines.next());
        Ok(found.map(|(port, path)| (port, path.to_owned())))
    })?;
    Wire::connect(port, &path)
}
