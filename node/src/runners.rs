//! The runners of a node: one isolated process for each release in use, started when it is first needed.
//!
//! They know the ledger's catalogue and the artifacts, and nothing else of the node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_fl::drift::{Finding, Reference};
use fieldmark_ledger::catalogue;
use fieldmark_ledger_rocks::RocksReader;
use fieldmark_node_core::blobs;
use fieldmark_node_core::io::CommandError;
use fieldmark_node_core::served::SERVED_AT_ONCE_MAX;
use fieldmark_package::{Source, Workshop};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::manifest::{MANIFEST_FILE, Manifest};
use fieldmark_protocol::release::Release;
use fieldmark_serving::Observer as _;
use fieldmark_supervisor::{Runner, RunnerSpec, RunnerStatus, SupervisorConfig, Tensor};
use serde::Serialize;

use crate::drift::{DriftWatch, Features, InputBins};

/// Largest manifest or reference that is read.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// One runner per release in use.
#[derive(Debug)]
pub struct Runners {
    workshop: Workshop,
    store: RocksReader,
    blobs: BlobStore,
    running: Mutex<BTreeMap<RecordId, Runner>>,
    /// Releases that were asked; nothing to watch for those that came without a reference. They outlive their
    /// runners, which come and go.
    asked: Mutex<BTreeMap<RecordId, Option<Arc<Watched>>>>,
}

/// What a release is asked and answers, against the reference that it came with.
#[derive(Debug)]
struct Watched {
    title: String,
    drift: DriftWatch,
    bins: Option<InputBins>,
}

/// What a release answered.
#[derive(Debug, Clone)]
pub struct Inferred {
    /// Its outputs.
    pub outputs: Vec<Tensor>,
    /// The bin of the release's reference that each row of the inputs falls into, as far as there are rows and bins.
    pub bins: Vec<Option<u16>>,
}

/// How a release has drifted in use.
#[derive(Debug, Clone, Serialize)]
pub struct Drifted {
    /// `name@version`.
    pub name: String,
    /// Its features.
    pub features: Vec<Finding>,
}

