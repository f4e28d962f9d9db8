//! Public clients of the Open Inference Protocol, in Python, for the test that drives a server with them.
//!
//! What is installed is written in `tests/clients/requirements.txt` with the hash of every file, so the folder
//! is named after that list and never changes. The tests find it by the variable [`VARIABLE`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Part, install, pip};
use crate::cache::Cache;
use crate::workspace::Workspace;

/// Tells the tests where the clients are.
pub(crate) const VARIABLE: &str = "FIELDMARK_CLIENTS";
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

struct Clients {
    requirements: PathBuf,
    place: String,
}

/// The folder with the clients; installs them when they are not there.
///
/// # Errors
/// When the list cannot be read or pip fails.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root().join(REQUIREMENTS);
    let list = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let hash = blake3::hash(&list).to_hex();
    let clients = Clients {
        requirements,
        place: format!("clients-{}", hash.get(..16).unwrap_or_default()),
    };
    let cache = Cache::locate()?;
    if !clients.ready(&cache) {
        install(&cache, &cache.lock()?, &clients)?;
    }
    Ok(cache.root().join(clients.place()))
}

impl Part for Clients {
    fn title(&self) -> String {
        "Python clients for tests (60 MB)".to_owned()
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn ready(&self, cache: &Cache) -> bool {
        cache.root().join(&self.place).is_dir()
    }

    fn make(&self, made: &Path) -> Result<()> {
        let scratch = made.parent().unwrap_or(made);
        pip::install_locked(&self.requirements, made, scratch)
    }
}
