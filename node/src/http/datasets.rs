//! Private datasets this node was told of. The data stays where it is.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use fieldmark_node_core::io::{Command, Dataset, Reply, SourceBudget};
use fieldmark_node_core::{budgets, datasets};
use fieldmark_node_data::{ImageShape, Profile, ReadOptions};
use serde::{Deserialize, Serialize};

use super::extract::Body;
use super::failure::Failure;
use crate::handle::NodeHandle;

/// Known datasets.
#[derive(Debug, Serialize)]
pub(super) struct Datasets {
    datasets: Vec<Dataset>,
}

/// `GET datasets`
pub(super) async fn list(State(handle): State<NodeHandle>) -> Result<Json<Datasets>, Failure> {
    super::read(&handle, |store| {
        Ok(Json(Datasets {
            datasets: datasets::datasets(store)?,
        }))
    })
    .await
}

/// A dataset to take note of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    path: PathBuf,
    name: String,
    /// The data source; its name by default. A new version of a known source goes on with its budget.
    source: Option<String>,
    epsilon: Option<f64>,
    delta: Option<f64>,
    /// The Rényi order of a new source's budget; zCDP by default.
    order: Option<f64>,
    /// How it is read.
    #[serde(default)]
    reading: ReadOptions,
}

/// What was taken note of.
#[derive(Debug, Serialize)]
pub(super) struct Added {
    dataset: Dataset,
    /// Whether the source was known before, so that its budget goes on.
    known_source: bool,
    /// ε of the source's budget.
    epsilon: f64,
    /// δ of the source's budget.
    delta: f64,
    /// What is in its columns, and what is worth knowing.
    profile: Profile,
}

/// `POST datasets`
pub(super) async fn add(
    State(handle): State<NodeHandle>,
    Body(add): Body<Add>,
) -> Result<Json<Added>, Failure> {
    if !add.path.is_absolute() {
        return Err(Failure::invalid("'path' must be an absolute path"));
    }
    let budget = SourceBudget {
        epsilon: add.epsilon,
        delta: add.delta,
        order: add.order,
    };
    let secret = handle.home.dataset_secret;
    let (dataset, sketch, profile) = super::blocking(move || {
        let file = fieldmark_node_data::open_with(&add.path, &add.reading)?;
        let attributes = Some(file.attributes()?);
        let (summary, profile) = (file.summary().clone(), file.profile().clone());
        let mut reading = add.reading;
        if let Some([width, height, channels]) = summary.image {
            // What the first image decided is kept, so that a record's view depends on no other.
            let (width, height, channels) = (Some(width), Some(height), Some(channels));
            reading.image = ImageShape {
                width,
                height,
                channels,
            };
        }
        let reading = serde_json::to_string(&reading).map_err(|e| Failure::internal(e.to_string()))?;
        let dataset = Dataset {
            source: add.source.unwrap_or_else(|| add.name.clone()),
            name: add.name,
            version: summary.version,
            path: add.path.to_string_lossy().into_owned(),
            records: summary.records,
            rows: summary.rows,
            slices: summary.slices,
            features: summary.features,
            labels: summary.labels,
            slice_records: summary.slice_records,
            target: summary.target.name().to_owned(),
            groups: summary.groups,
            attributes,
            reading,
        };
        Ok((dataset, crate::sketch::of(file, &secret)?, profile))
    })
    .await?;
    let command = Command::AddDataset {
        dataset: dataset.clone(),
        sketch,
        budget,
    };
    let Reply::DatasetAdded { known_source } = handle.command(command).await? else {
        return Err(super::models::unexpected());
    };
    // The node may have found that the content belongs to another source it knows.
    let name = dataset.name.clone();
    let (dataset, filter) = super::read(&handle, move |store| {
        let dataset = datasets::dataset(store, &name)?.unwrap_or(dataset);
        let filter = budgets::filter(store, &dataset.source)?;
        Ok((dataset, filter))
    })
    .await?;
    let filter =
        filter.ok_or_else(|| Failure::internal(format!("source '{}' has no budget", dataset.source)))?;
    Ok(Json(Added {
        dataset,
        known_source,
        epsilon: filter.epsilon().value(),
        delta: filter.delta().value(),
        profile,
    }))
}
