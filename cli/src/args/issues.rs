//! `fieldmark issue …`: public words about a model.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Issue {
    #[command(subcommand)]
    pub(crate) action: IssueAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IssueAction {
    /// Report something about a model, signed and public for ever
    #[command(
        after_help = "Example:\n  fieldmark issue open digits-cnn --title 'Barred sevens are read as ones' --slice low-light --dry-run"
    )]
    Open(Open),
    /// List a model's issues
    #[command(after_help = "Example:\n  fieldmark issue list digits-cnn")]
    List(List),
    /// Show an issue with its comments
    #[command(after_help = "Example:\n  fieldmark issue show digits-cnn 3fa94c0b12")]
    Show(Which),
    /// Comment on an issue
    #[command(
        after_help = "Example:\n  fieldmark issue comment digits-cnn 3fa94c0b12 --body 'Seen here, too.'"
    )]
    Comment(Words),
    /// Close an issue: its author and the model's owner can
    #[command(
        after_help = "Example:\n  fieldmark issue close digits-cnn 3fa94c0b12 --body 'Fixed in 1.2.1.'"
    )]
    Close(Words),
    /// Open a closed issue again: its author and the model's owner can
    #[command(after_help = "Example:\n  fieldmark issue reopen digits-cnn 3fa94c0b12 --body 'Still there.'")]
    Reopen(Words),
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    /// The model, or one release of it: name, name@version, author/name, or the first digits of an id
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// One line
    #[arg(long)]
    pub(crate) title: String,
    #[command(flatten)]
    pub(crate) text: Text,
    /// The slice it was seen on
    #[arg(long, value_name = "NAME")]
    pub(crate) slice: Option<String>,
    /// Leave out operating system, architecture, versions and class of device
    #[arg(long)]
    pub(crate) no_environment: bool,
    /// Show what would be signed and sent, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The model: name, author/name, or the first digits of a release's id
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Leave out the closed ones
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The model, then the first digits of the issue's id; one of the two where it says enough
    #[arg(value_names = ["MODEL", "ISSUE"], num_args = 1..=2, required = true)]
    pub(crate) which: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Words {
    #[command(flatten)]
    pub(crate) issue: Which,
    #[command(flatten)]
    pub(crate) text: Text,
}

#[derive(Debug, Args)]
pub(crate) struct Text {
    /// Markdown
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    pub(crate) body: Option<String>,
    /// File with Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
}
