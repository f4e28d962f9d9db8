//! Runs releases on private datasets: the `Evaluate` port of the machines, and local scores.
//!
//! Every prediction is made by an isolated runner. What the model returns is hostile until its shape
//! and its numbers are checked here.

use std::sync::Arc;

use fieldmark_fl::schema::{Measurement, RecordOutcome, Schema, SchemaParams, ViewOutcome};
use fieldmark_node_core::datasets;
use fieldmark_node_core::io::{CommandError, Dataset};
use fieldmark_node_data::{ReadOptions, Source, View};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::release::{Release, TensorSpec};
use fieldmark_protocol::task::{Extra, Statistic};
use fieldmark_supervisor::{Runner, Tensor, tensor_f32, tensor_texts, tensor_values_f32};

use crate::drift::{InputBins, parts};
use crate::handle::NodeHandle;
use crate::runners::read as read_tensors;

mod judge;
mod local;
mod served;

use judge::Question;
pub(crate) use local::local;

/// Source records evaluated at a time.
const CHUNK: usize = 256;

fn storage(error: impl std::fmt::Display) -> CommandError {
    CommandError::new("storage", error.to_string())
}

/// A model that can be scored on a dataset.
struct Candidate {
    name: String,
    runner: Runner,
    release: Release,
    /// Where its inputs lie in its author's data, if the task asks for that.
    bins: Option<Arc<InputBins>>,
}

async fn candidate(
    node: &NodeHandle,
    id: RecordId,
    data: &Dataset,
    question: &Question<'_>,
) -> Result<Candidate, CommandError> {
    let release = node.runners.release(id)?;
    let name = format!("{}@{}", release.name, release.version);
    let unfit = |detail: String| {
        CommandError::new("invalid", format!("dataset '{}' and {name}: {detail}", data.name))
    };
    let [input] = release.inputs.as_slice() else {
        return Err(unfit(format!(
            "the model takes {} inputs, a dataset has one",
            release.inputs.len()
        )));
    };
    if !takes(input, data) {
        let row = match data.features {
            0 => "a text (BYTES [-1])".to_owned(),
            features => format!("{features} numbers (FP32)"),
        };
        let (datatype, shape) = (&input.datatype, &input.shape);
        return Err(unfit(format!(
            "the model takes {datatype} {shape:?}, a row of the dataset is {row}"
        )));
    }
    question.fits(&release).map_err(unfit)?;
    let unknown = |l: &&String| question.extra.target_range.is_none() && !release.labels.contains(*l);
    if let Some(label) = data.labels.iter().find(unknown) {
        return Err(unfit(format!(
            "the dataset has the label '{label}', the model knows {:?}",
            release.labels
        )));
    }
    let runner = node.runners.runner(id).await?;
    let drift = question.extra.collected.contains(&Statistic::InputDrift);
    let bins = drift.then(|| node.runners.input_bins(&release)).flatten();
    Ok(Candidate {
        name,
        runner,
        release,
        bins: bins.map(Arc::new),
    })
}

/// Whether rows of a dataset are what an input is, any number of them at a time: as many numbers, or for a
/// dataset without features texts.
fn takes(input: &TensorSpec, data: &Dataset) -> bool {
    let Some((-1, row)) = input.shape.split_first() else {
        return false;
    };
    if data.features == 0 {
        return input.datatype == "BYTES" && row.is_empty();
    }
    let features: i64 = row.iter().product();
    input.datatype == "FP32" && row.iter().all(|d| *d > 0) && u64::try_from(features) == Ok(data.features)
}

/// Views of one kind as an input of their number.
fn batch(input: &TensorSpec, views: &[&View]) -> Tensor {
    let texts: Vec<&str> = views.iter().filter_map(|view| view.text()).collect();
    if input.datatype == "BYTES" {
        return tensor_texts(&input.name, &texts);
    }
    let mut shape = input.shape.clone();
    if let Some(first) = shape.first_mut() {
        *first = i64::try_from(views.len()).unwrap_or(i64::MAX);
    }
    let numbers: Vec<&[f32]> = views.iter().filter_map(|view| view.numbers()).collect();
    tensor_f32(&input.name, &shape, &numbers.concat())
}

