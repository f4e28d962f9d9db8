//! What each command does.

pub(crate) mod budgets;
pub(crate) mod challenges;
pub(crate) mod datasets;
pub(crate) mod doctor;
pub(crate) mod endorse;
pub(crate) mod evaluate;
pub(crate) mod feedback;
pub(crate) mod home;
pub(crate) mod infer;
pub(crate) mod issues;
pub(crate) mod leaderboard;
pub(crate) mod models;
pub(crate) mod node;
pub(crate) mod privacy;
pub(crate) mod simulate;
pub(crate) mod subscriptions;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::failure::Failure;
use crate::output::Output;

/// `completions`
pub(crate) fn completions(args: &Completions, out: &Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fieldmark", &mut script);
    out.raw(&String::from_utf8_lossy(&script))
}

/// The absolute path of something that exists, for the node, whose folder is another.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.exists() {
        return Err(
            Failure::not_found(format!("{}: there is no such file or folder", path.display())).into(),
        );
    }
    path.canonicalize()
        .with_context(|| format!("{}: cannot resolve the path", path.display()))
}

/// Runs async work of a library to its end.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.context("cannot start threads")?.block_on(work))
}
