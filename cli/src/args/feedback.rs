//! `label` and `feedback`: the truth about predictions this node served.

use clap::{Args, Subcommand};

use crate::text;

#[derive(Debug, Args)]
pub(crate) struct Label {
    /// Only predictions of this release, with --list
    #[arg(value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// Print what waits for a truth instead of a page's address
    #[arg(long)]
    pub(crate) list: bool,
    /// With --list: least certain first; truths given so never enter a report
    #[arg(long, requires = "list")]
    pub(crate) uncertain: bool,
    /// With --list: at most this many
    #[arg(long, default_value_t = 50, requires = "list")]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Feedback {
    #[command(subcommand)]
    pub(crate) action: FeedbackAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedbackAction {
    /// Tell the truth about one prediction
    #[command(after_help = "Example:\n  fieldmark feedback give 5f0c2e… cat")]
    Give(Give),
    /// Show how many predictions were served, counted and labelled
    #[command(after_help = "Example:\n  fieldmark feedback show --json")]
    Show,
    /// Report the real use of a model in the recurring windows of a challenge, within a budget
    #[command(after_help = "Example:\n  fieldmark feedback join tills-in-use --epsilon 8")]
    Join(JoinWindows),
    /// List the series this node reports to, with what entered each window
    #[command(after_help = "Example:\n  fieldmark feedback windows --json")]
    Windows,
    /// Forget what was served before a time
    #[command(after_help = "Example:\n  fieldmark feedback forget --days 30")]
    Forget(Forget),
}

#[derive(Debug, Args)]
pub(crate) struct Give {
    /// Id of the prediction, which came with the answer
    #[arg(value_name = "REQUEST_ID")]
    pub(crate) request_id: String,
    /// A label of its model
    #[arg(value_name = "LABEL")]
    pub(crate) truth: String,
}

#[derive(Debug, Args)]
pub(crate) struct JoinWindows {
    /// A window's challenge: its name, or the first digits of its record id
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// ε of the budget for all that the model serves [default: 4]
    #[arg(long, value_parser = text::finite)]
    pub(crate) epsilon: Option<f64>,
    /// δ of the same budget [default: 0.000001]
    #[arg(long, value_parser = text::finite)]
    pub(crate) delta: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// Predictions older than this many days are forgotten
    #[arg(long)]
    pub(crate) days: u32,
}
