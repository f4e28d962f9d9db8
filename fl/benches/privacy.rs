//! What privacy costs in time: accountants on the reference rows, and samplers.
//!
//! `cargo bench --profile dev -p fieldmark-fl --bench privacy -- [--json]` prints one line for each
//! number: {name, value, unit, baseline, baseline_name, ratio}; a ratio is value over baseline. Each
//! subject has a module of its own in `privacy/`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench reads the clock and prints"
)]

use std::time::Instant;

use serde_json::json;

#[path = "privacy/accountants.rs"]
mod accountants;
#[path = "privacy/samplers.rs"]
mod samplers;

/// One number beside its baseline.
struct Row {
    name: String,
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
                "{:<44} {:>12.3} {:<10} {:>8.3} of {:.3} ({})",
                self.name, self.value, self.unit, ratio, self.baseline, self.baseline_name
            );
        }
    }
}

/// Milliseconds of one run of `work`: the median of `runs`.
fn median_ms(runs: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    median(&mut times)
}

/// The middle of some numbers, the upper one of two; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn main() {
    let as_json = std::env::args().any(|argument| argument == "--json");
    accountants::rows(&mut |row| row.print(as_json));
    samplers::rows(&mut |row| row.print(as_json));
}
