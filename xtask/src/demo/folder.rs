//! Where the demo leaves what it makes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cache;

/// The demo's folder: board, page, run and logs on top; what belongs to the participants below.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// An empty folder in place of the one of the run before.
    pub(super) fn fresh(root: &Path) -> Result<Self> {
        cache::remove(root)?;
        Self::new(root)
    }

    /// A new folder at a place that holds nothing.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("{} is not a path", root.display()))?;
        if fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!(
                "{} holds something already: name an empty or a new folder",
                root.display()
            );
        }
        let folder = Self { root };
        for path in [folder.logs(), folder.nodes(), folder.private()] {
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(folder)
    }

    /// The leaderboard, as every node prints it.
    pub(super) fn board_json(&self) -> PathBuf {
        self.root.join("board.json")
    }

    /// The leaderboard as a page.
    pub(super) fn board_html(&self) -> PathBuf {
        self.root.join("board.html")
    }

    /// What the run took: times, bytes, paths.
    pub(super) fn run_json(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// The challenge as its operator wrote it.
    pub(super) fn challenge(&self) -> PathBuf {
        self.root.join("digits-in-the-field.toml")
    }

    /// Each node's events and log.
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Each participant's data folder.
    pub(super) fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// Each company's private files.
    pub(super) fn private(&self) -> PathBuf {
        self.root.join("private")
    }

    /// Writes one of its files.
    pub(super) fn write(path: &Path, content: &str) -> Result<()> {
        fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
    }
}
