//! `reference`: how a model's inputs and answers are distributed on its author's data, written into the
//! package, so that whoever serves it can tell when what it is asked has drifted.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use fieldmark_fl::drift::{Calibration, Collector, Outlyingness, Reference};
use fieldmark_node::drift::{Features, parts};
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
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// The file that is written.
const FILE: &str = "drift.json";
/// Records run at a time.
const CHUNK: usize = 128;
/// Fewest records that say anything: drift is told from ten in a bin, and of two bins.
const RECORDS_MIN: usize = 20;

/// `reference`
pub(crate) fn reference(global: &Global, args: &Args, out: &Output) -> anyhow::Result<()> {
    let (folder, data) = (super::absolute(&args.dir)?, super::absolute(&args.from)?);
    let most = usize::try_from(args.records).unwrap_or(usize::MAX);
    // A reference that is missing or broken is what this command is for.
    let package = Package::read_without_reference(&folder)?;
    let manifest = manifest_with_reference(&folder)?;
    let spinner = out.spinner("reading the data and running the model");
    let records = drawn(fieldmark_node_data::records(&data)?, most)?;
    let workshop = packages::workshop(global, &args.runner, spinner.clone())?;
    let (found, used) = super::block_on(Box::pin(collect(&workshop, &folder, &package, &records)))??;
    spinner.finish_and_clear();
    if used < RECORDS_MIN {
        let message = format!(
            "{}: {used} records can be used, a reference is made of {RECORDS_MIN} or more",
            data.display()
        );
        return Err(Failure::new(Exit::Failed, "data", message).into());
    }
    let text = serde_json::to_string_pretty(&found)? + "\n";
    Reference::parse(&text).context("what was found makes no reference, and nothing is written")?;
    replace(&folder, FILE, &text)?;
    if let Some(manifest) = &manifest {
        replace(&folder, MANIFEST_FILE, manifest)?;
    }
    let (path, named) = (folder.join(FILE), manifest.is_some());
    let names: Vec<&str> = found
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    let value = json!({
        "file": path, "records": used, "features": names,
        "calibrated": found.calibration.is_some(), "input_drift": found.outlyingness.is_some(),
        "manifest_changed": named,
    });
    out.result(&value, || {
        let with = if found.calibration.is_some() {
            ", with calibration"
        } else {
            ""
        };
        let private = if found.outlyingness.is_some() {
            ""
        } else {
            "nothing for the private statistic input-drift: all inputs lie equally far from their middle\n"
        };
        format!(
            "{}: {} of {used} records{with}\n{private}{}",
            path.display(),
            text::plain(&names.join(", ")),
            if named {
                "fieldmark.toml names it under [drift]"
            } else {
                "fieldmark.toml names it already"
            }
        )
    })
}

/// At most so many of the records, each with the same probability, the same ones each time: files and folders are
/// often sorted by class, and their beginning stands for nothing (reservoir sampling).
fn drawn<T, E>(records: impl Iterator<Item = Result<T, E>>, most: usize) -> Result<Vec<T>, E> {
    let mut kept = Vec::new();
    for (at, record) in (0_u64..).zip(records) {
        let record = record?;
        if kept.len() < most {
            kept.push(record);
            continue;
        }
        let hash = blake3::hash(&at.to_le_bytes());
        let draw = hash
            .as_bytes()
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let place = usize::try_from(draw % (at + 1)).ok();
        if let Some(place) = place.and_then(|place| kept.get_mut(place)) {
            *place = record;
        }
    }
    Ok(kept)
}

/// The reference of these records, and how many of them are in it.
async fn collect(
    workshop: &Workshop,
    folder: &Path,
    package: &Package,
    records: &[Record],
) -> anyhow::Result<(Reference, usize)> {
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
) -> anyhow::Result<(Reference, usize)> {
    let features = Features::new(&release.inputs, &release.outputs, release.labels.len());
    let names = features.names();
    let place = |name: &str| names.iter().position(|known| known == name);
    let (confidence, answer) = (place("confidence"), place("answer"));
    let mut collector = Collector::new(names.clone());
    let mut calibration = Calibration::default();
    let mut answers = vec![0; release.labels.len()];
    let mut used = 0;
    let mut seen = Vec::new();
    let bytes = |record: &Record| record.views.values().next().map_or(0, View::bytes);
    for chunk in parts(records, bytes, CHUNK) {
        let viewed: Vec<(&Record, &View)> = chunk
            .iter()
            .filter_map(|r| Some((r, r.views.values().next()?)))
            .collect();
        let views: Vec<&View> = viewed.iter().map(|(_, view)| *view).collect();
        let asked = batch(input, &views)?;
        let answered = runner.infer(vec![asked.clone()]).await?;
        let inputs = [tensor(asked)?];
        let outputs = answered.into_iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
        for (row, (record, _)) in features.rows(&inputs, &outputs, CHUNK).into_iter().zip(&viewed) {
            collector.add(&row);
            used += 1;
            let at = |index: Option<usize>| row.get(index?).copied().flatten();
            let said = at(answer).and_then(|answer| {
                (0..)
                    .zip(&mut answers)
                    .find(|(class, _)| f64::from(*class) == answer)
            });
            if let Some((_, count)) = said {
                *count += 1;
            }
            let truth = record
                .target
                .class()
                .and_then(|label| release.labels.iter().position(|l| l == label));
            if let (Some(confidence), Some(answer), Some(truth)) = (at(confidence), at(answer), truth) {
                calibration.add(confidence, answer == truth as f64);
            }
            seen.push(row);
        }
    }
    let calibration = (calibration.total() > 0).then_some(calibration);
    let mut reference = collector.finish(calibration);
    if answers.iter().any(|count| *count > 0) {
        reference.answers = answers;
    }
    reference.outlyingness =
        Outlyingness::new(&reference, |name| features.is_input(name)).and_then(|found| {
            let places: Vec<_> = found.names().iter().map(|name| place(name)).collect();
            let of = |row: &Vec<Option<f64>>| {
                places
                    .iter()
                    .map(|at| row.get((*at)?).copied().flatten())
                    .collect()
            };
            found.distribution(&seen.iter().map(of).collect::<Vec<_>>())
        });
    Ok((reference, used))
}