/// What a model returns for views, `width` numbers a view.
async fn predict(candidate: &Candidate, rows: &[&View], width: usize) -> Result<Vec<f32>, CommandError> {
    let fail = |detail: String| CommandError::new("runner", format!("{}: {detail}", candidate.name));
    let Some(input) = candidate.release.inputs.first().filter(|_| !rows.is_empty()) else {
        return Ok(Vec::new());
    };
    let outputs = candidate.runner.infer(vec![batch(input, rows)]).await;
    let outputs = outputs.map_err(|e| CommandError::new("runner", e.to_string()))?;
    let output = outputs
        .first()
        .ok_or_else(|| fail("the model returned nothing".into()))?;
    let scores = tensor_values_f32(output).map_err(|e| fail(e.to_string()))?;
    if width == 0 || scores.len() != rows.len() * width {
        return Err(fail(format!(
            "the model returned {} numbers for {} rows of {width}",
            scores.len(),
            rows.len()
        )));
    }
    Ok(scores)
}

/// The bins of the release's reference that views fall into, off the async threads; nothing where none are asked for.
async fn outlying(candidate: &Candidate, rows: &[&View]) -> Result<Vec<Option<u16>>, CommandError> {
    let (Some(bins), Some(input)) = (&candidate.bins, candidate.release.inputs.first()) else {
        return Ok(vec![None; rows.len()]);
    };
    let mut found = Vec::with_capacity(rows.len());
    for part in parts(rows, |view| view.bytes(), CHUNK) {
        let (bins, asked, rows) = (
            Arc::clone(bins),
            read_tensors(vec![batch(input, part)]),
            part.len(),
        );
        let part = tokio::task::spawn_blocking(move || bins.of(&asked, rows)).await;
        found.extend(part.map_err(|_| storage("looking at the inputs was interrupted"))?);
    }
    Ok(found)
}

/// Outcomes of every candidate on a chunk of source records; records without any view are left out.
async fn outcomes(
    candidates: &[Candidate],
    question: &Question<'_>,
    chunk: &[Source],
) -> Result<Vec<RecordOutcome>, CommandError> {
    let mut views: Vec<Vec<Vec<Option<ViewOutcome>>>> = vec![Vec::new(); chunk.len()];
    for candidate in candidates.iter().filter(|_| question.needs_models()) {
        for rows in &mut views {
            rows.push(vec![None; question.slices.len()]);
        }
        let width = question.width(&candidate.release);
        for (slice, name) in question.slices.iter().enumerate() {
            let (records, rows) = question.rows(chunk, name)?;
            let outlying = outlying(candidate, &rows).await?;
            let scores = predict(candidate, &rows, width).await?;
            let answered = scores.chunks_exact(width.max(1)).zip(outlying);
            for (&at, (row, outlying)) in records.iter().zip(answered) {
                let Some(source) = chunk.get(at) else { continue };
                let view = question.view(&candidate.release, source, row);
                let fail = |e| CommandError::new("runner", format!("{}: {e}", candidate.name));
                let place = views
                    .get_mut(at)
                    .and_then(|models| models.last_mut()?.get_mut(slice));
                if let Some(place) = place {
                    *place = Some(ViewOutcome {
                        outlying,
                        ..view.map_err(fail)?
                    });
                }
            }
        }
    }
    let releases: Vec<&Release> = candidates.iter().map(|c| &c.release).collect();
    let judged = chunk.iter().zip(views);
    let outcomes = judged.map(|(source, views)| question.outcome(source, views, &releases));
    outcomes.filter_map(Result::transpose).collect()
}

