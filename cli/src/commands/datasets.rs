//! `dataset`

mod reading;
mod report;

use anyhow::Context as _;
use fieldmark_node::home::Home;
use fieldmark_node_data::{Range, views};
use serde_json::{Value, json};

use crate::args::Global;
use crate::args::datasets::{Dataset, DatasetAction, DatasetAdd, DatasetCheck, Views};
use crate::client::{Client, data_dir};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// `dataset`
pub(crate) fn dataset(global: &Global, args: &Dataset, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        DatasetAction::Add(args) => add(global, args, out),
        DatasetAction::Check(args) => check(args, out),
        DatasetAction::List => list(global, out),
        DatasetAction::Views(args) => make_views(global, args, out),
    }
}

fn add(global: &Global, args: &DatasetAdd, out: &Output) -> anyhow::Result<()> {
    let options = reading::options(&args.reading)?;
    let client = Client::connect(global)?;
    let path = super::absolute(&args.file)?;
    let spinner = out.spinner(&format!("reading {}", args.file.display()));
    let body = json!({
        "path": path,
        "name": args.name,
        "source": args.source,
        "epsilon": args.epsilon,
        "delta": args.delta,
        "order": args.order,
        "reading": options,
    });
    let added = client.post("datasets", &body)?;
    spinner.finish_and_clear();
    out.result(&added, || {
        let dataset = added.get("dataset").unwrap_or(&Value::Null);
        let field = |name: &str| text::string(dataset, name);
        let source = field("source");
        let number = |name: &str| added.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let promise = format!("ε = {} at δ = {:e}", number("epsilon"), number("delta"));
        let budget = if added.get("known_source") == Some(&Value::Bool(true)) {
            let shared = if args.source.as_ref().unwrap_or(&args.name) == &source {
                ""
            } else {
                "it shares records with what is known, so "
            };
            format!("{shared}the budget of source '{source}', {promise}, goes on")
        } else {
            let accounting = args.order.map(|order| format!(", kept at Rényi order {order}"));
            let accounting = accounting.unwrap_or_default();
            format!("source '{source}' has a new budget of {promise}{accounting}")
        };
        let row = match text::number(dataset, "features") {
            0 => "one text".to_owned(),
            features => format!("{features} features"),
        };
        format!(
            "dataset '{}': {} records, {} rows of {row}, slices {}; {budget}\n\n{}",
            field("name"),
            field("records"),
            field("rows"),
            text::joined(dataset, "slices"),
            report::profile(added.get("profile").unwrap_or(&Value::Null)),
        )
    })
}

fn check(args: &DatasetCheck, out: &Output) -> anyhow::Result<()> {
    let options = reading::options(&args.reading)?;
    let spinner = out.spinner(&format!("reading {}", args.file.display()));
    let report = fieldmark_node_data::check(&args.file, &options)?;
    spinner.finish_and_clear();
    let errors: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
    let value = json!({
        "file": args.file,
        "summary": report.summary,
        "profile": report.profile,
        "errors": errors,
    });
    out.result(&value, || report::whole(&value))?;
    if errors.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}: {} rows cannot be used, the errors above say why",
        args.file.display(),
        report.profile.refused
    );
    Err(Failure::new(Exit::Failed, "data", message).into())
}

fn list(global: &Global, out: &Output) -> anyhow::Result<()> {
    let found = Client::connect(global)?.get("datasets")?;
    out.result(&found, || {
        let datasets = text::list(&found, "datasets");
        if datasets.is_empty() {
            return "no datasets; add one with `fieldmark dataset add FILE --name NAME`".to_owned();
        }
        let row = |d: &Value| {
            let field = |name: &str| text::string(d, name);
            vec![
                field("name"),
                field("source"),
                field("records"),
                text::joined(d, "slices"),
                text::short(&field("version")),
                field("path"),
            ]
        };
        let rows: Vec<Vec<String>> = datasets.iter().map(row).collect();
        text::table(
            &["dataset", "source", "records", "slices", "version", "file"],
            &rows,
        )
    })
}

fn make_views(global: &Global, args: &Views, out: &Output) -> anyhow::Result<()> {
    let mut options = reading::options(&args.reading)?;
    if options.corruptions.is_empty() && options.slices.is_empty() {
        let message = "nothing is to be made; state --severity-of, such as blur=2, or --slice";
        return Err(Failure::usage(message).into());
    }
    if let Some(max) = args.max {
        options.range = Some(Range { low: 0.0, high: max });
    }
    options.image.width = args.width.or(options.image.width);
    let home = Home::open(&data_dir(global)?)?;
    let bar = out.bar(0, "making views");
    let written = views::write(
        &args.file,
        &args.out,
        &options,
        args.clean,
        &home.dataset_secret,
        |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        },
    );
    bar.finish_and_clear();
    let written = written.context("no views were made")?;
    let value = json!({ "records": written.records, "rows": written.rows, "file": args.out });
    out.result(&value, || {
        format!(
            "{}: {} views of {} records",
            args.out.display(),
            written.rows,
            written.records
        )
    })
}
