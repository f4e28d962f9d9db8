//! What serving costs, client included: `fieldmark serve` as a user starts it, asked over its sockets.
//!
//! `cargo xtask bench serving -- [--only PART]` prints one line for each number: {name, value, unit, baseline,
//! baseline_name, ratio}; a ratio is value over baseline, and every baseline but the goals is measured in
//! the same run. PART is a part of a name, such as `json` or `batching`.
//!
//! `--forward-us N` is the time of the same forward called in process, which `cargo xtask bench serving` measures
//! first (`fl/runner/benches/forward.rs`), because only the runner's package reaches libtorch.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench reads the clock, prints, and computes with counts"
)]

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

#[path = "serving/batching.rs"]
mod batching;
#[path = "serving/echo.rs"]
mod echo;
#[path = "serving/idle.rs"]
mod idle;
#[path = "serving/json.rs"]
mod json_requests;
#[path = "serving/load.rs"]
mod load;
#[path = "serving/ready.rs"]
mod ready;
#[path = "serving/upload.rs"]
mod upload;

/// What the bench is asked for.
#[derive(Debug, Clone)]
struct Options {
    json: bool,
    only: String,
    forward_us: Option<f64>,
}

/// One number beside its baseline.
#[derive(Debug)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    baseline: f64,
    baseline_name: &'static str,
}

impl Row {
    fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        baseline: f64,
        baseline_name: &'static str,
    ) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            baseline,
            baseline_name,
        }
    }

    fn print(&self, as_json: bool) {
        let Self {
            name,
            value,
            unit,
            baseline,
            baseline_name,
        } = self;
        let ratio = value / baseline;
        if as_json {
            let line = json!({
                "name": name, "value": value, "unit": unit, "baseline": baseline,
                "baseline_name": baseline_name, "ratio": ratio,
            });
            println!("{line}");
        } else {
            println!("{name:<44} {value:>10.3} {unit:<10} {ratio:>7.3} of {baseline:.3} ({baseline_name})");
        }
    }
}

/// A part of the bench.
type Part = (&'static str, fn(&Options) -> Result<Vec<Row>>);

const PARTS: [Part; 5] = [
    ("ready", ready::rows),
    ("json", json_requests::rows),
    ("upload", upload::rows),
    ("batching", batching::rows),
    ("idle", idle::rows),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == echo::ARGUMENT) {
        return echo::serve();
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let options = Options {
        json: arguments.iter().any(|argument| argument == "--json"),
        only: value("--only").unwrap_or_default(),
        forward_us: value("--forward-us").and_then(|text| text.parse().ok()),
    };
    let mut complete = true;
    for (name, rows) in PARTS {
        if !name.contains(&options.only) {
            continue;
        }
        match rows(&options) {
            Ok(rows) => rows.iter().for_each(|row| row.print(options.json)),
            Err(error) => {
                complete = false;
                eprintln!("{name}: {error:#}");
            }
        }
    }
    if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
