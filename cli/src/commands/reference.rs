//! `reference`: how a model's inputs and answers are distributed on its author's data, written into the
//! package, so that whoever serves it can tell when what it is asked has drifted.

use std::path::Path;

use anyhow::Context as _;
use fieldmark_fl::drift::{Calibration, Collector, Reference};
use fieldmark_node::drift::Features;
use fieldmark_node_data::{Source as Record, View};
use fieldmark_package::{Package, Source, Workshop};
use fieldmark_protocol::manifest::MANIFEST_FILE;
use fieldmark_protocol::release::{Release, TensorSpec};
use fieldmark_serving::Tensor;
use fieldmark_supervisor::{Runner, Tensor as Wire, tensor_f32, tensor_texts};
use serde_json::json;

use super::packages;
use crate::args::Global;
use crate::args::serving::Reference as Args;
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// The file that is written.
const FILE: &str = "drift.json";
/// Records run at a time.
const CHUNK: usize = 128;

/// `reference`
pub(crate) fn reference(global: &Global, args: &Args, out: &Output) -> anyhow::Result<()> {
    let (folder, data) = (super::absolute(&args.dir)?, super::absolute(&args.from)?);
    let most = usize::try_from(args.records).unwrap_or(usize::MAX);
    let spinner = out.spinner("reading the data and running the model");
    let records: Vec<Record> = fieldmark_node_data::records(&data)?
        .take(most)
        .collect::<Result<_, _>>()?;
    let workshop = packages::workshop(global, &args.runner, spinner.clone())?;
    let found = super::block_on(Box::pin(collect(&workshop, &folder, &records)))??;
    spinner.finish_and_clear();
    let path = folder.join(FILE);
    std::fs::write(&path, serde_json::to_string_pretty(&found)? + "\n")
        .with_context(|| format!("{}: cannot write it", path.display()))?;
    let named = name_in_manifest(&folder)?;
    let names: Vec<&str> = found
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    let value = json!({
        "file": path, "records": records.len(), "features": names,
        "calibrated": found.calibration.is_some(), "manifest_changed": named,
    });
    out.result(&value, || {
        let with = if found.calibration.is_some() {
            ", with calibration"
        } else {
            ""
        };
        format!(
            "{}: {} of {} records{with}\n{}",
            path.display(),
            text::plain(&names.join(", ")),
            records.len(),
            if named {
                "fieldmark.toml names it under [drift]"
            } else {
                "fieldmark.toml names it already"
            }
        )
    })
}

async fn collect(workshop: &Workshop, folder: &Path, records: &[Record]) -> anyhow::Result<Reference> {
    let package = Package::read(folder)?;
    let release = package.hash()?;
    let [input] = release.inputs.as_slice() else {
        let message = format!(
            "the model takes {} inputs, a dataset has one",
            release.inputs.len()
        );
        return Err(Failure::usage(message).into());
    };
    let spec = workshop.prepare(&release, Source::Folder(folder)).await?;
    let runner = Runner::start(&workshop.config, spec).await?;
    let outcome = run(&runner, &release, input, records).await;
    runner.shutdown().await;
    outcome
}

async fn run(
    runner: &Runner,
    release: &Release,
    input: &TensorSpec,
    records: &[Record],
) -> anyhow::Result<Reference> {
    let features = Features::new(&release.inputs, &release.outputs, release.labels.len());
    let names = features.names();
    let place = |name: &str| names.iter().position(|known| known == name);
    let (confidence, answer) = (place("confidence"), place("answer"));
    let mut collector = Collector::new(names.clone());
    let mut calibration = Calibration::default();
    for chunk in records.chunks(CHUNK) {
        let viewed: Vec<(&Record, &View)> = chunk
            .iter()
            .filter_map(|r| Some((r, r.views.values().next()?)))
            .collect();
        let asked = batch(input, &viewed)?;
        let answered = runner.infer(vec![asked.clone()]).await?;
        let inputs = [tensor(asked)?];
        let outputs = answered.into_iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
        for (row, (record, _)) in features.rows(&inputs, &outputs, CHUNK).iter().zip(&viewed) {
            collector.add(row);
            let at = |index: Option<usize>| index.and_then(|index| row.get(index)).copied();
            let truth = record
                .target
                .class()
                .and_then(|label| release.labels.iter().position(|l| l == label));
            if let (Some(confidence), Some(answer), Some(truth)) = (at(confidence), at(answer), truth) {
                calibration.add(confidence, answer == truth as f64);
            }
        }
    }
    Ok(collector.finish((calibration.total() > 0).then_some(calibration)))
}

fn tensor(wire: Wire) -> anyhow::Result<Tensor> {
    Ok(fieldmark_tensors::Tensor::try_from(wire)?.into())
}

/// Records of one chunk as the model's input.
fn batch(input: &TensorSpec, viewed: &[(&Record, &View)]) -> anyhow::Result<Wire> {
    if input.datatype == "BYTES" {
        let texts: Vec<&str> = viewed.iter().filter_map(|(_, view)| view.text()).collect();
        return Ok(tensor_texts(&input.name, &texts));
    }
    let width: i64 = input.shape.iter().skip(1).product();
    let unfit = |found: usize| {
        let message = format!(
            "a record of the data has {found} numbers, the model takes {} of shape {:?}",
            input.datatype, input.shape
        );
        Failure::usage(message)
    };
    let mut shape = input.shape.clone();
    let mut values = Vec::new();
    for (_, view) in viewed {
        let row = view.numbers().unwrap_or_default();
        if input.datatype != "FP32" || shape.first() != Some(&-1) || i64::try_from(row.len()) != Ok(width) {
            return Err(unfit(row.len()).into());
        }
        values.extend_from_slice(row);
    }
    if let Some(first) = shape.first_mut() {
        *first = i64::try_from(viewed.len())?;
    }
    Ok(tensor_f32(&input.name, &shape, &values))
}

/// Adds `[drift]` to a manifest that has none; whether it did.
fn name_in_manifest(folder: &Path) -> anyhow::Result<bool> {
    let path = folder.join(MANIFEST_FILE);
    let manifest =
        std::fs::read_to_string(&path).with_context(|| format!("{}: cannot read it", path.display()))?;
    let parsed = fieldmark_protocol::manifest::Manifest::parse(&manifest)?;
    match parsed.drift {
        Some(drift) if drift.file == FILE => return Ok(false),
        Some(drift) => {
            let message = format!(
                "{}: [drift] names {}, not {FILE}; correct it",
                path.display(),
                drift.file
            );
            return Err(Failure::usage(message).into());
        }
        None => {}
    }
    let ended = format!("{}\n\n[drift]\nfile = \"{FILE}\"\n", manifest.trim_end());
    std::fs::write(&path, ended).with_context(|| format!("{}: cannot write it", path.display()))?;
    Ok(true)
}
