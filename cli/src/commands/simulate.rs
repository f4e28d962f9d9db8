//! `simulate`: one scenario under one seed.

use fieldmark_simulations::{Options, Report, run_file_with};

use crate::args::Simulate;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// `simulate`: fails when an invariant was violated.
pub(crate) fn simulate(args: &Simulate, out: &Output) -> anyhow::Result<()> {
    let path = super::absolute(&args.scenario)?;
    let spinner = out.spinner(&format!(
        "simulating {} with seed {}",
        args.scenario.display(),
        args.seed
    ));
    let options = Options {
        log: args.log.clone(),
    };
    let report = run_file_with(&path, args.seed, &options)?;
    spinner.finish_and_clear();
    out.result(&report, || report_text(&report))?;
    if report.passed {
        return Ok(());
    }
    let message = format!(
        "{} invariants were violated; replay with `fieldmark simulate {} --seed {}`",
        report.violations.len(),
        args.scenario.display(),
        args.seed
    );
    Err(Failure::new(Exit::Failed, "violated", message).into())
}

fn report_text(report: &Report) -> String {
    let mut lines = text::fields(&[
        ("seed", report.seed.to_string()),
        (
            "result",
            if report.passed {
                "passed".to_owned()
            } else {
                "violated".to_owned()
            },
        ),
        ("virtual time", format!("{} ms", report.virtual_ms)),
        ("events", report.events.to_string()),
        ("hash", report.hash.clone()),
    ]);
    for violation in &report.violations {
        lines.push_str(&format!("\n* {}", text::plain(violation)));
    }
    if !report.tail.is_empty() {
        lines.push_str("\n\nthe last events; `--log FILE` keeps all of them:");
    }
    for event in &report.tail {
        lines.push_str(&format!("\n  {}", text::plain(event)));
    }
    lines
}
