//! `fieldmark-fuzz`: runs fuzz targets for as long as asked; `cargo xtask fuzz` starts it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's command talks to its terminal"
)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fieldmark_fuzz::driver::regressions;
use fieldmark_fuzz::{Failure, Options, TARGETS, Target, fuzz, target};

/// Fuzz the decoders.
#[derive(Debug, Parser)]
#[command(name = "fieldmark-fuzz", bin_name = "cargo xtask fuzz")]
struct Arguments {
    /// Which target; all of them when left out
    target: Option<String>,
    /// Time for each target
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Makes the inputs: the same seed, the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Name the targets and end
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        TARGETS
            .iter()
            .for_each(|t| println!("{:<18} {}", t.name, t.about));
        return ExitCode::SUCCESS;
    }
    let targets: Vec<&Target> = match &arguments.target {
        None => TARGETS.iter().collect(),
        Some(name) => match target(name) {
            Some(target) => vec![target],
            None => {
                eprintln!("error: no target '{name}'; `cargo xtask fuzz --list` names them");
                return ExitCode::from(2);
            }
        },
    };
    let mut sound = true;
    for target in targets {
        let options = Options {
            runs: u64::MAX,
            time: Duration::from_secs(arguments.seconds),
            seed: arguments.seed,
        };
        match fuzz(target, options) {
            Ok(runs) => println!("{:<18} {runs} inputs", target.name),
            Err(failure) => {
                sound = false;
                keep(target, &failure);
            }
        }
    }
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Stores a failing input where every test finds it.
fn keep(target: &Target, failure: &Failure) {
    eprintln!("{failure}");
    let folder = regressions(target);
    let sum = failure.input.iter().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    let path = folder.join(format!("{sum:016x}"));
    let stored = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, &failure.input));
    match stored {
        Ok(()) => eprintln!("kept as {}", path.display()),
        Err(error) => eprintln!("cannot keep it as {}: {error}", path.display()),
    }
}
