//! The command line: every command, option and example. Nothing here does anything.

pub(crate) mod challenges;
pub(crate) mod datasets;
pub(crate) mod issues;
pub(crate) mod models;
pub(crate) mod serve;
pub(crate) mod serving;
pub(crate) mod subscriptions;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fieldmark_node_data::Range;

use crate::text;

mod feedback;
pub(crate) mod privacy;

pub(crate) use feedback::{Feedback, FeedbackAction, Label};

/// Publish, run and compare models on private data; see how they do in the field.
#[derive(Debug, Parser)]
#[command(
    name = "fieldmark",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Exit codes:
  0  done
  1  refused or failed
  2  wrong use of the command line
  3  not found
  4  no node runs, or it cannot be reached
  5  refused because of the privacy budget
  6  the network or a peer failed
  7  timed out while waiting

Start with:
  fieldmark init --name acme
  fieldmark node run"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Data folder [default: $XDG_DATA_HOME/fieldmark or ~/.local/share/fieldmark]
    #[arg(
        long,
        global = true,
        env = "FIELDMARK_DATA",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON, and errors as JSON on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a data folder with fresh keys
    #[command(after_help = "Example:\n  fieldmark init --name acme --role aggregator --role contributor")]
    Init(Init),
    /// Choose whom to trust as aggregators
    Trust(Trust),
    /// Run a node
    Node(Node),
    /// Show the state of the running node
    #[command(after_help = "Example:\n  fieldmark status --json")]
    Status,
    /// Follow what happens on the running node
    #[command(after_help = "Example:\n  fieldmark events --json | jq .event")]
    Events,
    /// Start a package folder from a model, by looking into it
    #[command(
        after_help = "Examples:\n  fieldmark init-model --from model.pt\n  fieldmark init-model --from model.onnx models/digits\n  fieldmark init-model --from my-model/"
    )]
    InitModel(models::InitModel),
    /// Check a package folder, hash it, and run it once on its sample
    #[command(after_help = "Example:\n  fieldmark pack models/digits-cnn")]
    Pack(models::Pack),
    /// Run a package folder on one input, without any node or network
    #[command(
        after_help = "Examples:\n  fieldmark run models/digits-cnn --input images.npy\n  fieldmark run models/digits-cnn --input digit.png --range 0..16"
    )]
    Run(models::RunPackage),
    /// Publish a package folder as a release
    #[command(after_help = "Example:\n  fieldmark publish models/digits-cnn")]
    Publish(Package),
    /// Search the releases that this node knows
    #[command(after_help = "Example:\n  fieldmark search digits --tag image-classification")]
    Search(Search),
    /// Show a release
    #[command(after_help = "Example:\n  fieldmark show digits-cnn@1.0.0")]
    Show(Reference),
    /// Fetch a release's artifacts
    #[command(after_help = "Example:\n  fieldmark pull digits-cnn")]
    Pull(Reference),
    /// Run a release, or a package folder, on one input
    #[command(
        after_help = "Examples:\n  fieldmark infer digits-cnn --input image.json\n  fieldmark infer models/digits-cnn --input images.npy"
    )]
    Infer(Infer),
    /// Serve models behind the Open Inference Protocol, from package folders or the data folder; needs no node
    #[command(
        after_help = "Examples:\n  fieldmark serve ./digits-cnn\n  fieldmark serve ./digits-cnn digits-mlp@1.0.0 --batch-max 32 --replicas 2\n  fieldmark serve ./digits-cnn --http 0.0.0.0:8000 --token \"$(cat token)\""
    )]
    Serve(serve::Serve),
    /// Show what runs here: a server's models and the node's runners, with limits, latencies and drift
    #[command(after_help = "Examples:\n  fieldmark ps\n  fieldmark ps --server 127.0.0.1:9000 --json")]
    Ps(serving::Ps),
    /// Measure how fast a model is here, in the scenarios of MLPerf Inference
    #[command(
        after_help = "Examples:\n  fieldmark bench ./digits-cnn --plot latency.svg\n  fieldmark bench digits-cnn --url http://127.0.0.1:8000 --scenario server --latency-ms 20"
    )]
    Bench(serving::Bench),
    /// Write down how a package's inputs and answers are distributed, so that drift can be told where it is served
    #[command(after_help = "Example:\n  fieldmark reference ./digits-cnn --from digits.csv")]
    Reference(serving::Reference),
    /// Say what served predictions should have been, on a small page
    #[command(after_help = "Examples:\n  fieldmark label\n  fieldmark label --list --uncertain --json")]
    Label(Label),
    /// The truth about served predictions
    Feedback(Feedback),
    /// Compare releases on a private dataset; nothing leaves, no budget is spent
    #[command(after_help = "Example:\n  fieldmark evaluate digits-cnn digits-mlp --dataset ward-7")]
    Evaluate(Evaluate),
    /// Private datasets
    Dataset(datasets::Dataset),
    /// Show what privacy budgets have been spent, or limit the organisation's
    #[command(after_help = "Example:\n  fieldmark budget ward-7")]
    Budget(Budget),
    /// Challenges: several models, one real scenario
    Challenge(challenges::Challenge),
    /// Sign a word for another identity, or take it back
    #[command(
        after_help = "Examples:\n  fieldmark endorse 4f2a… --days 90\n  fieldmark endorse 4f2a… --revoke"
    )]
    Endorse(Endorse),
    /// Differential privacy: what mechanisms cost, the least noise, what an (ε, δ) means; needs no node
    Privacy(privacy::Privacy),
    /// Show a challenge's leaderboard
    #[command(
        after_help = "Example:\n  fieldmark leaderboard digits-in-the-field --wait 60 --html board.html\n  fieldmark leaderboard digits-in-the-field --weights low-light:2,blur:0\n  fieldmark leaderboard digits-in-the-field --format parquet --out board.parquet"
    )]
    Leaderboard(challenges::Leaderboard),
    /// Subscribe to a model: results, regressions, drift, issues, releases and withdrawals
    #[command(
        after_help = "Examples:\n  fieldmark subscribe digits-cnn --follow\n  fieldmark subscribe digits-cnn --webhook https://hooks.example.org/fieldmark"
    )]
    Subscribe(subscriptions::Subscribe),
    /// End a subscription
    #[command(after_help = "Example:\n  fieldmark unsubscribe digits-cnn")]
    Unsubscribe(subscriptions::Unsubscribe),
    /// List the subscriptions of this node
    #[command(after_help = "Example:\n  fieldmark subscriptions")]
    Subscriptions,
    /// Messages that a subscription posted
    Webhook(subscriptions::Webhook),
    /// Issues: public, signed words about a model
    Issue(issues::Issue),
    /// Check this machine and the data folder, and say how to fix what is wrong
    #[command(after_help = "Example:\n  fieldmark doctor")]
    Doctor,
    /// Rehearse a scenario in simulation
    #[command(
        after_help = "Examples:\n  fieldmark simulate simulations/scenarios/smoke.toml --seed 7\n  fieldmark simulate simulations/scenarios/committee.toml --seeds 1000\n  fieldmark simulate simulations/scenarios/field.toml --out report\n  fieldmark simulate --coverage --challenges 500"
    )]
    Simulate(Simulate),
    /// Print shell completions
    #[command(
        after_help = "Example:\n  fieldmark completions bash > ~/.local/share/bash-completion/completions/fieldmark"
    )]
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Name that others see [default: made from the identity]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Identity to trust as an aggregator; may be given several times
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) trust: Vec<String>,
    /// What the node does for others; may be given several times [default: contributor and provider]
    #[arg(long, value_enum)]
    pub(crate) role: Vec<RoleArg>,
    /// Network to join
    #[arg(long, default_value = "main")]
    pub(crate) network: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Sits on committees
    Aggregator,
    /// Sends reports about its own datasets
    Contributor,
    /// Serves the blobs it holds
    Provider,
}

