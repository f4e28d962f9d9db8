//! `simulate`: one scenario under one seed, or under many.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use anyhow::Context as _;
use fieldmark_simulations::{
    Coverage, CoverageOptions, FieldCell, FieldReport, FieldScenario, Many, Options, Report,
    is_challenge_level, run_file_with, run_many,
};

use crate::args::Simulate;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// `simulate`: fails when an invariant was violated, or intervals cover too little or too much.
pub(crate) fn simulate(args: &Simulate, out: &Output) -> anyhow::Result<()> {
    let Some(scenario) = &args.scenario else {
        return coverage(args, out);
    };
    let path = super::absolute(scenario)?;
    if std::fs::read_to_string(&path).is_ok_and(|text| is_challenge_level(&text)) {
        return field(args, &path, out);
    }
    match args.seeds {
        Some(seeds) => many(args, scenario, &path, seeds, out),
        None => one(args, scenario, &path, out),
    }
}

/// A challenge-level scenario.
fn field(args: &Simulate, path: &Path, out: &Output) -> anyhow::Result<()> {
    let shown = || path.display().to_string();
    let scenario = FieldScenario::read(path).with_context(shown)?;
    let spinner = out.spinner(&format!("simulating {} with seed {}", path.display(), args.seed));
    let report = scenario.run(args.seed, args.threads).with_context(shown)?;
    spinner.finish_and_clear();
    if let Some(folder) = &args.out {
        let write = |name: &str, bytes: &[u8]| {
            let file = folder.join(name);
            std::fs::write(&file, bytes).with_context(|| format!("{}: cannot write it", file.display()))
        };
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot make it", folder.display()))?;
        write("report.html", report.html().as_bytes())?;
        write("cells.parquet", &report.table()?.parquet()?)?;
        out.note(&format!(
            "wrote report.html and cells.parquet to {}",
            folder.display()
        ));
    }
    out.result(&report, || field_text(&report))
}

fn field_text(report: &FieldReport) -> String {
    let pooled = report
        .cells
        .iter()
        .filter(|cell| cell.window == 0 && cell.column == "field");
    let row = |cell: &FieldCell| {
        let (best, worst) = cell.rank.unwrap_or((0, 0));
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        vec![
            format!("{best}–{worst}"),
            cell.model.clone(),
            number(cell.score),
            cell.interval
                .map_or("–".to_owned(), |(lo, hi)| format!("{lo:.4}–{hi:.4}")),
            number(Some(cell.truth)),
        ]
    };
    let rows: Vec<Vec<String>> = pooled.map(row).collect();
    let header = ["rank", "model", "field score", "95% interval", "truth"];
    let facts = text::fields(&[
        ("clients", report.clients.to_string()),
        ("records", report.records.to_string()),
        ("separable", report.separable.to_string()),
        (
            "intervals that hold the truth",
            format!("{:.1}%", 100.0 * report.covered),
        ),
        ("hash", report.hash.clone()),
    ]);
    format!("{}\n\n{facts}", text::table(&header, &rows))
}

fn coverage(args: &Simulate, out: &Output) -> anyhow::Result<()> {
    let spinner = out.spinner("simulating challenges of 27 settings");
    let options = CoverageOptions {
        challenges: args.challenges,
        threads: args.threads,
    };
    let coverage = Coverage::run(&options)?;
    spinner.finish_and_clear();
    out.result(&coverage, || coverage.markdown())?;
    if coverage.passed {
        return Ok(());
    }
    let message = "some figures are outside what is promised; few challenges make figures less exact";
    Err(Failure::new(Exit::Failed, "violated", message).into())
}

fn one(args: &Simulate, scenario: &Path, path: &Path, out: &Output) -> anyhow::Result<()> {
    let spinner = out.spinner(&format!(
        "simulating {} with seed {}",
        scenario.display(),
        args.seed
    ));
    let options = Options {
        log: args.log.clone(),
    };
    let report = run_file_with(path, args.seed, &options)?;
    spinner.finish_and_clear();
    out.result(&report, || report_text(&report))?;
    if report.passed {
        return Ok(());
    }
    let message = format!(
        "{} invariants were violated; replay with `fieldmark simulate {} --seed {}`",
        report.violations.len(),
        scenario.display(),
        args.seed
    );
    Err(Failure::new(Exit::Failed, "violated", message).into())
}

fn many(args: &Simulate, scenario: &Path, path: &Path, seeds: u64, out: &Output) -> anyhow::Result<()> {
    let end = args.seed.checked_add(seeds);
    let end = end.ok_or_else(|| anyhow::anyhow!("the last seed would not fit into 64 bits"))?;
    let what = format!("simulating {} with {seeds} seeds", scenario.display());
    let spinner = out.spinner(&what);
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let many = run_many(path, args.seed..end, threads, |done| {
        spinner.set_message(format!("{what}: {done} done"));
    })?;
    spinner.finish_and_clear();
    out.result(&many, || many_text(&many))?;
    if many.passed {
        return Ok(());
    }
    let message = if many.failed == 0 {
        format!("two runs of seed {} gave different hashes", args.seed)
    } else {
        format!("{} of {seeds} seeds violated an invariant", many.failed)
    };
    Err(Failure::new(Exit::Failed, "violated", message).into())
}

fn many_text(many: &Many) -> String {
    let counts = |of: Vec<String>| of.join(", ");
    let outcomes = many
        .outcomes
        .iter()
        .map(|(name, count)| format!("{count} {name}"));
    let deeds = many.deeds.iter().map(|(name, count)| format!("{count} {name}"));
    let mut lines = text::fields(&[
        ("seeds", format!("{} from {}", many.seeds, many.start)),
        ("failed", many.failed.to_string()),
        ("ended", counts(outcomes.collect())),
        ("crashes", many.crashes.to_string()),
        ("messages lost", many.lost.to_string()),
        ("adversaries", counts(deeds.collect())),
        ("events", many.events.to_string()),
        ("first hash", many.first_hash.clone()),
    ]);
    for failure in &many.failures {
        lines.push_str(&format!(
            "\n\nseed {}: {}",
            failure.seed,
            text::plain(&failure.replay)
        ));
        for violation in &failure.violations {
            lines.push_str(&format!("\n* {}", text::plain(violation)));
        }
    }
    lines
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
