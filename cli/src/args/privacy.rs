//! `fieldmark privacy …`: options and examples.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Privacy {
    #[command(subcommand)]
    pub(crate) action: PrivacyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PrivacyAction {
    /// What mechanisms together cost: the least valid ε at δ, and the method that gave it
    #[command(
        after_help = "Examples:\n  fieldmark privacy epsilon --delta 1e-5 --mechanism poisson_subsampled_gaussian,q=0.01,sigma=1.1,steps=1000\n  fieldmark privacy epsilon --delta 1e-6 --mechanism gaussian,sigma=5,count=10 --mechanism laplace,b=10,count=20 --all\n  fieldmark privacy epsilon --delta 1e-6 --file mechanisms.json\n\nThe file holds one object such as {\"mechanism\": \"gaussian\", \"sigma\": 5, \"count\": 10}, or a list of them.\nThe relation between neighbours is add_or_remove_one unless neighbouring=replace_one or\nneighbouring=replace_by_zero is given. An unknown mechanism is answered with the list of all."
    )]
    Epsilon(Epsilon),
    /// The least noise for which a mechanism keeps (ε, δ)
    #[command(
        after_help = "Examples:\n  fieldmark privacy calibrate --epsilon 2 --delta 1e-6 --mechanism gaussian,count=3\n  fieldmark privacy calibrate --epsilon 1 --delta 1e-6 --mechanism discrete_laplace,sensitivity=4\n\nThe mechanism is given without its noise scale (sigma, b or scale), which is what is looked for."
    )]
    Calibrate(Calibrate),
    /// Compute every row of a reference file and compare it with its band
    #[command(after_help = "Example:\n  fieldmark privacy check dp_reference.csv --json")]
    Check(Check),
    /// Say in plain words what (ε, δ) lets an attacker learn
    #[command(
        after_help = "Examples:\n  fieldmark privacy explain --epsilon 2 --delta 1e-6\n  fieldmark privacy explain --delta 1e-6 --mechanism gaussian,sigma=2.3"
    )]
    Explain(Explain),
}

/// Mechanisms, as flags or in a file.
#[derive(Debug, Args)]
pub(crate) struct Mechanisms {
    /// Name and parameters, such as gaussian,sigma=5,count=10; may be given several times
    #[arg(long = "mechanism", value_name = "NAME,KEY=VALUE…", conflicts_with = "file")]
    pub(crate) mechanisms: Vec<String>,
    /// JSON file with one mechanism or a list of them
    #[arg(long, value_name = "FILE.json")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Epsilon {
    #[command(flatten)]
    pub(crate) mechanisms: Mechanisms,
    /// δ, between 1e-30 and 0.1
    #[arg(long)]
    pub(crate) delta: f64,
    /// Show the bound of every method that applies
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// Name and parameters without the noise scale, such as gaussian,count=3
    #[arg(long, value_name = "NAME,KEY=VALUE…")]
    pub(crate) mechanism: String,
    /// ε to keep, above 0 and at most 100
    #[arg(long)]
    pub(crate) epsilon: f64,
    /// δ, between 1e-30 and 0.1
    #[arg(long)]
    pub(crate) delta: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// CSV with the columns id, mechanism, params, delta, accept_lo and accept_hi
    #[arg(value_name = "FILE.csv")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) mechanisms: Mechanisms,
    /// ε, if no mechanism is given
    #[arg(long, conflicts_with_all = ["mechanisms", "file"])]
    pub(crate) epsilon: Option<f64>,
    /// δ, between 1e-30 and 0.1
    #[arg(long)]
    pub(crate) delta: f64,
}
