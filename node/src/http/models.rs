//! Releases: search, details, publishing a package folder, fetching artifacts.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_ledger::catalogue::{self, ReleaseView};
use fieldmark_node_core::io::{Command, Reply};
use fieldmark_package::{self as package, Trial};
use fieldmark_protocol::card::Card;
use fieldmark_protocol::manifest::CARD_FILE;
use fieldmark_protocol::{PublicKey, RecordId};
use serde::{Deserialize, Serialize};

use super::extract::{Body, Path, Query};
use super::failure::Failure;
use crate::handle::NodeHandle;
use crate::home::Role;

/// Bytes of a group, the unit in which downloads make progress.
const GROUP_BYTES: u64 = 64 * 1024;

/// Bytes of a card that its header is looked for in.
const CARD_SHOWN_BYTES: u64 = 64 * 1024;

/// Search parameters.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) tag: String,
}

impl Search {
    pub(super) fn query(&self) -> catalogue::Query {
        let tag = Some(self.tag.clone()).filter(|tag| !tag.is_empty());
        catalogue::Query {
            text: self.text.clone(),
            tag,
            ..catalogue::Query::default()
        }
    }
}

/// A release in a list.
#[derive(Debug, Serialize)]
pub struct ReleaseRow {
    /// The Release record.
    pub id: RecordId,
    /// Name of the model.
    pub name: String,
    /// Version.
    pub version: String,
    /// Who signed it.
    pub author: PublicKey,
    /// Their published name.
    pub author_name: Option<String>,
    /// Licence.
    pub license: String,
    /// Tags.
    pub tags: Vec<String>,
    /// What it does.
    pub task: String,
    /// One paragraph.
    pub summary: String,
    /// Runtime it needs.
    pub runtime: String,
    /// Bytes of all artifacts.
    pub size_bytes: u64,
    /// Bytes of them that are here.
    pub held_bytes: u64,
    /// When it was signed.
    pub published_at_ms: u64,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
}

/// A release with its files and tensors.
#[derive(Debug, Serialize)]
pub struct ReleaseDetail {
    #[serde(flatten)]
    row: ReleaseRow,
    entry: String,
    artifacts: Vec<ArtifactRow>,
    inputs: Vec<TensorRow>,
    outputs: Vec<TensorRow>,
    labels: Vec<String>,
    withdrawn_reason: Option<String>,
    author_equivocated: bool,
    /// What the card's header says, if the card is here.
    card: Option<Card>,
}

