//! `infer` and `run`: one request to a release on the node, or to a package folder in a runner of its own.

use std::path::Path;

use fieldmark_package::{Package, Source, Workshop, values};
use fieldmark_protocol::release::TensorSpec;
use fieldmark_supervisor::{Runner, Tensor};
use serde_json::{Value, json};

use super::{inputs, packages};
use crate::args::models::{RunPackage, RunnerArgs};
use crate::args::{Global, Infer};
use crate::client::{Client, encoded};
use crate::output::Output;
use crate::text;

/// Values of an output that are printed for people.
const SHOWN_MAX: usize = 12;

/// `infer`
pub(crate) fn infer(global: &Global, args: &Infer, out: &Output) -> anyhow::Result<()> {
    let (answer, labels) = if is_folder(&args.reference) {
        let (folder, input) = (Path::new(&args.reference), Some(args.input.as_path()));
        in_folder(global, &args.runner, folder, input, out)?
    } else {
        on_node(global, args)?
    };
    out.result(&answer, || answer_text(&answer, &labels))
}

/// `run`
pub(crate) fn run(global: &Global, args: &RunPackage, out: &Output) -> anyhow::Result<()> {
    let folder = super::absolute(&args.package)?;
    let (answer, labels) = in_folder(global, &args.runner, &folder, args.input.as_deref(), out)?;
    out.result(&answer, || answer_text(&answer, &labels))
}

/// Whether a package folder is meant. A bare name is always a release, even beside a folder of that name.
fn is_folder(reference: &str) -> bool {
    let written_as_path =
        reference == "." || reference == ".." || reference.contains(std::path::is_separator);
    written_as_path && Path::new(reference).join("fieldmark.toml").is_file()
}

fn on_node(global: &Global, args: &Infer) -> anyhow::Result<(Value, Vec<String>)> {
    let client = Client::connect(global)?;
    let release = client.get(&format!("releases/{}", encoded(&args.reference)))?;
    let spec = |t: &Value| TensorSpec {
        name: text::string(t, "name"),
        datatype: text::string(t, "datatype"),
        shape: text::list(t, "shape").iter().filter_map(Value::as_i64).collect(),
    };
    let inputs: Vec<TensorSpec> = text::list(&release, "inputs").iter().map(spec).collect();
    let request =
        json!({ "release": text::string(&release, "id"), "inputs": inputs::read(&args.input, &inputs)? });
    let labels = text::list(&release, "labels")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok((client.post("infer", &request)?, labels))
}

/// Runs a package in an isolated runner of its own, on a file or on its sample.
fn in_folder(
    global: &Global,
    runner: &RunnerArgs,
    folder: &Path,
    input: Option<&Path>,
    out: &Output,
) -> anyhow::Result<(Value, Vec<String>)> {
    let spinner = out.spinner("running the model");
    let workshop = packages::workshop(global, runner, spinner.clone())?;
    let answered = super::block_on(Box::pin(answer(&workshop, folder, input)))?;
    spinner.finish_and_clear();
    answered
}

async fn answer(
    workshop: &Workshop,
    folder: &Path,
    input: Option<&Path>,
) -> anyhow::Result<(Value, Vec<String>)> {
    let package = Package::read(folder)?;
    let release = package.hash()?;
    let tensors = match input {
        Some(input) => tensors(&inputs::read(input, &release.inputs)?, &release.inputs)?,
        None => package.sample()?,
    };
    let spec = workshop.prepare(&release, Source::Folder(folder)).await?;
    let runner = Runner::start(&workshop.config, spec).await?;
    let outputs = runner.infer(tensors).await;
    runner.shutdown().await;
    let outputs: Vec<Value> = outputs?
        .iter()
        .map(values::to_protocol)
        .collect::<Result<_, _>>()?;
    Ok((
        json!({ "release": null, "name": package.title(), "outputs": outputs }),
        release.labels,
    ))
}

fn tensors(given: &Value, inputs: &[TensorSpec]) -> anyhow::Result<Vec<Tensor>> {
    Ok(match given.as_array() {
        Some(list) => list
            .iter()
            .map(|t| values::from_protocol(t, inputs))
            .collect::<Result<_, _>>()?,
        None => values::from_json(given, inputs)?,
    })
}

fn answer_text(answer: &Value, labels: &[String]) -> String {
    let output = |output: &Value| {
        let data = text::list(output, "data");
        let head = format!(
            "{} {} {}",
            text::string(output, "name"),
            text::string(output, "datatype"),
            text::string(output, "shape")
        );
        if !labels.is_empty() && data.len().is_multiple_of(labels.len()) {
            let tops = data
                .chunks(labels.len())
                .map(|row| top(row, labels))
                .take(SHOWN_MAX);
            return format!("{head}\n{}", tops.collect::<Vec<_>>().join("\n"));
        }
        let shown: Vec<String> = data.iter().take(SHOWN_MAX).map(Value::to_string).collect();
        let more = if data.len() > SHOWN_MAX { ", …" } else { "" };
        format!("{head}\n  {}{more}", shown.join(", "))
    };
    text::list(answer, "outputs")
        .iter()
        .map(output)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The label with the highest score in a row.
fn top(row: &[Value], labels: &[String]) -> String {
    let scores = row.iter().map(|v| v.as_f64().unwrap_or(f64::NEG_INFINITY));
    let best = scores.zip(labels).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or_else(String::new, |(score, label)| {
        format!("  {} ({score:.4})", text::plain(label))
    })
}
