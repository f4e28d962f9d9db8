//! `fieldmark-train`: trains the small digit classifiers of the demo and writes each as a package folder.
//!
//! The input is a CSV file, plain or gzipped, without a header: 64 pixel columns with values from 0 to 16, the
//! label 0 to 9 last (the layout of scikit-learn's `digits.csv`). With one thread and a fixed seed the same
//! rows give the same weights on the same machine. This is a tool for demos and tests, not part of a node.

mod data;
mod network;
mod package;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use data::{Digits, Rows};
use network::{Architecture, Network};
use std::io::Write;
use std::path::PathBuf;

/// Trains a digit classifier and writes it as a Fieldmark package.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// CSV file of digits, plain or .gz.
    #[arg(long)]
    data: PathBuf,
    /// Rows to train on, as FIRST..END, counted from 0; END is left out.
    #[arg(long)]
    rows: Rows,
    /// Rows to measure the accuracy on, if any.
    #[arg(long)]
    held_out: Option<Rows>,
    /// What to train.
    #[arg(long, value_enum)]
    model: Architecture,
    /// Folder to write; made if missing.
    #[arg(long)]
    out: PathBuf,
    /// Seed of the weights and of the order of the records.
    #[arg(long, default_value_t = 1)]
    seed: i64,
    /// Passes over the rows; the default suits the model.
    #[arg(long)]
    epochs: Option<u32>,
    /// Name of the model; default: digits-MODEL.
    #[arg(long)]
    name: Option<String>,
    /// Version of the release.
    #[arg(long, default_value = "1.0.0")]
    release: String,
}

fn main() -> Result<()> {
    let options = Options::parse();
    tch::set_num_threads(1);
    tch::manual_seed(options.seed);
    let all = Digits::read(&options.data)?;
    let training = all.select(&options.rows).context("--rows")?;
    let epochs = options.epochs.unwrap_or_else(|| options.model.epochs());
    let network = Network::train(options.model, &training, epochs)?;
    let mut accuracies = vec![("training rows".to_owned(), network.accuracy(&training)?)];
    if let Some(rows) = &options.held_out {
        let held_out = all.select(rows).context("--held-out")?;
        ensure!(
            !rows.overlaps(&options.rows),
            "--held-out {rows} overlaps --rows {}",
            options.rows
        );
        accuracies.push((format!("held-out rows {rows}"), network.accuracy(&held_out)?));
    }
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| format!("digits-{}", options.model.name()));
    package::write(&package::Package {
        folder: &options.out,
        name: &name,
        version: &options.release,
        network: &network,
        sample: training.first()?,
        rows: &options.rows,
        seed: options.seed,
        accuracies: &accuracies,
    })?;
    let mut out = std::io::stdout();
    for (what, accuracy) in &accuracies {
        writeln!(out, "{name}: accuracy {accuracy:.4} on {what}")?;
    }
    writeln!(out, "{name}: written to {}", options.out.display())?;
    Ok(())
}
