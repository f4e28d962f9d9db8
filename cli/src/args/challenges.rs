//! `fieldmark challenge …` and `fieldmark leaderboard`: challenges and what came of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Challenge {
    #[command(subcommand)]
    pub(crate) action: ChallengeAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChallengeAction {
    /// Pose a challenge: signed at once, open from now
    #[command(after_help = "Example:\n  fieldmark challenge create digits-in-the-field.toml")]
    Create(Spec),
    /// Show what accuracy a challenge would give, before anything is signed
    #[command(
        after_help = "Examples:\n  fieldmark challenge plan digits-in-the-field.toml\n  \
                      fieldmark challenge plan loans.toml --gap 0.01 --view-correlation 0.35 --json"
    )]
    Plan(ChallengePlan),
    /// List challenges
    #[command(after_help = "Example:\n  fieldmark challenge list")]
    List,
    /// Show a challenge
    #[command(after_help = "Example:\n  fieldmark challenge show digits-in-the-field")]
    Show(ChallengeReference),
    /// Take part with a dataset, within its privacy budget
    #[command(after_help = "Example:\n  fieldmark challenge join digits-in-the-field --dataset ward-7")]
    Join(Join),
    /// Show what proves that this node's report was received and counted
    #[command(after_help = "Example:\n  fieldmark challenge receipt digits-in-the-field")]
    Receipt(ChallengeReference),
    /// Register the next window of a challenge: everything as before, with late models
    #[command(
        after_help = "Example:\n  fieldmark challenge next digits-in-the-field --add digits-vit --withdraw digits-logistic"
    )]
    Next(Next),
    /// End a challenge before anything of it is public
    #[command(
        after_help = "Example:\n  fieldmark challenge abort digits-in-the-field --reason 'wrong slice'"
    )]
    Abort(Abort),
}

#[derive(Debug, Args)]
pub(crate) struct Spec {
    /// TOML file that describes the challenge
    #[arg(value_name = "SPEC.toml")]
    pub(crate) spec: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ChallengePlan {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// Difference of field scores between models next in rank, 0 to 1
    #[arg(long, default_value_t = 0.02, value_name = "PART")]
    pub(crate) gap: f64,
    /// A typical field score, 0 to 1
    #[arg(long, default_value_t = 0.8, value_name = "PART")]
    pub(crate) score: f64,
    /// Mean correlation between being right on two views of a record, 0 to 1; the default is about that of images
    /// under corruptions, `fieldmark evaluate` tells that of a dataset
    #[arg(long, default_value_t = 0.5, value_name = "PART")]
    pub(crate) view_correlation: f64,
}

#[derive(Debug, Args)]
pub(crate) struct ChallengeReference {
    /// Name of the challenge, or the first digits of its record id
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    #[command(flatten)]
    pub(crate) challenge: ChallengeReference,
    /// Name of the dataset
    #[arg(long, value_name = "NAME")]
    pub(crate) dataset: String,
}

#[derive(Debug, Args)]
pub(crate) struct Next {
    #[command(flatten)]
    pub(crate) challenge: ChallengeReference,
    /// A model that comes too late for the windows before; may be given several times
    #[arg(long, value_name = "MODEL")]
    pub(crate) add: Vec<String>,
    /// A model that is not entered again; may be given several times
    #[arg(long, value_name = "MODEL")]
    pub(crate) withdraw: Vec<String>,
    /// Length of the window [default: as before]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) window_seconds: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    pub(crate) challenge: ChallengeReference,
    /// Why, for everyone to read
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Leaderboard {
    #[command(flatten)]
    pub(crate) challenge: ChallengeReference,
    /// Wait up to this long for the result
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
    /// Write the board as one HTML file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Read the board under another trust policy than this node's
    #[arg(long, value_name = "FILE")]
    pub(crate) trust_policy: Option<PathBuf>,
    /// Time its models on this machine with their public samples; alone it prints the times, with --format
    /// or --html they are added to the board
    #[arg(long, conflicts_with = "wait")]
    pub(crate) speed: bool,
    /// Instead of the board: field scores over the windows of the challenge, and what rose or fell
    #[arg(long, conflicts_with_all = ["speed", "html", "format", "weights", "wait"])]
    pub(crate) trend: bool,
    /// Weight slices in field scores and ranks, like low-light:2,blur:0; slices not named weigh 1
    #[arg(long, value_name = "SLICE:WEIGHT,…")]
    pub(crate) weights: Option<String>,
    /// Print, or write to --out, in this format instead
    #[arg(long, value_enum)]
    pub(crate) format: Option<BoardFormat>,
    /// File that receives --format
    #[arg(long, value_name = "FILE", requires = "format")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BoardFormat {
    /// One line per cell
    Csv,
    /// The node's own bytes, the same on every node with the same records
    Json,
    /// The table of csv, for analysis; needs --out
    Parquet,
    /// Where every cell comes from, as JSON
    Provenance,
}