fn tensor(wire: Wire) -> anyhow::Result<Tensor> {
    Ok(fieldmark_tensors::Tensor::try_from(wire)?.into())
}

/// Records of one chunk as the model's input.
fn batch(input: &TensorSpec, views: &[&View]) -> anyhow::Result<Wire> {
    if input.datatype == "BYTES" {
        let texts: Vec<&str> = views.iter().filter_map(|view| view.text()).collect();
        return Ok(tensor_texts(&input.name, &texts));
    }
    let sizes = input.shape.iter().skip(1);
    let width = sizes
        .copied()
        .try_fold(1_i64, i64::checked_mul)
        .and_then(|width| usize::try_from(width).ok());
    let unfit = |found: usize| {
        let message = format!(
            "a record of the data has {found} numbers, the model takes {} of shape {:?}",
            input.datatype, input.shape
        );
        Failure::usage(message)
    };
    let mut shape = input.shape.clone();
    let mut values = Vec::new();
    for view in views {
        let row = view.numbers().unwrap_or_default();
        if input.datatype != "FP32" || shape.first() != Some(&-1) || width != Some(row.len()) {
            return Err(unfit(row.len()).into());
        }
        values.extend_from_slice(row);
    }
    if let Some(first) = shape.first_mut() {
        *first = i64::try_from(views.len())?;
    }
    Ok(tensor_f32(&input.name, &shape, &values))
}

/// The manifest with `[drift]`; nothing if it has that already.
fn manifest_with_reference(folder: &Path) -> anyhow::Result<Option<String>> {
    let path = folder.join(MANIFEST_FILE);
    let manifest =
        fs::read_to_string(&path).with_context(|| format!("{}: cannot read it", path.display()))?;
    let parsed = fieldmark_protocol::manifest::Manifest::parse(&manifest)?;
    match parsed.drift {
        Some(drift) if drift.file == FILE => Ok(None),
        Some(drift) => {
            let message = format!(
                "{}: [drift] names {}, not {FILE}; correct it",
                path.display(),
                drift.file
            );
            Err(Failure::usage(message).into())
        }
        None => Ok(Some(format!(
            "{}\n\n[drift]\nfile = \"{FILE}\"\n",
            manifest.trim_end()
        ))),
    }
}

/// Replaces a file of the package, which has its old or its new content whatever happens. What is hidden belongs to no
/// package.
fn replace(folder: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let (path, unfinished) = (folder.join(file), folder.join(format!(".{file}.new")));
    let write = || {
        // What an interrupted run left, or a link that leads elsewhere.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut written = File::create_new(&unfinished)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().with_context(|| format!("{}: cannot write it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_drawn_from_the_whole_of_the_data() {
        let sorted = || (0..10_000_u32).map(Ok::<_, ()>);
        let found = drawn(sorted(), 1000).unwrap();
        assert_eq!(found.len(), 1000);
        let late = found.iter().filter(|record| **record >= 5000).count();
        assert!((400..600).contains(&late), "{late}");
        assert_eq!(drawn(sorted(), 1000).unwrap(), found);
        assert_eq!(drawn(sorted().take(3), 1000).unwrap(), [0, 1, 2]);
        assert!(drawn([Ok(1), Err(())].into_iter(), 1).is_err());
    }

    #[test]
    fn sizes_that_no_number_holds_are_no_shape_of_a_record() {
        let input = TensorSpec {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![-1, i64::MAX, i64::MAX],
        };
        assert!(batch(&input, &[&View::Numbers(vec![1.0])]).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, outside) = (folder.path().join("drift.json"), folder.path().join("outside"));
        fs::write(&file, "old").unwrap();
        fs::write(&outside, "kept").unwrap();
        std::os::unix::fs::symlink(&outside, folder.path().join(".drift.json.new")).unwrap();
        replace(folder.path(), "drift.json", "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
        assert!(!folder.path().join(".drift.json.new").exists());
    }
}
