//! Starts a node's shells around its machines, and ends them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fieldmark_blobs::{BlobEndpoint, BlobServer, BlobStore, StoreConfig};
use fieldmark_fl::seal;
use fieldmark_ledger_rocks::RocksStore;
use fieldmark_net::{Multiaddr, NetConfig};
use fieldmark_node_core::compute::{self, Job, JobResult};
use fieldmark_node_core::context::{Keys, Policy};
use fieldmark_node_core::io::{Input, Output};
use fieldmark_node_core::{NodeCore, NodeOptions};
use fieldmark_package::{Progress, Workshop};
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::machine::StoreError;
use fieldmark_supervisor::{Isolation, SupervisorConfig};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::evaluate;
use crate::handle::{NodeHandle, Parts, Ready};
use crate::home::{Home, Role};
use crate::runners::Runners;
use crate::webhook::Authorities;
use crate::{core_thread, downloads, http, network, trust, webhook};

/// Evaluations and downloads worked on at a time; others wait.
const PORTS_MAX: usize = 4;
/// Time that requests under way are given when the node ends.
const DRAIN: Duration = Duration::from_millis(200);

/// What a start of the node changes of its config file.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// libp2p addresses to listen on; the config's when empty.
    pub listen: Vec<String>,
    /// Peers to connect to first; added to the config's.
    pub bootstrap: Vec<String>,
    /// Address of the private API.
    pub api: Option<SocketAddr>,
    /// Address of the public pages.
    pub pages: Option<SocketAddr>,
    /// Address of the blob plane.
    pub blobs: Option<SocketAddr>,
    /// Find peers on the local network.
    pub mdns: bool,
    /// PEM file of further certificate authorities that webhooks are checked against; the config's when absent.
    pub webhook_ca: Option<PathBuf>,
    /// Run models without isolation. Only for machines whose kernel lacks a layer, and said everywhere.
    pub isolation_off: bool,
}