/// Reads the dataset in chunks, off the async threads, and evaluates each.
async fn run(
    node: &NodeHandle,
    releases: &[RecordId],
    data: &Dataset,
    question: &Question<'_>,
    mut take: impl FnMut(Vec<RecordOutcome>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut candidates = Vec::with_capacity(releases.len());
    for id in releases {
        candidates.push(candidate(node, *id, data, question).await?);
    }
    let (send, mut receive) = tokio::sync::mpsc::channel(2);
    let (data, secret) = (data.clone(), node.home.dataset_secret);
    let reader = tokio::task::spawn_blocking(move || read(&data, &secret, &send));
    while let Some(chunk) = receive.recv().await {
        take(outcomes(&candidates, question, &chunk).await?)?;
    }
    match reader.await {
        Ok(result) => result,
        Err(_) => Err(storage("reading the dataset was interrupted")),
    }
}

/// How a dataset is read, as its note says; notes of old say nothing.
fn reading(data: &Dataset) -> Result<ReadOptions, CommandError> {
    if data.reading.is_empty() {
        return Ok(ReadOptions::default());
    }
    serde_json::from_str(&data.reading)
        .map_err(|e| storage(format!("the note on dataset '{}' cannot be read: {e}", data.name)))
}

fn read(
    data: &Dataset,
    secret: &[u8; 32],
    send: &tokio::sync::mpsc::Sender<Vec<Source>>,
) -> Result<(), CommandError> {
    let unreadable = |e: fieldmark_node_data::DataError| CommandError::new("invalid", e.to_string());
    let file = fieldmark_node_data::open_with(&data.path, &reading(data)?).map_err(unreadable)?;
    if file.summary().version != data.version {
        let message = format!(
            "{} changed since it was added as dataset '{}'; add it again with `fieldmark dataset add`",
            data.path, data.name
        );
        return Err(CommandError::new("conflict", message));
    }
    let mut chunk = Vec::with_capacity(CHUNK);
    for source in file.records_with(secret).map_err(unreadable)? {
        chunk.push(source.map_err(unreadable)?);
        if chunk.len() == CHUNK && send.blocking_send(std::mem::take(&mut chunk)).is_err() {
            return Ok(());
        }
    }
    if !chunk.is_empty() {
        // The other side left only when it already has an error of its own.
        let _ = send.blocking_send(chunk);
    }
    Ok(())
}

fn find(node: &NodeHandle, name: &str) -> Result<Dataset, CommandError> {
    let data = datasets::dataset(&node.store, name).map_err(storage)?;
    let missing = || {
        CommandError::new(
            "not-found",
            format!("no dataset '{name}'; `fieldmark dataset list` shows them"),
        )
    };
    data.ok_or_else(missing)
}

/// The `Evaluate` port: the values of the task's statistics, summed chunk by chunk.
pub(crate) async fn measure(
    node: &NodeHandle,
    batch: BatchId,
    (releases, dataset): (&[RecordId], &str),
    slices: &[String],
    (schema, extra): (&SchemaParams, &Extra),
) -> Result<Vec<u64>, CommandError> {
    let members = served::members(&node.store, batch)?;
    if !members.is_empty() {
        return served::measure(&node.store, &members, slices.len(), (schema, extra));
    }
    let data = find(node, dataset)?;
    let invalid = |e: &dyn std::fmt::Display| CommandError::new("invalid", e.to_string());
    let schema = Schema::new(schema).map_err(|e| invalid(&e))?;
    let question = Question { slices, extra };
    let (mut sums, mut records) = (vec![0; schema.len()], 0);
    let result = run(node, releases, &data, &question, |outcomes| {
        for outcome in outcomes {
            if records == usize::try_from(schema.cap()).unwrap_or(usize::MAX) {
                let message = format!(
                    "dataset '{}' has more than the {} records that one report may count",
                    data.name,
                    schema.cap()
                );
                return Err(CommandError::new("invalid", message));
            }
            schema
                .add(records, &outcome, &mut sums)
                .map_err(|e| invalid(&e))?;
            records += 1;
        }
        Ok(())
    })
    .await;
    node.runners.end(releases);
    result?;
    let measurement = Measurement::new(&schema, sums).map_err(|e| invalid(&e))?;
    Ok(measurement.values().to_vec())
}
