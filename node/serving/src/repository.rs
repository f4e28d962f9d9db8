//! The models that are served: which versions are loaded, and how one takes another's place.
//!
//! A request takes a [`Lease`] on a loaded version before anything of it is read, and holds it until it is
//! answered. A version that is replaced or unloaded gets no new leases, is drained until its last lease is
//! given back, and only then ended: no request fails because of a swap.

mod lease;
mod loading;
mod snapshot;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::request::{Answer, Request, arrange, check_wanted, select};
use crate::{Catalog, Failure, Kind, Servable};
pub use lease::Lease;
pub(crate) use lease::Loaded;
pub use snapshot::{ReplicaSnapshot, Snapshot, VersionSnapshot};

/// When a server that is stopping is worth another try: by then another one may have taken its place.
const STOPPING_PAUSE: Duration = Duration::from_secs(5);

/// The models that are served. Clones are the same repository.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Option<Arc<dyn Catalog>>,
    models: RwLock<BTreeMap<String, BTreeMap<String, Entry>>>,
    /// One change of a model at a time.
    changes: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    stopping: AtomicBool,
    /// Old versions that still answer their last requests.
    draining: AtomicUsize,
}

/// A version, loaded or not.
struct Entry {
    loaded: Option<Arc<Loaded>>,
    state: State,
    reason: String,
}

/// What a version is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Its runners are being started.
    Loading,
    /// It can be asked.
    Ready,
    /// Its last requests are being answered.
    Unloading,
    /// It is not loaded.
    Unavailable,
}

impl State {
    /// The protocol's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Loading => "LOADING",
            Self::Ready => "READY",
            Self::Unloading => "UNLOADING",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The model.
    pub name: String,
    /// Its version; empty for a model that is known and not loaded.
    pub version: String,
    /// What it is doing.
    pub state: &'static str,
    /// Why, where there is something to say.
    pub reason: String,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("index", &self.index())
            .finish()
    }
}

