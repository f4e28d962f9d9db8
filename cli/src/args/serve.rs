//! Arguments of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use fieldmark_package::Bytes;

use super::models::RunnerArgs;

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Package folders written as paths such as ./digits (which need no node), and releases of the data folder
    #[arg(required = true, value_name = "DIR|REF")]
    pub(crate) models: Vec<String>,
    /// Where REST listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub(crate) http: SocketAddr,
    /// Where gRPC listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001")]
    pub(crate) grpc: SocketAddr,
    /// Without gRPC
    #[arg(long)]
    pub(crate) no_grpc: bool,
    /// Token that every request must bring; needed where other machines can reach the server
    #[arg(
        long,
        env = "FIELDMARK_SERVE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// Serve other machines without a token; models are then loaded and unloaded by nobody
    #[arg(long)]
    pub(crate) allow_anyone: bool,
    /// Runner processes of each model
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) replicas: u16,
    /// Most records that run at once, taken from several requests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_max: u32,
    /// How long a request may wait for others to run with, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) batch_delay_ms: u64,
    /// Requests that may wait for each model; one more is refused
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queue_max: u32,
    /// Longest time for one request, waiting included, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
    /// Longest request, such as 64MiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub(crate) body_max: Bytes,
    /// Longest time for a request's body to arrive, and for a client to go on reading its answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) body_timeout: u64,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
    /// OpenTelemetry collector that spans of requests are posted to (OTLP over HTTP), such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// File to which the addresses are written once the server is ready
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}
