//! Loading, swapping and unloading.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Entry, Loaded, PoisonError, Repository, State};
use tokio::task::JoinHandle;

use crate::{Failure, Servable};

/// Beyond the longest request, how long a version may take to drain: its last request's body may take a minute to
/// arrive.
const DRAIN_EXTRA: Duration = Duration::from_secs(65);
/// Changes of one model that may be under way or wait.
const WAITING_MAX: usize = 8;
/// Old versions that may be drained at a time before no others are loaded: each keeps its runners.
const DRAINING_MAX: usize = 16;
/// Pause after which another change is worth a try.
const CHANGES_PAUSE: Duration = Duration::from_secs(5);

impl Repository {
    /// Loads a version beside those that are there. One of the same version is replaced once this one can be
    /// asked, and drained.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be loaded; what was served before is served on.
    pub async fn load(&self, servable: Servable) -> Result<(), Failure> {
        let repository = self.clone();
        to_the_end(async move {
            let turn = repository.turn(&servable.name)?;
            let _turn = turn.lock().await;
            repository.put(servable).await
        })
        .await
    }

    /// Loads a version, and retires every other one of its model once this one can be asked.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be loaded; what was served before is served on.
    pub async fn swap(&self, servable: Servable) -> Result<(), Failure> {
        let repository = self.clone();
        to_the_end(async move {
            let turn = repository.turn(&servable.name)?;
            let _turn = turn.lock().await;
            let (name, version) = (servable.name.clone(), servable.version.clone());
            repository.put(servable).await?;
            // Its requests end in their own time.
            drop(repository.retire(&name, &[version]));
            Ok(())
        })
        .await
    }

    /// Loads what the catalog offers of a model now, and retires what it no longer offers.
    ///
    /// # Errors
    /// [`Failure`] if there is no catalog, the model is not in it, or a version cannot be loaded; what was
    /// served before is served on.
    pub async fn reload(&self, name: &str) -> Result<(), Failure> {
        let Some(catalog) = self.inner.catalog.clone() else {
            let message = "this server loads what it was started with, nothing by name";
            return Err(Failure::invalid(message));
        };
        let (repository, name) = (self.clone(), name.to_owned());
        to_the_end(async move {
            let turn = repository.turn(&name)?;
            let _turn = turn.lock().await;
            let offered = catalog.offer(&name).await?;
            let versions: Vec<String> = offered.iter().map(|servable| servable.version.clone()).collect();
            for servable in offered {
                repository.put(servable).await?;
            }
            // Their requests end in their own time.
            drop(repository.retire(&name, &versions));
            Ok(())
        })
        .await
    }

