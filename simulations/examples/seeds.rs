//! Runs a range of seeds of one scenario: `seeds FILE FIRST COUNT [LOG]`. For trying things out; the command
//! that users have is `fieldmark simulate`. With a LOG one seed is run and its events are kept.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use fieldmark_simulations::{Options, run_file_with, run_many};

#[expect(clippy::print_stdout, reason = "a command-line example")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "simulations/scenarios/smoke.toml".into()),
    );
    let mut number = |default| {
        arguments
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(default)
    };
    let (first, count) = (number(1), number(1));
    let (passed, text) = if let Some(log) = arguments.next().map(PathBuf::from) {
        match run_file_with(&path, first, &Options { log: Some(log) }) {
            Ok(report) => (report.passed, format!("{report:#?}")),
            Err(error) => (false, error.to_string()),
        }
    } else {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        match run_many(&path, first..first.saturating_add(count), threads, |_| ()) {
            Ok(many) => (many.passed, format!("{many:#?}")),
            Err(error) => (false, error.to_string()),
        }
    };
    println!("{text}");
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
