//! `fieldmark-runner`: the isolated process that loads one release and answers requests.
//!
//! It is started by `fieldmark-launcher` with one socket on descriptor 3 and nothing else. The order matters:
//! libraries are opened and warmed up by a single thread, then every layer of isolation is put in place and
//! checked, then threads may start, and only then does the first untrusted byte arrive: the artifact itself,
//! over the socket. So the release has no file to read, not even its own.
//!
//! It fails closed: if a layer cannot be put in place, it says which one, over the socket and on standard
//! error, and leaves with status 3, unless `--isolation=off` was given. It does not know what a release is,
//! does not time requests and keeps no state between them: that is the supervisor's part.

mod artifact;
mod failure;
mod frame;
mod isolation;
mod model;
mod self_test;
mod serve;
mod tensor;
mod texts;
mod warm_up;

use clap::{Parser, ValueEnum};
use fieldmark_proto::v1::RunnerFailureCode;
use std::io::Write;
use std::process::ExitCode;

/// Exit status when a layer of isolation is missing.
const EXIT_ISOLATION: u8 = 3;
/// Exit status when the supervisor broke the protocol or vanished.
const EXIT_PROTOCOL: u8 = 4;

/// Whether the process must be isolated before it reads anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Isolation {
    /// All layers, or no service.
    Required,
    /// None. The release can do whatever the user who started it can.
    Off,
}

/// Loads one release behind isolation and answers requests on descriptor 3. Started by fieldmark-launcher.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Whether the isolation layers must be in force.
    #[arg(long, value_enum, default_value = "required")]
    isolation: Isolation,
    /// Namespaces of the launcher, as `user=INODE,…`: the runner's own must differ.
    #[arg(long)]
    outside: Option<String>,
    /// User and group to become for good, when started as root.
    #[arg(long)]
    drop_to: Option<u32>,
    /// Most bytes of private memory.
    #[arg(long, default_value_t = 2 << 30)]
    memory_bytes_max: u64,
    /// Most seconds of CPU time over the life of the process.
    #[arg(long, default_value_t = 86_400)]
    cpu_seconds_max: u64,
    /// Threads within one operation.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Longest frame read or written.
    #[arg(long, default_value_t = 64 << 20, value_parser = clap::value_parser!(u32).range(1024..))]
    frame_bytes_max: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let Some(mut channel) = frame::Channel::inherited(options.frame_bytes_max) else {
        complain("descriptor 3 is not a socket; fieldmark-launcher starts this program, not a person");
        return ExitCode::from(EXIT_ISOLATION);
    };
    let layers = match prepare(&options) {
        Ok(layers) => layers,
        Err(error) => {
            complain(&error.to_string());
            let failure = failure::Failure::new(RunnerFailureCode::Isolation, error.to_string());
            let _ = channel.write(serve::failed(0, failure));
            return ExitCode::from(EXIT_ISOLATION);
        }
    };
    warm_up::use_threads(options.threads);
    match serve::serve(&mut channel, layers, options.threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_PROTOCOL)
        }
    }
}

/// Opens the libraries and puts the layers in place. Returns their names.
fn prepare(options: &Options) -> Result<Vec<String>, isolation::LayerError> {
    warm_up::run().map_err(|error| isolation::LayerError::new("libraries", "warming up libtorch", error))?;
    match options.isolation {
        Isolation::Off => Ok(Vec::new()),
        Isolation::Required => isolation::enter(&isolation::Plan {
            outside: options.outside.as_deref(),
            drop_to: options.drop_to,
            memory_bytes_max: options.memory_bytes_max,
            cpu_seconds_max: options.cpu_seconds_max,
        }),
    }
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "fieldmark-runner: {line}");
}