    /// Takes a model away. Requests that were begun are answered; returns once its runners are gone.
    ///
    /// # Errors
    /// [`Failure`] of kind not found.
    pub async fn unload(&self, name: &str) -> Result<(), Failure> {
        let turn = self.turn(name)?;
        let _turn = turn.lock().await;
        if !self.read().contains_key(name) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(Failure::not_found(format!("there is no model '{shown}' here")));
        }
        futures::future::join_all(self.retire(name, &[])).await;
        Ok(())
    }

    /// Refuses new requests, answers those that were begun, and ends every runner. Returns once they are gone.
    pub async fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        let mut loaded = Vec::new();
        for entry in self
            .write()
            .values_mut()
            .flat_map(|versions| versions.values_mut())
        {
            entry.state = State::Unloading;
            loaded.extend(entry.loaded.take());
        }
        let drains = loaded.iter().map(|loaded| loaded.drain(drain_time(loaded)));
        futures::future::join_all(drains).await;
        self.write().clear();
    }

    /// Refuses new requests from now on, while those begun are answered.
    pub fn refuse_new(&self) {
        self.inner.stopping.store(true, Ordering::Release);
    }

    /// The right to change one model, for which few may wait; none while too many old versions are being drained.
    fn turn(&self, name: &str) -> Result<Arc<tokio::sync::Mutex<()>>, Failure> {
        let mut changes = self.inner.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = changes.entry(name.to_owned()).or_default();
        let draining = self.inner.draining.load(Ordering::Acquire);
        if Arc::strong_count(turn) > WAITING_MAX || draining >= DRAINING_MAX {
            let message =
                "other changes of the model are under way, or old versions still answer; try again later";
            return Err(Failure::unavailable(message, CHANGES_PAUSE));
        }
        Ok(Arc::clone(turn))
    }

    /// Waits for the last requests of a version, then ends its runners.
    async fn drain(&self, loaded: Arc<Loaded>, within: Duration) {
        self.inner.draining.fetch_add(1, Ordering::AcqRel);
        loaded.drain(within).await;
        self.inner.draining.fetch_sub(1, Ordering::AcqRel);
    }

    /// Starts a version and puts it in its place.
    async fn put(&self, servable: Servable) -> Result<(), Failure> {
        let (name, version) = (servable.name.clone(), servable.version.clone());
        {
            let mut models = self.write();
            let entry = models.entry(name.clone()).or_default().entry(version.clone());
            let entry = entry.or_insert_with(|| Entry {
                loaded: None,
                state: State::Loading,
                reason: String::new(),
            });
            if entry.loaded.is_none() {
                entry.state = State::Loading;
            }
        }
        tracing::info!(model = name, version, "loading");
        let started = Box::pin(Loaded::start(servable)).await;
        match self.install(&name, &version, started)? {
            Installed::Alone => {}
            Installed::Instead(old) => {
                let (repository, within) = (self.clone(), drain_time(&old));
                tokio::spawn(async move { repository.drain(old, within).await });
            }
            Installed::TooLate(loaded) => {
                loaded.drain(Duration::ZERO).await;
                return Err(Failure::unavailable(
                    "the server is stopping",
                    super::STOPPING_PAUSE,
                ));
            }
        }
        tracing::info!(model = name, version, "ready");
        Ok(())
    }

    /// Puts a version that was started, or was not, into its place.
    fn install(
        &self,
        name: &str,
        version: &str,
        started: Result<Arc<Loaded>, Failure>,
    ) -> Result<Installed, Failure> {
        let mut models = self.write();
        let entry = models
            .get_mut(name)
            .and_then(|versions| versions.get_mut(version));
        match (entry, started) {
            (Some(entry), Ok(loaded)) => {
                entry.state = State::Ready;
                entry.reason.clear();
                Ok(entry
                    .loaded
                    .replace(loaded)
                    .map_or(Installed::Alone, Installed::Instead))
            }
            // The server stopped meanwhile.
            (None, Ok(loaded)) => Ok(Installed::TooLate(loaded)),
            (entry, Err(failure)) => {
                tracing::warn!(model = name, version, %failure, "not loaded");
                if let Some(entry) = entry {
                    if entry.loaded.is_none() {
                        entry.state = State::Unavailable;
                    }
                    entry.reason.clone_from(&failure.message);
                }
                Err(failure)
            }
        }
    }

    /// Takes away every version of a model but those named, and drains them in the background.
    fn retire(&self, name: &str, keep: &[String]) -> Vec<JoinHandle<()>> {
        let mut models = self.write();
        let mut drains = Vec::new();
        let Some(versions) = models.get_mut(name) else {
            return drains;
        };
        for (version, entry) in versions.iter_mut().filter(|(version, _)| !keep.contains(version)) {
            entry.state = State::Unloading;
            let (repository, name, version) = (self.clone(), name.to_owned(), version.clone());
            let loaded = entry.loaded.take();
            drains.push(tokio::spawn(async move {
                if let Some(loaded) = loaded {
                    let within = drain_time(&loaded);
                    repository.drain(loaded, within).await;
                }
                repository.forget(&name, &version);
            }));
        }
        drains
    }

    /// Drops a version that was retired, unless it was loaded again.
    fn forget(&self, name: &str, version: &str) {
        let mut models = self.write();
        let Some(versions) = models.get_mut(name) else {
            return;
        };
        if versions
            .get(version)
            .is_some_and(|entry| entry.state == State::Unloading)
        {
            versions.remove(version);
        }
        if versions.is_empty() {
            models.remove(name);
        }
        tracing::info!(model = name, version, "unloaded");
    }
}

/// A change goes on when whoever asked for it has left: what was begun must not stay halfway.
async fn to_the_end(
    change: impl Future<Output = Result<(), Failure>> + Send + 'static,
) -> Result<(), Failure> {
    let interrupted = |_| Failure::new(crate::Kind::Internal, "the change was interrupted");
    tokio::spawn(change).await.map_err(interrupted)?
}

/// How a version that was started came into its place.
enum Installed {
    /// There was none of that version.
    Alone,
    /// Another one was there, which is to be drained.
    Instead(Arc<Loaded>),
    /// There is no place for it any more.
    TooLate(Arc<Loaded>),
}

fn drain_time(loaded: &Loaded) -> Duration {
    loaded.servable.options.request_timeout + DRAIN_EXTRA
}
