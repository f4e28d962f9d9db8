//! `dataset`

use anyhow::Context as _;
use fieldmark_fl::corrupt::Corruption;
use fieldmark_node::home::Home;
use fieldmark_node_data::views::{self, View, ViewOptions};
use serde_json::{Value, json};

use crate::args::{Dataset, DatasetAction, DatasetAdd, Global, Views};
use crate::client::{Client, data_dir};
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// `dataset`
pub(crate) fn dataset(global: &Global, args: &Dataset, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        DatasetAction::Add(args) => add(global, args, out),
        DatasetAction::List => list(global, out),
        DatasetAction::Views(args) => make_views(global, args, out),
    }
}

fn add(global: &Global, args: &DatasetAdd, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let path = super::absolute(&args.file)?;
    let spinner = out.spinner(&format!("reading {}", args.file.display()));
    let body = json!({
        "path": path,
        "name": args.name,
        "source": args.source,
        "epsilon": args.epsilon,
        "delta": args.delta,
    });
    let added = client.post("datasets", &body)?;
    spinner.finish_and_clear();
    out.result(&added, || {
        let dataset = added.get("dataset").unwrap_or(&Value::Null);
        let field = |name: &str| text::string(dataset, name);
        let budget = if added.get("known_source") == Some(&Value::Bool(true)) {
            format!("the budget of source '{}' goes on", field("source"))
        } else {
            format!(
                "source '{}' has a new budget of ε = {} at δ = {}",
                field("source"),
                args.epsilon,
                args.delta
            )
        };
        format!(
            "dataset '{}': {} records, {} rows, {} features, slices {}; {budget}",
            field("name"),
            field("records"),
            field("rows"),
            field("features"),
            text::joined(dataset, "slices")
        )
    })
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
    let home = Home::open(&data_dir(global)?)?;
    let options = ViewOptions {
        views: args
            .severity_of
            .iter()
            .map(|text| view(text))
            .collect::<Result<_, _>>()?,
        clean: args.clean,
        width: args.width,
        max: args.max,
    };
    let bar = out.bar(0, "making views");
    let written = views::write(
        &args.file,
        &args.out,
        &options,
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

/// Parses `blur=2`; `sensor-noise` is another word for `noise`, and keeps its name as the slice's.
fn view(text: &str) -> Result<View, Failure> {
    let wrong = |detail: String| Failure::usage(format!("--severity-of '{text}': {detail}"));
    let (slice, severity) = text
        .split_once('=')
        .ok_or_else(|| wrong("write NAME=SEVERITY, such as blur=2".to_owned()))?;
    let operator = if slice == "sensor-noise" { "noise" } else { slice };
    let Corruption::Image(operator) =
        Corruption::parse(operator).map_err(|error| wrong(error.to_string()))?
    else {
        return Err(wrong(format!("{operator} is no corruption of images")));
    };
    let severity = severity.parse().ok().filter(|s| (1..=5).contains(s));
    let severity = severity.ok_or_else(|| wrong("a severity is 1 to 5".to_owned()))?;
    Ok(View {
        slice: slice.to_owned(),
        operator,
        severity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_parsed_and_refused_with_the_fix() {
        let noise = view("sensor-noise=2").unwrap();
        assert_eq!(
            (noise.slice.as_str(), noise.operator, noise.severity),
            ("sensor-noise", fieldmark_fl::corrupt::Operator::SensorNoise, 2)
        );
        for wrong in ["blur", "blur=0", "blur=9", "fog=2", "blur=x"] {
            assert!(view(wrong).unwrap_err().message.contains(wrong), "{wrong}");
        }
    }
}
