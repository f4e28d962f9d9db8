//! `cargo xtask`: every command a developer or the CI runs, so that both run the same thing.
//!
//! It owns how the workspace is set up, built, checked and measured. It knows the product only from
//! outside: it starts the built binaries and reads what they print. It builds without RocksDB, libp2p
//! and libtorch, because it has to run before they are there.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's command talks to its terminal"
)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod cache;
mod demo;
mod fuzz;
mod gpu;
mod layers;
mod lint;
mod process;
mod setup;
mod sim;
mod test;
mod workspace;

use workspace::Workspace;

/// Developer commands of Fieldmark.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download what the build needs into the user's cache, once for all clones
    Setup(setup::Options),
    /// Run the whole loop with real processes: three models, five companies, one leaderboard
    Demo(demo::Options),
    /// Build everything and run every test
    Test(test::Options),
    /// Check formatting, house rules, layers, licences and clippy
    Lint,
    /// Check who depends on whom
    Layers,
    /// Run many seeds of a simulation scenario
    Sim(sim::Options),
    /// Give the decoders mutated bytes
    Fuzz(fuzz::Options),
    /// Try models on this machine's NVIDIA GPU and print figures; skipped where there is none
    Gpu,
    /// Measure against named baselines
    Bench(bench::Options),
}

fn main() -> ExitCode {
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Setup(options) => setup::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => demo::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Lint => lint::run(&workspace).map(|()| ExitCode::SUCCESS),
        Command::Layers => layers::run(&workspace).map(|()| ExitCode::SUCCESS),
        Command::Sim(options) => sim::run(&workspace, &options),
        Command::Fuzz(options) => fuzz::run(&workspace, &options),
        Command::Gpu => gpu::run(&workspace),
        Command::Bench(options) => bench::run(&workspace, &options),
    }
}
