//! Runs a range of seeds of one scenario: `seeds FILE FIRST COUNT [LOG]`. For trying things out; the command
//! that users have is `fieldmark simulate`.

use std::path::PathBuf;
use std::process::ExitCode;

use fieldmark_simulations::{Options, run_file_with};

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
    let options = Options {
        log: arguments.next().map(PathBuf::from),
    };
    let mut code = ExitCode::SUCCESS;
    for seed in first..first + count {
        match run_file_with(&path, seed, &options) {
            Ok(report) if report.passed => println!(
                "seed {seed} {} {} events {} ms virtual, {} messages, {} KiB, {} lost, {} crashes, {} receipts, {}",
                report.hash.get(..12).unwrap_or_default(),
                report.events,
                report.virtual_ms,
                report.messages,
                report.bytes / 1024,
                report.lost,
                report.crashes,
                report.receipts,
                report.outcome
            ),
            Ok(report) => {
                code = ExitCode::FAILURE;
                println!("seed {seed} FAILED {:#?}", report.violations);
            }
            Err(error) => {
                code = ExitCode::FAILURE;
                println!("{error}");
            }
        }
    }
    code
}
