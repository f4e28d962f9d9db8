//! Arguments of the commands around a server: `ps`, `bench` and `reference`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fieldmark_loadgen::Scenario;

use super::models::RunnerArgs;

/// Options of `ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Server to ask beside the running node
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub(crate) server: String,
    /// Token of that server
    #[arg(
        long,
        env = "FIELDMARK_SERVE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
}

/// A scenario by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// One query after the other; 90th percentile of latency
    SingleStream,
    /// Eight samples at a time; 99th percentile of latency
    MultiStream,
    /// Queries at random times; the highest rate with 99% in time
    Server,
    /// As many at a time as are taken; throughput
    Offline,
}

impl From<ScenarioArg> for Scenario {
    fn from(argument: ScenarioArg) -> Self {
        match argument {
            ScenarioArg::SingleStream => Self::SingleStream,
            ScenarioArg::MultiStream => Self::MultiStream,
            ScenarioArg::Server => Self::Server,
            ScenarioArg::Offline => Self::Offline,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse::<f64>()
        .ok()
        .filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a rate is a number above 0".to_owned())
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// A package folder written as a path, or a release; with --url a model's name on that server
    #[arg(value_name = "DIR|REF|NAME")]
    pub(crate) model: String,
    /// Ask a running server, such as http://127.0.0.1:8000, in place of runners of this command's own
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Token of that server
    #[arg(
        long,
        env = "FIELDMARK_SERVE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// Which scenarios [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SCENARIO,…")]
    pub(crate) scenario: Vec<ScenarioArg>,
    /// Seconds for each
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Seed of the server scenario's arrivals
    #[arg(long, default_value_t = fieldmark_loadgen::SEED)]
    pub(crate) seed: u64,
    /// Queries a second of the server scenario [default: the highest rate is searched]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Within how many milliseconds the server scenario's queries must be answered
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) latency_ms: u64,
    /// Samples under way at a time in the offline scenario
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) streams: u16,
    /// Runner processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) replicas: u16,
    /// Most records that run at once, taken from several requests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_max: u32,
    /// Draw the latencies as an SVG picture
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
}

/// Options of `reference`.
#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// The package folder
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Data like that which the model was made for: CSV, Parquet, NPZ or an image folder, with labels
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Most records that are used, drawn at random from all of them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=100_000))]
    pub(crate) records: u64,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