#[derive(Debug, Serialize)]
struct ArtifactRow {
    path: String,
    size: u64,
    blake3: String,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct TensorRow {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

/// Releases that match.
#[derive(Debug, Serialize)]
pub struct Releases {
    /// Newest first.
    pub releases: Vec<ReleaseRow>,
}

/// `GET releases`
pub(super) async fn list(
    State(handle): State<NodeHandle>,
    Query(search): Query<Search>,
) -> Result<Json<Releases>, Failure> {
    let blobs = handle.blobs.clone();
    super::read(&handle, move |store| {
        let views = catalogue::releases(store, &search.query())?;
        Ok(Json(Releases {
            releases: views.iter().map(|view| row(view, &blobs)).collect(),
        }))
    })
    .await
}

/// `GET releases/{ref}`
pub(super) async fn show(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
) -> Result<Json<ReleaseDetail>, Failure> {
    let blobs = handle.blobs.clone();
    super::read(&handle, move |store| {
        let id = catalogue::resolve(store, &reference)?;
        let view = catalogue::release(store, &id)?;
        let view =
            view.ok_or_else(|| Failure::not_found(format!("no release {} is known here", id.short())))?;
        Ok(Json(detail(&view, &blobs)))
    })
    .await
}

/// What to publish.
#[derive(Debug, Deserialize)]
pub(super) struct Publish {
    package: PathBuf,
}

/// What was published.
#[derive(Debug, Serialize)]
pub struct Published {
    /// The Release record.
    pub release: RecordId,
    /// Name of the model.
    pub name: String,
    /// Version.
    pub version: String,
    /// Bytes of all artifacts.
    pub size_bytes: u64,
    /// Whether this node serves its blobs: has the role of a provider.
    pub served: bool,
    /// How the run on the sample went.
    pub trial: Trial,
}

/// `POST releases`
pub(super) async fn publish(
    State(handle): State<NodeHandle>,
    Body(publish): Body<Publish>,
) -> Result<Json<Published>, Failure> {
    if !publish.package.is_absolute() {
        return Err(Failure::invalid("'package' must be an absolute path"));
    }
    let workshop = handle.runners.workshop();
    let packed = Box::pin(package::import(&publish.package, workshop, &handle.blobs)).await?;
    let reply = handle.command(Command::Publish(packed.release.clone())).await?;
    let release = recorded(reply)?;
    let (name, version) = (packed.release.name.clone(), packed.release.version.clone());
    Ok(Json(Published {
        release,
        name,
        version,
        size_bytes: packed.release.size(),
        served: handle.home.config.roles.contains(&Role::Provider),
        trial: packed.trial,
    }))
}

/// What to fetch.
#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    release: String,
}

/// What was fetched.
#[derive(Debug, Serialize)]
pub struct Pulled {
    /// The Release record.
    pub release: RecordId,
    /// Bytes of all artifacts.
    pub size_bytes: u64,
}

/// `POST pulls`: answered when every artifact is here.
pub(super) async fn pull(
    State(handle): State<NodeHandle>,
    Body(pull): Body<Pull>,
) -> Result<Json<Pulled>, Failure> {
    let release = resolve(&handle, pull.release).await?;
    match handle.command(Command::Pull { release }).await? {
        Reply::Pulled { bytes } => Ok(Json(Pulled {
            release,
            size_bytes: bytes,
        })),
        _ => Err(unexpected()),
    }
}

/// The release that a reference names.
pub(super) async fn resolve(handle: &NodeHandle, reference: String) -> Result<RecordId, Failure> {
    super::read(handle, move |store| Ok(catalogue::resolve(store, &reference)?)).await
}

/// The first record of a reply.
pub(super) fn recorded(reply: Reply) -> Result<RecordId, Failure> {
    match reply {
        Reply::Recorded(ids) => ids.first().copied().ok_or_else(unexpected),
        _ => Err(unexpected()),
    }
}

pub(super) fn unexpected() -> Failure {
    Failure::internal("the node answered something else than was asked; please report this")
}

fn row(view: &ReleaseView, blobs: &BlobStore) -> ReleaseRow {
    let release = &view.release;
    ReleaseRow {
        id: view.id,
        name: release.name.clone(),
        version: release.version.clone(),
        author: view.author,
        author_name: view.author_name.clone(),
        license: release.license.clone(),
        tags: release.tags.clone(),
        task: release.task.clone(),
        summary: release.summary.clone(),
        runtime: release.runtime.clone(),
        size_bytes: release.size(),
        held_bytes: release
            .artifacts
            .iter()
            .map(|a| held(blobs, a.blake3.as_bytes(), a.size))
            .sum(),
        published_at_ms: view.created_at_ms,
        withdrawn: view.withdrawn.is_some(),
    }
}

/// Bytes of a blob that are here, to the group.
fn held(blobs: &BlobStore, hash: &[u8; 32], size: u64) -> u64 {
    let hash = BlobHash(*hash);
    if blobs.contains(&hash) {
        return size;
    }
    match blobs.missing_groups(&hash, size) {
        Ok(missing) => size.saturating_sub((missing.len() as u64).saturating_mul(GROUP_BYTES)),
        Err(_) => 0,
    }
}

fn card(view: &ReleaseView, blobs: &BlobStore) -> Option<Card> {
    let artifact = view.release.artifacts.iter().find(|a| a.path == CARD_FILE)?;
    let bytes = blobs
        .read(&BlobHash(*artifact.blake3.as_bytes()), CARD_SHOWN_BYTES)
        .ok()?;
    Card::parse(&String::from_utf8_lossy(&bytes)).ok()
}

fn detail(view: &ReleaseView, blobs: &BlobStore) -> ReleaseDetail {
    let release = &view.release;
    let tensors = |specs: &[fieldmark_protocol::release::TensorSpec]| {
        let row = |s: &fieldmark_protocol::release::TensorSpec| TensorRow {
            name: s.name.clone(),
            datatype: s.datatype.clone(),
            shape: s.shape.clone(),
        };
        specs.iter().map(row).collect()
    };
    let artifact = |a: &fieldmark_protocol::release::Artifact| ArtifactRow {
        path: a.path.clone(),
        size: a.size,
        blake3: a.blake3.to_string(),
        sha256: a.sha256.to_string(),
    };
    ReleaseDetail {
        row: row(view, blobs),
        entry: release.entry.clone(),
        artifacts: release.artifacts.iter().map(artifact).collect(),
        inputs: tensors(&release.inputs),
        outputs: tensors(&release.outputs),
        labels: release.labels.clone(),
        withdrawn_reason: view.withdrawn.as_ref().map(|w| w.reason.clone()),
        author_equivocated: view.author_equivocated,
        card: card(view, blobs),
    }
}
