//! `cargo xtask demo`: the whole loop with real processes, from training to the leaderboard.
//!
//! Three researchers, an operator, two more aggregators and five companies, each with its own data
//! folder, keys and node on loopback. Every step is a `fieldmark` command that a user could type;
//! `--verbose` shows them. What is measured goes to the board, what it took goes to `run.json`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use fieldmark_tests::Programs;

use crate::cache::Cache;
use crate::process::{Stages, seconds};
use crate::setup;
use crate::workspace::Workspace;

mod acts;
mod cast;
mod children;
mod figures;
mod folder;
mod interrupt;
mod scoreboard;
mod story;
#[cfg(test)]
mod tests;

use children::Children;
use folder::Folder;
use interrupt::Interrupt;
use story::Story;

/// The command line that runs it to its end, after this program's own name.
pub(crate) const COMMAND: &[&str] = &["demo", "--exit"];

/// What it may take once everything is built, in seconds.
pub(crate) const SECONDS_MAX: f64 = 90.0;

/// The program that everyone uses.
const PROGRAM: &str = "fieldmark";
/// As shells report a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What `cargo xtask demo` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// End once the board is there, instead of serving its page until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Decides which images each company holds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write to this new folder and keep it, instead of target/demo, which every run replaces
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Show every command
    #[arg(long)]
    verbose: bool,
}

/// Sets up, builds, plays the demo and serves its page.
///
/// # Errors
/// When a step fails, or the board is not as good as it has to be.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let stages = Stages::start();
    stages.stage("setup", || setup::ensure(workspace))?;
    let binaries = stages.stage("build", || workspace.build())?;
    let folder = binaries
        .path(PROGRAM)?
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let mut programs = Programs::in_folder(&folder)?;
    if options.verbose {
        programs = programs.traced(|line| println!("    $ {line}"));
    }
    let interrupt = Interrupt::watch()?;
    let children = Children::adopt()?;
    let played = play(workspace, options, &programs, &interrupt);
    let left = children.end();
    match played {
        // The demo was over: Ctrl-C ended the serving of its page.
        Ok(()) => left.map(|()| ExitCode::SUCCESS),
        Err(_) if interrupt.came() => {
            println!("interrupted: every process was ended");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => Err(error),
    }
}

fn play(workspace: &Workspace, options: &Options, programs: &Programs, interrupt: &Interrupt) -> Result<()> {
    let cache = Cache::locate()?;
    let folder = match &options.keep {
        Some(folder) => Folder::new(folder)?,
        None => Folder::fresh(&workspace.root().join("target/demo"))?,
    };
    let mut story = Story::begin(programs, &folder, interrupt);
    let stage = acts::play(&mut story, cache.root(), options.seed)?;
    println!(
        "\nboard   {}\npage    {}\nrun     {}\nlogs    {}\nall in  {}",
        folder.board_json().display(),
        folder.board_html().display(),
        folder.run_json().display(),
        folder.logs().display(),
        seconds(story.elapsed())
    );
    if options.exit {
        return stage.end();
    }
    stage.serve(interrupt)
}
