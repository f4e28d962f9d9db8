//! What can be wrong with a data folder; each message says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A data folder that cannot be made or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// There is none.
    #[error("{}: there is no data folder here; make one with `fieldmark init`", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{}: there is a data folder here already; use it, or name another with --data", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else, or an init that did not finish.
    #[error("{}: the folder is not empty and not a data folder; name another with --data, or empty it first", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a newer version of this program.
    #[error("{}: the data folder has format {found}, this program knows up to {known}; update fieldmark", path.display())]
    Newer {
        /// The configuration file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known.
        known: u32,
    },
    /// Written by a version before the first release.
    #[error("{}: the data folder has format {found}, which is older than any that can be migrated ({known}); make a new one with `fieldmark init`", path.display())]
    Older {
        /// The configuration file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The oldest format known.
        known: u32,
    },
    /// Others can read or enter what only the owner may.
    #[error("{}: others can open it (mode {found:04o}); run `chmod {expected:o} {}`, and consider what it holds as known to them", path.display(), path.display())]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// The mode it should have.
        expected: u32,
    },
    /// A file's content is not what it should be.
    #[error("{}: {detail}; restore the file from a backup, or make a new data folder with `fieldmark init`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A setting that cannot be used.
    #[error("{}: {detail}", path.display())]
    Invalid {
        /// The file it would be in.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The node's API is not known to run.
    #[error("no node runs in {}; start it with `fieldmark node run --data {}`", path.display(), path.display())]
    NotRunning {
        /// The data folder.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: {detail}")]
    Entropy {
        /// What it said.
        detail: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: cannot {step} it: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl HomeError {
    pub(super) fn io(step: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            step,
            source,
        }
    }

    pub(super) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            detail: detail.into().trim_end().to_owned(),
        }
    }
}