#[derive(Debug, Args)]
pub(crate) struct Trust {
    #[command(subcommand)]
    pub(crate) action: TrustAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustAction {
    /// Trust identities
    #[command(
        after_help = "Example:\n  fieldmark trust add 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    )]
    Add(Identities),
    /// No longer trust identities
    #[command(
        after_help = "Example:\n  fieldmark trust remove 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    )]
    Remove(Identities),
    /// List trusted identities
    #[command(after_help = "Example:\n  fieldmark trust list --json")]
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Identities {
    /// Identities in hex, as `fieldmark init` and `fieldmark status` print them
    #[arg(required = true, value_name = "IDENTITY")]
    pub(crate) identities: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    #[command(subcommand)]
    pub(crate) action: NodeAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeAction {
    /// Run a node until SIGINT or SIGTERM
    #[command(
        after_help = "Example:\n  fieldmark node run --listen /ip4/0.0.0.0/udp/4600/quic-v1 --pages 127.0.0.1:8080"
    )]
    Run(Run),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// libp2p address to listen on; may be given several times [default: the config's]
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<String>,
    /// libp2p address of a node to join through; may be given several times
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) bootstrap: Vec<String>,
    /// Where the private API listens; loopback only [default: the config's, 127.0.0.1:0]
    #[arg(long, value_name = "ADDR")]
    pub(crate) api: Option<SocketAddr>,
    /// Where the public pages listen [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub(crate) pages: Option<SocketAddr>,
    /// Where blobs are served [default: the config's, 127.0.0.1:0]
    #[arg(long, value_name = "ADDR")]
    pub(crate) blobs: Option<SocketAddr>,
    /// Find nodes on the same network segment
    #[arg(long)]
    pub(crate) mdns: bool,
    /// PEM file of a company's own certificate authority, which webhooks over https may show beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) webhook_ca: Option<PathBuf>,
    /// Whether models run isolated; `off` lets a model do whatever you can do
    #[arg(long, value_enum, default_value = "required")]
    pub(crate) isolation: IsolationArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArg {
    /// Every layer, or no model runs
    Required,
    /// None; unsafe for models of others
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct Package {
    /// Folder with fieldmark.toml, README.md and the model's files
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words to look for in names and summaries [default: everything]
    pub(crate) text: Option<String>,
    /// Only releases with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// name, name@version, author/name, or the first digits of a record id
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Infer {
    /// A release, or a package folder written as a path such as ./digits (which needs no node)
    #[arg(value_name = "REF|DIR")]
    pub(crate) reference: String,
    /// .json with arrays by input name, .npy, .csv with one row per line, a picture, or for a model of texts a
    /// file with one text per line
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// What black to white become when the input is a picture, such as 0..16 [default: 0..1, or 0..255 for whole
    /// numbers]
    #[arg(long, value_name = "LOW..HIGH", value_parser = models::range, allow_hyphen_values = true)]
    pub(crate) range: Option<Range>,
    #[command(flatten)]
    pub(crate) runner: models::RunnerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Releases to compare
    #[arg(required = true, value_name = "REF")]
    pub(crate) references: Vec<String>,
    /// Name of the dataset
    #[arg(long, value_name = "NAME")]
    pub(crate) dataset: String,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Budget {
    #[command(subcommand)]
    pub(crate) action: Option<BudgetAction>,
    /// A dataset or data source [default: all]
    pub(crate) dataset: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetAction {
    /// Set the organisation's own budget, which every charge of every data source must fit too
    #[command(after_help = "Example:\n  fieldmark budget limit --epsilon 8 --delta 1e-6")]
    Limit(BudgetLimit),
}

#[derive(Debug, Args)]
pub(crate) struct BudgetLimit {
    /// ε that all that is ever released keeps
    #[arg(long, value_parser = text::finite)]
    pub(crate) epsilon: f64,
    /// δ of the same promise
    #[arg(long, value_parser = text::finite)]
    pub(crate) delta: f64,
    /// Allow a limit above the one before, which gives that promise up
    #[arg(long)]
    pub(crate) raise: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Endorse {
    /// The identity, in hexadecimal
    #[arg(value_name = "IDENTITY")]
    pub(crate) identity: String,
    /// As what; challenges that name endorsers take reports of contributors
    #[arg(long = "as", value_name = "ROLE", default_value = "contributor")]
    pub(crate) role: String,
    /// For how many days [default: it does not expire]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) days: Option<u64>,
    /// Take earlier endorsements in this role back
    #[arg(long, conflicts_with = "days")]
    pub(crate) revoke: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// TOML file that describes the scenario
    #[arg(value_name = "SCENARIO.toml", required_unless_present = "coverage")]
    pub(crate) scenario: Option<PathBuf>,
    /// Instead of a scenario: how often intervals and rank sets are right, over all settings of
    /// docs/coverage.md, which this prints
    #[arg(long, conflicts_with_all = ["scenario", "seed", "seeds", "log"])]
    pub(crate) coverage: bool,
    /// Challenges of each structure in each setting of the coverage study
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "coverage", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) challenges: u64,
    /// Threads of a challenge-level scenario or the coverage study [default: one per core]; the result is
    /// the same
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) threads: usize,
    /// Folder that receives report.html and cells.parquet of a challenge-level scenario
    #[arg(long, value_name = "FOLDER", conflicts_with = "coverage")]
    pub(crate) out: Option<PathBuf>,
    /// Seed; the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Run this many seeds from there on, on all cores, and print a summary
    #[arg(long, value_name = "N", conflicts_with = "log", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: Option<u64>,
    /// File that receives every event, to replay a failure by
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests;