/// Why a node does not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] fieldmark_ledger_rocks::OpenError),
    /// The store failed while the node ran: what was acknowledged is safe, the node stopped.
    #[error("the node stopped because its store failed")]
    Store(#[from] StoreError),
    /// The blob store cannot be opened.
    #[error(transparent)]
    Blobs(#[from] fieldmark_blobs::BlobError),
    /// The blob plane does not start.
    #[error(transparent)]
    Plane(#[from] fieldmark_blobs::PlaneError),
    /// The network does not start.
    #[error(transparent)]
    Net(#[from] fieldmark_net::NetError),
    /// A libp2p address does not parse.
    #[error("'{0}' is not a libp2p address such as /ip4/127.0.0.1/udp/4001/quic-v1")]
    Multiaddr(String),
    /// A port cannot be bound.
    #[error("cannot listen on {address} for {what}: {source}; choose another port, or end whatever holds it")]
    Bind {
        /// What for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The runner's binaries are not there.
    #[error(transparent)]
    Runner(#[from] fieldmark_supervisor::ConfigError),
    /// The operating system gave no randomness, thread or signal handler.
    #[error("the operating system cannot {step}: {detail}")]
    System {
        /// What was asked of it.
        step: &'static str,
        /// What it said.
        detail: String,
    },
    /// The data folder cannot be read or written.
    #[error(transparent)]
    Home(#[from] crate::home::HomeError),
    /// The file of certificate authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] webhook::AuthoritiesError),
}

fn system(step: &'static str) -> impl Fn(std::io::Error) -> NodeError {
    move |e| NodeError::System {
        step,
        detail: e.to_string(),
    }
}

/// Runs a node until it is asked to end; `on_ready` is told where it is reached.
///
/// # Errors
/// [`NodeError`] when it does not start or its store fails.
pub async fn run(home: Home, options: RunOptions, on_ready: impl FnOnce(&Ready)) -> Result<(), NodeError> {
    let home = Arc::new(home);
    let store = RocksStore::open(&home.ledger_dir())?;
    let (inputs, input_queue) = mpsc::channel(core_thread::INPUTS_MAX);
    let (outputs, output_queue) = mpsc::channel(core_thread::OUTPUTS_MAX);
    let handle = handle(&home, &options, &store, inputs.clone())?;
    let bound = Bound::new(&handle, &options).await?;
    let (net, mut net_events) = fieldmark_net::start(net_config(&home, &options)?).await?;
    let listening = listening(&mut net_events, &handle, listen_addresses(&home, &options).len()).await;

    let core = NodeCore::new(core_options(&home)?);
    let (ended, core_end) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("fieldmark-core".into());
    let join = thread
        .spawn(move || {
            // Whoever waits for the end hears of it unless it is gone itself.
            let _ = ended.send(core_thread::run(core, store, input_queue, &outputs));
        })
        .map_err(system("start a thread"))?;
    let ready = bound.ready(&home, listening.clone());
    let first = Input::Listening {
        multiaddrs: listening.clone(),
        blobs: Some(ready.blobs.to_string()),
    };
    // The queue is empty and its reader alive: this cannot fail, and if it did the node ends below.
    let _ = inputs.send(first).await;
    *handle.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready.clone());
    home.write_api_address(ready.api)?;

    let mut tasks = JoinSet::new();
    let pump = (
        net_events,
        inputs.clone(),
        Arc::clone(&handle.counters),
        ready.blobs.to_string(),
    );
    tasks.spawn(network::pump(pump.0, pump.1, pump.2, pump.3, listening));
    let endpoint = bound.endpoint.clone();
    tasks.spawn(dispatch(
        handle.clone(),
        output_queue,
        net.commands.clone(),
        endpoint,
        inputs.clone(),
    ));
    tasks.spawn(trust::follow(handle.clone()));
    let endpoint = bound.serve(&mut tasks, &handle);
    on_ready(&ready);
    let result = until_end(&handle, core_end).await;

    handle.shutdown();
    handle.drop_waiting();
    handle.runners.stop();
    home.remove_api_address()?;
    tokio::time::sleep(DRAIN).await;
    tasks.shutdown().await;
    endpoint.close().await;
    // Nobody takes outputs any more, so one more input ends the thread, which holds the ledger's lock.
    let _ = inputs.try_send(Input::Timer);
    let joined = tokio::task::spawn_blocking(move || join.join()).await;
    drop(joined);
    result
}

/// Opens what stands beside the ledger, and puts the handle together.
fn handle(
    home: &Arc<Home>,
    options: &RunOptions,
    store: &RocksStore,
    inputs: mpsc::Sender<Input>,
) -> Result<NodeHandle, NodeError> {
    let config = StoreConfig {
        dir: home.blobs_dir(),
        quota_bytes: home.config.blob_bytes_max,
    };
    let mut supervisor = SupervisorConfig::beside_current_exe()?;
    if options.isolation_off {
        supervisor.isolation = Isolation::Off;
    }
    let own = home.config.webhook_ca.as_ref().map(|path| home.path().join(path));
    let authorities = match options.webhook_ca.clone().or(own) {
        Some(path) => Authorities::with_file(&path)?,
        None => Authorities::default(),
    };
    let blobs = BlobStore::open_with(config)?;
    let runners = Runners::new(workshop(home, supervisor), store.reader(), blobs.clone());
    Ok(NodeHandle::new(Parts {
        authorities: Arc::new(authorities),
        store: store.reader(),
        blobs,
        home: Arc::clone(home),
        runners: Arc::new(runners),
        inputs,
    }))
}

/// Where releases are made ready to run; what is being built is told to whoever reads the log.
fn workshop(home: &Home, supervisor: SupervisorConfig) -> Workshop {
    let mut workshop = Workshop::new(home.path(), supervisor);
    if let Some(python) = &home.config.python {
        workshop.python.clone_from(python);
    }
    workshop.allowed.clone_from(&home.config.limits);
    workshop.progress = Progress::new(|line| tracing::info!(line, "building a python environment"));
    workshop
}

/// The sockets that are not libp2p's, bound before anything is announced.
struct Bound {
    endpoint: BlobEndpoint,
    blobs: SocketAddr,
    api: (TcpListener, SocketAddr),
    pages: Option<(TcpListener, SocketAddr)>,
}

impl Bound {
    async fn new(handle: &NodeHandle, options: &RunOptions) -> Result<Self, NodeError> {
        let config = &handle.home.config;
        // Published artifacts are public: whoever proves a peer id may fetch them.
        let access: fieldmark_blobs::Access = Arc::new(|_, _| true);
        let key = handle.home.node_key.seed();
        let address = options.blobs.unwrap_or(config.blobs);
        let (endpoint, blobs) = BlobServer::start(handle.blobs.clone(), &key, address, access)?;
        let api = bind("the API", options.api.unwrap_or(config.api)).await?;
        let pages = match options.pages.or(config.pages) {
            Some(address) => Some(bind("the pages", address).await?),
            None => None,
        };
        Ok(Self {
            endpoint,
            blobs,
            api,
            pages,
        })
    }

    fn ready(&self, home: &Home, multiaddrs: Vec<String>) -> Ready {
        Ready {
            event: "ready",
            identity: home.identity.public(),
            node_key: home.node_key.public(),
            api: self.api.1,
            pages: self.pages.as_ref().map(|(_, address)| *address),
            blobs: self.blobs,
            multiaddrs,
        }
    }

    fn serve(self, tasks: &mut JoinSet<()>, handle: &NodeHandle) -> BlobEndpoint {
        tasks.spawn(http::serve(self.api.0, http::api(handle.clone()), handle.clone()));
        if let Some((listener, _)) = self.pages {
            tasks.spawn(http::serve(listener, http::pages(handle.clone()), handle.clone()));
        }
        self.endpoint
    }
}

/// Waits for a signal, a request to end, or the store's failure.
async fn until_end(
    handle: &NodeHandle,
    core_end: tokio::sync::oneshot::Receiver<Result<(), StoreError>>,
) -> Result<(), NodeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(system("handle SIGTERM"))?;
    tokio::select! {
        () = handle.stop.notified() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = core_end => match ended {
            Ok(result) => Ok(result?),
            Err(_) => Err(NodeError::System { step: "run the machines", detail: "their thread ended".into() }),
        },
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let fail = |source| NodeError::Bind {
        what,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

fn listen_addresses<'a>(home: &'a Home, options: &'a RunOptions) -> &'a [String] {
    if options.listen.is_empty() {
        &home.config.listen
    } else {
        &options.listen
    }
}

fn net_config(home: &Home, options: &RunOptions) -> Result<NetConfig, NodeError> {
    let parse = |text: &String| {
        text.parse::<Multiaddr>()
            .map_err(|_| NodeError::Multiaddr(text.clone()))
    };
    let mut config = NetConfig::new(*home.node_key.seed(), home.config.network.clone());
    config.listen = listen_addresses(home, options)
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()?;
    let bootstrap = home.config.bootstrap.iter().chain(&options.bootstrap);
    config.bootstrap = bootstrap.map(parse).collect::<Result<_, _>>()?;
    config.mdns = options.mdns || home.config.mdns;
    Ok(config)
}

/// The addresses the net listens on, once each that was asked for is up. Other events of these first
/// moments are only connections, which the machines must hear of.
async fn listening(
    events: &mut mpsc::Receiver<fieldmark_net::Event>,
    handle: &NodeHandle,
    count: usize,
) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match tokio::time::timeout(Duration::from_secs(5), events.recv()).await {
            Ok(Some(fieldmark_net::Event::Listening { addr })) => found.push(addr.to_string()),
            Ok(Some(event)) => network::early(event, handle).await,
            _ => break,
        }
    }
    found
}

fn core_options(home: &Home) -> Result<NodeOptions, NodeError> {
    let (hpke, hpke_public) = seal::keypair(&home.hpke_seed);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| NodeError::System {
        step: "give randomness",
        detail: e.to_string(),
    })?;
    let bit = |role: &Role| match role {
        Role::Aggregator => Roles::AGGREGATOR,
        Role::Contributor => Roles::CONTRIBUTOR,
        Role::Provider => Roles::PROVIDER,
    };
    Ok(NodeOptions {
        keys: Keys {
            identity: home.identity.clone(),
            node: home.node_key.clone(),
            hpke,
            hpke_public,
        },
        name: home.config.name.clone(),
        roles: Roles(home.config.roles.iter().map(bit).fold(0, |a, b| a | b)),
        policy: Policy {
            trust: home.trust.clone(),
            epsilon_max: home.config.epsilon_max,
            delta_max: home.config.delta_max,
            records_max: home.config.records_max,
            keeping: home.config.serving.keeping(),
        },
        seed,
    })
}

/// What is worked on at a time. Pure jobs have a slot for each core: more would only hold more memory, and
/// none waits for a model or a download.
struct Slots {
    ports: Semaphore,
    pure: Semaphore,
}

impl Slots {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            ports: Semaphore::new(PORTS_MAX),
            pure: Semaphore::new(cores),
        }
    }
}

/// Does what the machines ask for, until they end.
async fn dispatch(
    handle: NodeHandle,
    mut outputs: mpsc::Receiver<Output>,
    net: mpsc::Sender<fieldmark_net::Command>,
    endpoint: BlobEndpoint,
    inputs: mpsc::Sender<Input>,
) {
    let slots = Arc::new(Slots::new());
    let mut jobs = JoinSet::new();
    let mut alarm: Option<tokio::task::AbortHandle> = None;
    while let Some(output) = outputs.recv().await {
        while jobs.try_join_next().is_some() {}
        let output = match network::command(output, &handle.counters) {
            Ok(Some(command)) => {
                if net.send(command).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => continue,
            Err(output) => output,
        };
        match output {
            Output::Timer { at_ms } => {
                if let Some(before) = alarm.take() {
                    before.abort();
                }
                let wait = Duration::from_millis(at_ms.saturating_sub(core_thread::now_ms()));
                let inputs = inputs.clone();
                alarm = Some(jobs.spawn(async move {
                    tokio::time::sleep(wait).await;
                    // A node that ends does not need its timer.
                    let _ = inputs.send(Input::Timer).await;
                }));
            }
            Output::Compute { job, work } => {
                let (handle, endpoint, inputs) = (handle.clone(), endpoint.clone(), inputs.clone());
                let slots = Arc::clone(&slots);
                jobs.spawn(async move {
                    let result = work_on(*work, &handle, &endpoint, &slots).await;
                    if let Some(result) = result {
                        // A node that ends does its jobs again after its next start.
                        let _ = inputs.send(Input::Done { job, result }).await;
                    }
                });
            }
            Output::Reply { id, result } => handle.reply(id, result),
            Output::Event(event) => {
                // Nobody has to watch.
                let _ = handle.events.send(event);
            }
            _ => {}
        }
    }
}

/// Runs one job; `None` only when the node ends meanwhile.
async fn work_on(job: Job, handle: &NodeHandle, endpoint: &BlobEndpoint, slots: &Slots) -> Option<JobResult> {
    // A receiver that is slow to answer holds up no evaluation.
    if let Job::Post(post) = job {
        return Some(JobResult::Posted(
            webhook::post(post, Arc::clone(&handle.authorities)).await,
        ));
    }
    let port = matches!(job, Job::Evaluate { .. } | Job::Fetch { .. });
    let of = if port { &slots.ports } else { &slots.pure };
    let _slot = of.acquire().await.ok()?;
    Some(match job {
        Job::Evaluate {
            batch,
            dataset,
            releases,
            slices,
            schema,
            extra,
        } => {
            let asked = (&schema, &extra);
            let result = evaluate::measure(handle, batch, (&releases, &dataset), &slices, asked).await;
            JobResult::Evaluated(result.map_err(|e| e.message))
        }
        Job::Fetch {
            blob,
            size,
            provider,
            address,
        } => JobResult::Fetched(
            downloads::fetch(endpoint, &handle.counters, blob, size, provider, &address).await,
        ),
        pure => tokio::task::spawn_blocking(move || compute::run(&pure))
            .await
            .ok()??,
    })
}
