//! What each command does.

pub(crate) mod bench;
pub(crate) mod budgets;
pub(crate) mod challenges;
pub(crate) mod datasets;
pub(crate) mod doctor;
pub(crate) mod endorse;
pub(crate) mod evaluate;
pub(crate) mod feedback;
pub(crate) mod home;
pub(crate) mod infer;
mod inputs;
pub(crate) mod isolation;
pub(crate) mod issues;
pub(crate) mod leaderboard;
pub(crate) mod models;
pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod privacy;
pub(crate) mod ps;
pub(crate) mod reference;
mod releases;
mod servables;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod subscriptions;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::{Cli, Completions, Global};
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

/// Folder for what commands without a node make and can make again: the data folder if there is one, or else a
/// folder in the user's cache.
fn cache(global: &Global) -> anyhow::Result<PathBuf> {
    if let Ok(data) = crate::client::data_dir(global)
        && data.join("config.toml").is_file()
    {
        return Ok(data);
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let base = base.context("no HOME; set XDG_CACHE_HOME to an absolute path")?;
    Ok(base.join("fieldmark"))
}

/// Runs async work of a library to its end.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.context("cannot start threads")?.block_on(work))
}