impl Runners {
    /// Runners of releases in this ledger, with artifacts in this store; none is started yet.
    #[must_use]
    pub fn new(workshop: Workshop, store: RocksReader, blobs: BlobStore) -> Self {
        Self {
            workshop,
            store,
            blobs,
            running: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// The limits and binaries in use.
    #[must_use]
    pub fn config(&self) -> &SupervisorConfig {
        &self.workshop.config
    }

    /// Where releases are made ready to run.
    #[must_use]
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// State of every runner.
    #[must_use]
    pub fn status(&self) -> Vec<RunnerStatus> {
        self.lock().values().map(Runner::status).collect()
    }

    /// How the releases that were asked since the node's start have drifted.
    #[must_use]
    pub fn drift(&self) -> Vec<Drifted> {
        let watched: Vec<Arc<Watched>> = self.asked().values().flatten().cloned().collect();
        let seen = |watched: Arc<Watched>| Drifted {
            name: watched.title.clone(),
            features: watched.drift.findings(),
        };
        watched.into_iter().map(seen).collect()
    }

    /// Runs a release on what its user asks, and watches that for drift.
    ///
    /// # Errors
    /// As [`Runners::runner`], or the runner's one clear error.
    pub async fn infer(&self, id: RecordId, inputs: Vec<Tensor>) -> Result<Inferred, CommandError> {
        let runner = self.runner(id).await?;
        let watched = self.watched(id)?;
        let asked = watched.as_ref().map(|_| inputs.clone());
        let outputs = runner.infer(inputs).await;
        let outputs = outputs.map_err(|e| CommandError::new("runner", e.to_string()))?;
        let mut bins = Vec::new();
        if let (Some(watched), Some(asked)) = (watched, asked) {
            let asked = read(asked);
            watched.drift.answered(&asked, &read(outputs.clone()));
            let rows = asked.iter().filter_map(|tensor| tensor.shape.first()).max();
            let rows = rows.and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(1);
            let found = |bins: &InputBins| bins.of(&asked, rows.min(SERVED_AT_ONCE_MAX));
            bins = watched.bins.as_ref().map(found).unwrap_or_default();
        }
        Ok(Inferred { outputs, bins })
    }

    /// Where the inputs of a release lie in its reference; nothing where it has none that can be read here.
    #[must_use]
    pub fn input_bins(&self, release: &Release) -> Option<InputBins> {
        InputBins::new(&self.reference(release)?, &features(release))
    }

    /// A release by its record.
    ///
    /// # Errors
    /// `not-found` when it is not known here.
    pub fn release(&self, id: RecordId) -> Result<Release, CommandError> {
        let view = catalogue::release(&self.store, &id).map_err(storage)?;
        let missing = || CommandError::new("not-found", format!("no release {} is known here", id.short()));
        Ok(view.ok_or_else(missing)?.release)
    }

    /// The runner of a release; starts it when there is none.
    ///
    /// # Errors
    /// `not-found` when the release or its artifacts are not here, `runner` when it does not start.
    pub async fn runner(&self, id: RecordId) -> Result<Runner, CommandError> {
        let held = self.lock().get(&id).cloned();
        if let Some(runner) = held {
            return Ok(runner);
        }
        let spec = Box::pin(self.spec(id)).await?;
        let runner = Runner::start(self.config(), spec).await;
        let runner = runner.map_err(|e| CommandError::new("runner", e.to_string()))?;
        Ok(self.lock().entry(id).or_insert(runner).clone())
    }

    fn watched(&self, id: RecordId) -> Result<Option<Arc<Watched>>, CommandError> {
        let known = self.asked().get(&id).cloned();
        if let Some(watched) = known {
            return Ok(watched);
        }
        let release = self.release(id)?;
        let features = features(&release);
        let watched = self.reference(&release).map(|reference| {
            Arc::new(Watched {
                title: format!("{}@{}", release.name, release.version),
                bins: InputBins::new(&reference, &features),
                drift: DriftWatch::new(reference, &features),
            })
        });
        Ok(self.asked().entry(id).or_insert(watched).clone())
    }

    /// The reference that a release came with; nothing where it has none that can be read here.
    #[must_use]
    pub fn reference(&self, release: &Release) -> Option<Reference> {
        let text = |path: &str| {
            let file = self.file_of(release, path)?;
            let small = std::fs::metadata(&file).is_ok_and(|found| found.len() <= TEXT_BYTES_MAX);
            small.then(|| std::fs::read_to_string(file).ok())?
        };
        let manifest = Manifest::parse(&text(MANIFEST_FILE)?).ok()?;
        Reference::parse(&text(&manifest.drift?.file)?).ok()
    }

    /// Where an artifact of a release is; nothing if it has none of this path or it is not here.
    #[must_use]
    pub fn file_of(&self, release: &Release, path: &str) -> Option<PathBuf> {
        let artifact = release.artifacts.iter().find(|artifact| artifact.path == path)?;
        self.blobs.path_of(&BlobHash(*artifact.blake3.as_bytes()))
    }

    /// Ends every runner.
    pub fn stop(&self) {
        self.lock().clear();
    }

    /// Ends the runners of these releases, which frees their memory.
    pub fn end(&self, ids: &[RecordId]) {
        let mut running = self.lock();
        for id in ids {
            running.remove(id);
        }
    }

    async fn spec(&self, id: RecordId) -> Result<RunnerSpec, CommandError> {
        let release = self.release(id)?;
        if !blobs::is_complete(&self.store, &id).map_err(storage)? {
            let name = format!("{}@{}", release.name, release.version);
            let message =
                format!("the artifacts of {name} are not here; fetch them with `fieldmark pull {name}`");
            return Err(CommandError::new("not-found", message));
        }
        let prepared = self.workshop.prepare(&release, Source::Store(&self.blobs)).await;
        prepared.map_err(|error| CommandError::new("runner", error.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordId, Runner>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<RecordId, Option<Arc<Watched>>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn features(release: &Release) -> Features {
    Features::new(&release.inputs, &release.outputs, release.labels.len())
}

/// Tensors as a watch reads them, without those whose parts do not agree.
pub(crate) fn read(tensors: Vec<Tensor>) -> Vec<fieldmark_serving::Tensor> {
    let read = tensors
        .into_iter()
        .filter_map(|tensor| fieldmark_tensors::Tensor::try_from(tensor).ok());
    read.map(Into::into).collect()
}

fn storage(error: impl std::fmt::Display) -> CommandError {
    CommandError::new("storage", error.to_string())
}