impl Repository {
    /// A repository without models. Those that are loaded by name come from the catalog; without one, nothing
    /// can be loaded that way.
    #[must_use]
    pub fn new(catalog: Option<Arc<dyn Catalog>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                catalog,
                models: RwLock::default(),
                changes: Mutex::default(),
                stopping: AtomicBool::new(false),
                draining: AtomicUsize::new(0),
            }),
        }
    }

    /// The right to ask a model, in the version named or the newest.
    ///
    /// # Errors
    /// [`Failure`] of kind not found, or unavailable while it is loaded or the server stops.
    pub fn lease(&self, name: &str, version: Option<&str>) -> Result<Lease, Failure> {
        if self.is_stopping() {
            return Err(Failure::unavailable("the server is stopping", STOPPING_PAUSE));
        }
        let models = self.read();
        let loaded = find(&models, name, version.filter(|version| !version.is_empty()))?;
        Ok(Lease::new(loaded))
    }

    /// Runs one request. The lease is held until the answer is there.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn infer(&self, lease: &Lease, request: Request, arrived: Instant) -> Result<Answer, Failure> {
        let leaving = Leaving(Some(lease.loaded()));
        let outcome = self.run(lease, request, arrived).await;
        leaving.stayed();
        if let Err(failure) = &outcome {
            if failure.kind == Kind::TimedOut {
                lease.loaded().pool.prune();
            }
            lease.loaded().statistics.failed(failure.kind, arrived.elapsed());
        }
        outcome
    }

    async fn run(&self, lease: &Lease, request: Request, arrived: Instant) -> Result<Answer, Failure> {
        let loaded = lease.loaded();
        let servable = &loaded.servable;
        check_wanted(servable, &request.outputs)?;
        let inputs = arrange(servable, request.inputs)?;
        let seen = servable.observer.as_ref().map(|_| inputs.clone());
        let limit = time_left(servable, &request.parameters, arrived)?;
        let waiting = loaded.pool.submit(inputs)?;
        let ran = match tokio::time::timeout(limit, waiting).await {
            Ok(Ok(reply)) => reply?,
            Ok(Err(_)) => return Err(Failure::unavailable("the model was unloaded", STOPPING_PAUSE)),
            Err(_) => {
                let title = servable.title();
                let waited = limit.as_secs_f32();
                let message =
                    format!("release {title}: no answer after {waited} s; requests wait, or it hangs");
                return Err(Failure::new(Kind::TimedOut, message));
            }
        };
        let latency = arrived.elapsed();
        if let (Some(observer), Some(inputs)) = (&servable.observer, seen) {
            observer.answered(&inputs, &ran.outputs);
        }
        let (rows, timing, wanted) = (ran.rows, ran.timing, request.outputs);
        let outputs = if wanted.iter().any(|wanted| wanted.classification > 0) {
            // Scores are sorted where that holds up nobody.
            let servable = Arc::clone(servable);
            let selected = tokio::task::spawn_blocking(move || select(&servable, ran.outputs, &wanted)).await;
            selected.map_err(|_| Failure::new(Kind::Internal, "the work was interrupted"))??
        } else {
            select(servable, ran.outputs, &wanted)?
        };
        let answer = Answer {
            model: servable.name.clone(),
            version: servable.version.clone(),
            id: request.id,
            outputs,
        };
        loaded.statistics.answered(rows, latency, timing);
        Ok(answer)
    }

    /// Every model and version, the newest last.
    #[must_use]
    pub fn index(&self) -> Vec<Listed> {
        let mut listed = Vec::new();
        for (name, versions) in self.read().iter() {
            for (version, entry) in version::in_order(versions) {
                listed.push(Listed {
                    name: name.clone(),
                    version: version.clone(),
                    state: entry.state.word(),
                    reason: entry.reason.clone(),
                });
            }
        }
        let known = self.inner.catalog.as_ref().map(|catalog| catalog.names());
        for name in known.unwrap_or_default() {
            if !listed.iter().any(|line| line.name == name) {
                listed.push(Listed {
                    name,
                    version: String::new(),
                    state: State::Unavailable.word(),
                    reason: String::new(),
                });
            }
        }
        listed
    }

    /// Whether every model can be asked in every version that is loaded, and the server does not stop. A version that
    /// is being loaded beside another, or could not be, takes nothing away from that one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let can_be_asked = |versions: &BTreeMap<String, Entry>| {
            let mut loaded = versions
                .values()
                .filter_map(|entry| entry.loaded.as_ref())
                .peekable();
            let leaving = versions.values().all(|entry| entry.state == State::Unloading);
            leaving || (loaded.peek().is_some() && loaded.all(|loaded| loaded.pool.is_healthy()))
        };
        !self.is_stopping() && self.read().values().all(can_be_asked)
    }

    /// Whether one model can be asked.
    ///
    /// # Errors
    /// [`Failure`] of kind not found.
    pub fn is_model_ready(&self, name: &str, version: Option<&str>) -> Result<bool, Failure> {
        match self.lease(name, version) {
            Ok(lease) => Ok(lease.loaded().pool.is_healthy()),
            Err(failure) if failure.kind == Kind::NotFound => Err(failure),
            Err(_) => Ok(false),
        }
    }

    /// The versions of a model that can be asked, the newest last, and what one of them is.
    ///
    /// # Errors
    /// [`Failure`] of kind not found.
    pub fn describe(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<(Vec<String>, Arc<Servable>), Failure> {
        let models = self.read();
        let version = version.filter(|version| !version.is_empty());
        let servable = Arc::clone(&find(&models, name, version)?.servable);
        let versions = models.get(name).map(version::in_order).unwrap_or_default();
        let ready = versions.into_iter().filter(|(_, entry)| entry.loaded.is_some());
        Ok((ready.map(|(version, _)| version.clone()).collect(), servable))
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Acquire)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, BTreeMap<String, Entry>>> {
        self.inner.models.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, BTreeMap<String, Entry>>> {
        self.inner.models.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a client that leaves, for what answers it is dropped then, and takes its request out of the queue.
struct Leaving<'a>(Option<&'a Loaded>);

impl Leaving<'_> {
    fn stayed(mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(loaded) = self.0 {
            loaded.statistics.cancelled();
            loaded.pool.prune();
        }
    }
}

/// A loaded version of a model.
fn find(
    models: &BTreeMap<String, BTreeMap<String, Entry>>,
    name: &str,
    version: Option<&str>,
) -> Result<Arc<Loaded>, Failure> {
    let shown = |text: &str| {
        text.chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect::<String>()
    };
    let Some(versions) = models.get(name) else {
        return Err(Failure::not_found(format!(
            "there is no model '{}' here",
            shown(name)
        )));
    };
    let entry = match version {
        Some(version) => versions.get(version).ok_or_else(|| {
            let message = format!("model '{}' has no version '{}' here", shown(name), shown(version));
            Failure::not_found(message)
        })?,
        None => version::newest(versions).ok_or_else(|| {
            let message = format!("model '{}' is not loaded", shown(name));
            Failure::not_found(message)
        })?,
    };
    match (&entry.loaded, entry.state) {
        (Some(loaded), _) => Ok(Arc::clone(loaded)),
        (None, State::Loading) => {
            let message = format!("model '{}' is being loaded", shown(name));
            Err(Failure::unavailable(message, Duration::from_secs(1)))
        }
        (None, _) => Err(Failure::not_found(format!(
            "model '{}' is not loaded{}{}",
            shown(name),
            if entry.reason.is_empty() { "" } else { ": " },
            entry.reason
        ))),
    }
}

/// How long a request may still take: the model's limit, or what the request's parameter `timeout` says in
/// microseconds, if that is less. Sequences are refused: a model that is asked as if it kept a state would answer
/// something else than is meant.
fn time_left(
    servable: &Servable,
    parameters: &fieldmark_tensors::Parameters,
    arrived: Instant,
) -> Result<Duration, Failure> {
    if parameters.contains_key("sequence_id") {
        let message = "sequences are not offered: every request stands alone; leave sequence_id away";
        return Err(Failure::invalid(message));
    }
    let wrong = || Failure::invalid("the parameter timeout is no number of microseconds");
    let asked = match parameters.get("timeout") {
        None => None,
        Some(asked) => Some(asked.as_u64().ok_or_else(wrong)?),
    };
    let asked = asked.filter(|micros| *micros > 0).map(Duration::from_micros);
    let limit = servable.options.request_timeout;
    let limit = asked.map_or(limit, |asked| asked.min(limit));
    Ok(limit.saturating_sub(arrived.elapsed()))
}
