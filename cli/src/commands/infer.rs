//! `infer` and `run`: one request to a release on the node, or to a package folder in a runner of its own.

use std::path::Path;

use fieldmark_node_data::Range;
use fieldmark_package::{Package, Source, Workshop, values};
use fieldmark_protocol::release::TensorSpec;
use fieldmark_supervisor::{Runner, Tensor};
use serde_json::{Value, json};

use super::servables::is_path;
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
    let (answer, labels) = if is_path(&args.reference) {
        let folder = super::absolute(Path::new(&args.reference))?;
        let input = Some((args.input.as_path(), args.range));
        in_folder(global, &args.runner, &folder, input, out)?
    } else {
        on_node(global, args, out)?
    };
    out.result(&answer, || answer_text(&answer, &labels))
}

/// `run`
pub(crate) fn run(global: &Global, args: &RunPackage, out: &Output) -> anyhow::Result<()> {
    let folder = super::absolute(&args.package)?;
    let input = args.input.as_deref().map(|input| (input, args.range));
    let (answer, labels) = in_folder(global, &args.runner, &folder, input, out)?;
    out.result(&answer, || answer_text(&answer, &labels))
}

fn on_node(global: &Global, args: &Infer, out: &Output) -> anyhow::Result<(Value, Vec<String>)> {
    let client = Client::connect(global)?;
    let release = client.get(&format!("releases/{}", encoded(&args.reference)))?;
    let spec = |t: &Value| TensorSpec {
        name: text::string(t, "name"),
        datatype: text::string(t, "datatype"),
        shape: text::list(t, "shape").iter().filter_map(Value::as_i64).collect(),
    };
    let inputs: Vec<TensorSpec> = text::list(&release, "inputs").iter().map(spec).collect();
    let given = inputs::read(&args.input, &inputs, args.range, &|text| out.note(text))?;
    let request = json!({ "release": text::string(&release, "id"), "inputs": given });
    let labels = text::list(&release, "labels")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok((client.post("infer", &request)?, labels))
}

/// Runs a package in an isolated runner of its own, on a file (pictures scaled to the range) or on its sample.
fn in_folder(
    global: &Global,
    runner: &RunnerArgs,
    folder: &Path,
    input: Option<(&Path, Option<Range>)>,
    out: &Output,
) -> anyhow::Result<(Value, Vec<String>)> {
    let spinner = out.spinner("running the model");
    let workshop = packages::workshop(global, runner, spinner.clone())?;
    let note = |text: &str| spinner.suspend(|| out.note(text));
    let answered = super::block_on(Box::pin(answer(&workshop, folder, input, &note)))?;
    spinner.finish_and_clear();
    answered
}

async fn answer(
    workshop: &Workshop,
    folder: &Path,
    input: Option<(&Path, Option<Range>)>,
    note: &dyn Fn(&str),
) -> anyhow::Result<(Value, Vec<String>)> {
    let package = Package::read(folder)?;
    let release = package.hash()?;
    let tensors = match input {
        Some((input, range)) => {
            let given = inputs::read(input, &release.inputs, range, note)?;
            tensors(&given, &release.inputs)?
        }
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
    let output = |(at, output): (usize, &Value)| {
        let data = text::list(output, "data");
        let head = format!(
            "{} {} {}",
            text::string(output, "name"),
            text::string(output, "datatype"),
            text::string(output, "shape")
        );
        if at == 0 && are_scores(output, labels) {
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
        .enumerate()
        .map(output)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether an output has a number for each label in every row.
fn are_scores(output: &Value, labels: &[String]) -> bool {
    let last = text::list(output, "shape").last().and_then(Value::as_u64);
    let numeric = !["BYTES", "BOOL"].contains(&text::string(output, "datatype").as_str());
    numeric && !labels.is_empty() && last == u64::try_from(labels.len()).ok()
}

/// The label with the highest score in a row, the first of equals.
fn top(row: &[Value], labels: &[String]) -> String {
    // What is no finite number is null in JSON.
    let scores: Option<Vec<f64>> = row.iter().map(Value::as_f64).collect();
    let Some(scores) = scores else {
        return "  not a number".to_owned();
    };
    let best = scores
        .into_iter()
        .zip(labels)
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map_or_else(String::new, |(score, label)| {
        format!("  {} ({score:.4})", text::plain(label))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_of_scores_alone() {
        let labels = ["cat".to_owned(), "dog".to_owned()];
        let shown = |outputs: Value| answer_text(&json!({ "outputs": outputs }), &labels);
        let output = |shape: Value, data: Value| json!({ "name": "y", "datatype": "FP32", "shape": shape, "data": data });
        let scores = output(json!([3, 2]), json!([0.5, 0.5, null, 0.1, 0.2, 0.8]));
        let other = output(json!([2]), json!([1.0, 2.0]));
        let text = shown(json!([scores, other]));
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines[..3], ["  cat (0.5000)", "  not a number", "  dog (0.8000)"]);
        assert_eq!(lines[4], "  1.0, 2.0");
        let pairs = shown(json!([output(json!([2, 3]), json!([1, 2, 3, 4, 5, 6]))]));
        assert!(!pairs.contains("cat"), "{pairs}");
    }
}
