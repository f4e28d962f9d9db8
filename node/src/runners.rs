//! The runners of a node: one isolated process for each release in use, started when it is first needed.
//!
//! They know the ledger's catalogue and the artifacts, and nothing else of the node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_ledger::catalogue;
use fieldmark_ledger_rocks::RocksReader;
use fieldmark_node_core::blobs;
use fieldmark_node_core::io::CommandError;
use fieldmark_package::{Source, Workshop};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::release::Release;
use fieldmark_supervisor::{Runner, RunnerSpec, RunnerStatus, SupervisorConfig};

/// One runner per release in use.
#[derive(Debug)]
pub struct Runners {
    workshop: Workshop,
    store: RocksReader,
    blobs: BlobStore,
    running: Mutex<BTreeMap<RecordId, Runner>>,
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

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RecordId, Runner>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn storage(error: impl std::fmt::Display) -> CommandError {
    CommandError::new("storage", error.to_string())
}
