//! `infer`: one request to a release on the node, or to a package folder in a runner of its own.

use std::path::Path;

use anyhow::Context as _;
use fieldmark_package::{Package, values};
use fieldmark_protocol::release::TensorSpec;
use fieldmark_supervisor::{Runner, RunnerSpec, SupervisorConfig};
use serde_json::{Value, json};

use crate::args::{Global, Infer};
use crate::client::{Client, encoded};
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// Values of an output that are printed for people.
const SHOWN_MAX: usize = 12;

/// `infer`
pub(crate) fn infer(global: &Global, args: &Infer, out: &Output) -> anyhow::Result<()> {
    let (answer, labels) = if is_folder(&args.reference) {
        super::block_on(Box::pin(in_folder(Path::new(&args.reference), &args.input)))??
    } else {
        on_node(global, args)?
    };
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
    let request = json!({ "release": text::string(&release, "id"), "inputs": read(&args.input, &inputs)? });
    let labels = text::list(&release, "labels")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok((client.post("infer", &request)?, labels))
}

async fn in_folder(folder: &Path, input: &Path) -> anyhow::Result<(Value, Vec<String>)> {
    let package = Package::read(folder)?;
    let release = package.hash()?;
    let inputs = read(input, &release.inputs)?;
    let tensors = match inputs.as_array() {
        Some(list) => list
            .iter()
            .map(|t| values::from_protocol(t, &release.inputs))
            .collect::<Result<_, _>>()?,
        None => values::from_json(&inputs, &release.inputs)?,
    };
    let names = |specs: &[TensorSpec]| specs.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    let spec = RunnerSpec::new(package.title(), folder.join(&release.entry))
        .inputs(names(&release.inputs))
        .outputs(names(&release.outputs));
    let runner = Runner::start(&SupervisorConfig::beside_current_exe()?, spec).await?;
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

/// The request's inputs: an object by name from JSON, or one tensor from rows of numbers.
fn read(path: &Path, inputs: &[TensorSpec]) -> anyhow::Result<Value> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        let content =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot read it", path.display()))?;
        return serde_json::from_str(&content)
            .with_context(|| format!("{}: this is not JSON", path.display()));
    }
    if let [input] = inputs
        && input.datatype == "BYTES"
    {
        let content =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot read it", path.display()))?;
        let texts: Vec<&str> = content.lines().collect();
        return Ok(json!({ input.name.clone(): texts }));
    }
    let matrix = fieldmark_node_data::matrix(path)?;
    let [input] = inputs else {
        let message = format!(
            "{}: the model has {} inputs; give them by name in a .json file",
            path.display(),
            inputs.len()
        );
        return Err(Failure::usage(message).into());
    };
    let count = i64::try_from(matrix.values.len()).unwrap_or(i64::MAX);
    let shape = fitted(&input.shape, count).ok_or_else(|| {
        let found = matrix
            .shape
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(" × ");
        let message = format!(
            "{}: {found} numbers do not fit input '{}' of shape {:?}",
            path.display(),
            input.name,
            input.shape
        );
        Failure::usage(message)
    })?;
    Ok(json!([{ "name": input.name, "datatype": input.datatype, "shape": shape, "data": matrix.values }]))
}

/// The stated shape with its one free size filled in.
fn fitted(stated: &[i64], count: i64) -> Option<Vec<i64>> {
    let fixed: i64 = stated
        .iter()
        .filter(|size| **size != -1)
        .try_fold(1_i64, |p, size| p.checked_mul(*size))?;
    let free = stated.iter().filter(|size| **size == -1).count();
    match free {
        0 if fixed == count => Some(stated.to_vec()),
        1 if fixed > 0 && count % fixed == 0 => Some(
            stated
                .iter()
                .map(|size| if *size == -1 { count / fixed } else { *size })
                .collect(),
        ),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_fitted_to_the_stated_shape() {
        assert_eq!(fitted(&[-1, 1, 8, 8], 128), Some(vec![2, 1, 8, 8]));
        assert_eq!(fitted(&[-1, 64], 65), None);
        assert_eq!(fitted(&[4], 4), Some(vec![4]));
        assert_eq!(fitted(&[-1, -1], 4), None);
    }
}
