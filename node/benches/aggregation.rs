//! A committee under load: what the machines, the store, HPKE, signatures and syncs cost beside the bare
//! verification of the same reports, in time and in memory.
//!
//! `cargo bench --profile dev -p fieldmark-node --bench aggregation -- [--json] [--reports N]` starts a
//! leader and two helpers as processes of their own, each with the node's core thread, its driver and a
//! RocksDB store. Messages between them are encoded, decoded and carried over Unix sockets through this
//! process, which plays the contributors; libp2p is not part of what is measured. Each line is {name,
//! value, unit, baseline, baseline_name, ratio}; a ratio is value over baseline.
//!
//! Reports are made beforehand and are not timed. The baseline runs the very same jobs (open, start,
//! combine, finish, for all three seats) in memory on as many threads as there are cores.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a bench reads the clock, prints, computes with counts, and ends where it cannot go on"
)]

use std::process::ExitCode;

use serde_json::json;

#[path = "aggregation/baseline.rs"]
mod baseline;
#[path = "aggregation/cast.rs"]
mod cast;
#[path = "aggregation/link.rs"]
mod link;
#[path = "aggregation/load.rs"]
mod load;
#[path = "aggregation/role.rs"]
mod role;

/// Threads that verify, here and in every role.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// What the bench is asked for.
#[derive(Debug, Clone)]
struct Options {
    json: bool,
    /// Reports in all.
    reports: usize,
    /// Reports whose upload is timed, at half the baseline's rate; the others, which close the window, go as
    /// fast as they can.
    timed: usize,
    /// Models, and classes of their confusion tables: 16 and 8 make 1,041 entries of 11 bits.
    models: u16,
    classes: u16,
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let value = |name: &str, default: usize| {
            let at = arguments.iter().position(|a| a == name);
            let given = at.and_then(|at| arguments.get(at + 1)?.parse().ok());
            given.unwrap_or(default)
        };
        let reports = value("--reports", 10_000);
        Self {
            json: arguments.iter().any(|a| a == "--json"),
            reports,
            timed: value("--timed", 2_000).min(reports.saturating_sub(1)),
            models: value("--models", 16) as u16,
            classes: value("--classes", 8) as u16,
        }
    }
}

/// One number beside its baseline.
struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    baseline: f64,
    /// What the baseline is.
    baseline_name: &'static str,
}

impl Row {
    fn print(&self, as_json: bool) {
        let ratio = self.value / self.baseline;
        if as_json {
            let line = json!({
                "name": self.name, "value": self.value, "unit": self.unit,
                "baseline": self.baseline, "baseline_name": self.baseline_name, "ratio": ratio,
            });
            println!("{line}");
        } else {
            println!(
                "{:<28} {:>10.2} {:<10} {:>8.3} of {:.2} ({})",
                self.name, self.value, self.unit, ratio, self.baseline, self.baseline_name
            );
        }
    }
}

/// The value that `share` of the values do not exceed; 0 of none.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--role") {
        let seat = arguments[at + 1].parse().expect("a role is a seat");
        role::run(seat, std::path::Path::new(&arguments[at + 2]));
        return ExitCode::SUCCESS;
    }
    let options = Options::read(&arguments);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cast = cast::Cast::new(&options);
    let reports = cast::Reports::make(&cast, folder.path());
    let baseline = baseline::measure(&cast, &reports);
    let measured = load::run(&cast, &reports, &options, baseline, folder.path());
    for row in measured.rows(baseline) {
        row.print(options.json);
    }
    if measured.sum_is_right {
        ExitCode::SUCCESS
    } else {
        eprintln!("the released sum is not that of the reports");
        ExitCode::FAILURE
    }
}
