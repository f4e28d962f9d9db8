//! Prints `docs/coverage.md`: `coverage [CHALLENGES [THREADS]]`. Builds without the network and the store;
//! the command that users have is `fieldmark simulate --coverage`.

use std::process::ExitCode;

use fieldmark_simulations::{Coverage, CoverageOptions};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line example")]
fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut number = |default| numbers.next().and_then(Result::ok).unwrap_or(default);
    let options = CoverageOptions {
        challenges: number(10_000),
        threads: usize::try_from(number(0)).unwrap_or(0),
    };
    match Coverage::run(&options) {
        Ok(coverage) => {
            print!("{}", coverage.markdown());
            if coverage.passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
