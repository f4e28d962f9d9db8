//! `serve`: models behind the Open Inference Protocol, from package folders or from the data folder.

mod page;
mod traces;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fieldmark_serving::{
    Catalog, Face, PoolOptions, Repository, ServerOptions, Snapshot, Stop, grpc, rest, serve as listen,
};
use fieldmark_supervisor::SupervisorConfig;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::servables::{Models, Servables, curl};
use crate::args::serve::Serve;
use crate::args::{Global, IsolationArg};
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// Beyond the longest upload and request, how long a server that stops waits for its connections.
const DRAIN_EXTRA: Duration = Duration::from_secs(10);

/// Said once the server can be asked.
#[derive(Debug, Serialize)]
struct Ready {
    event: &'static str,
    http: String,
    grpc: Option<String>,
    models: Vec<Value>,
}

/// `serve`
pub(crate) fn serve(global: &Global, args: &Serve, out: &Output) -> anyhow::Result<()> {
    let _posting = log(args)?;
    let options = server_options(args)?;
    if args.runner.isolation == IsolationArg::Off {
        out.note("warning: isolation is off: models can do whatever you can do on this machine");
    }
    let spinner = out.spinner("reading the models");
    let mut workshop = super::packages::workshop(global, &args.runner, spinner.clone())?;
    limit(args, &mut workshop.config);
    let servables = Servables {
        global: global.clone(),
        workshop,
        pool: pool_options(args),
    };
    let models = Models::find(&args.models, servables)?;
    spinner.finish_and_clear();
    super::block_on(Box::pin(run(args, options, Arc::new(models), out)))??;
    out.note("the server has ended");
    Ok(())
}

/// Logs go to standard error as those of a node do; spans to the collector, if there is one.
fn log(args: &Serve) -> anyhow::Result<Option<traces::Posting>> {
    let stderr = super::node::stderr_layer();
    let Some(url) = &args.otlp else {
        tracing_subscriber::registry().with(stderr).init();
        return Ok(None);
    };
    let (layer, posting) = traces::to(url)?;
    let spans = Targets::new().with_target("fieldmark_serving", tracing::Level::INFO);
    tracing_subscriber::registry()
        .with(stderr)
        .with(layer.with_filter(spans))
        .init();
    Ok(Some(posting))
}

fn server_options(args: &Serve) -> anyhow::Result<ServerOptions> {
    let remote = [Some(args.http), (!args.no_grpc).then_some(args.grpc)]
        .into_iter()
        .flatten()
        .find(|address| !address.ip().is_loopback());
    if let Some(address) = remote
        && args.token.is_none()
        && !args.allow_anyone
    {
        let message = format!(
            "{address} can be reached by other machines; set a token with --token or FIELDMARK_SERVE_TOKEN, or let \
             everybody in with --allow-anyone"
        );
        return Err(Failure::usage(message).into());
    }
    if args.token.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::usage("the token is empty; give one of at least one character").into());
    }
    let body_bytes_max =
        usize::try_from(args.body_max.0).context("--body-max is more than this machine can address")?;
    let defaults = ServerOptions::default();
    Ok(ServerOptions {
        token: args.token.clone(),
        local_only: remote.is_none(),
        control: remote.is_none() || args.token.is_some(),
        page: Some(page::page()),
        body_bytes_max,
        bodies_bytes_max: defaults.bodies_bytes_max.max(body_bytes_max.saturating_mul(4)),
        body_timeout: Duration::from_secs(args.body_timeout),
        ..defaults
    })
}

fn pool_options(args: &Serve) -> PoolOptions {
    PoolOptions {
        replicas: args.replicas.into(),
        batch_max: usize::try_from(args.batch_max).unwrap_or(usize::MAX),
        batch_delay: Duration::from_millis(args.batch_delay_ms),
        queue_max: usize::try_from(args.queue_max).unwrap_or(usize::MAX),
        request_timeout: Duration::from_secs(args.timeout),
        warm_up: Vec::new(),
    }
}

/// How long a request may take, and how long it may be; what else runners may use, the workshop knows.
fn limit(args: &Serve, config: &mut SupervisorConfig) {
    config.limits.request_timeout = Duration::from_secs(args.timeout);
    // A request and what frames add to it.
    let frame = args.body_max.0.saturating_add(1 << 20);
    config.frame_bytes_max = u32::try_from(frame)
        .unwrap_or(u32::MAX)
        .max(config.frame_bytes_max);
}

async fn run(args: &Serve, options: ServerOptions, models: Arc<Models>, out: &Output) -> anyhow::Result<()> {
    let stop = Stop::default();
    let mut signals = Signals::listen()?;
    // Ports first: one that is taken is told before models are loaded.
    let http = bound("--http", args.http).await?;
    let grpc_listener = match args.no_grpc {
        true => None,
        false => Some(bound("--grpc", args.grpc).await?),
    };
    let repository = Repository::new(Some(models.clone()));
    let loaded = tokio::select! {
        loaded = load(&repository, &models, out) => loaded,
        () = signals.stopped() => Err(anyhow::anyhow!("told to stop before the models were loaded")),
    };
    if loaded.is_err() {
        repository.stop().await;
        return loaded;
    }
    let ready = Ready {
        event: "ready",
        http: http.local_addr()?.to_string(),
        grpc: grpc_listener
            .as_ref()
            .map(|grpc| grpc.local_addr())
            .transpose()?
            .map(|address| address.to_string()),
        models: described(&repository.snapshot()),
    };
    if let Some(path) = &args.ready_file {
        std::fs::write(path, serde_json::to_string(&ready)? + "\n")
            .with_context(|| format!("{}: cannot write it", path.display()))?;
    }
    out.event(&ready, || ready_text(&ready, &repository))?;
    let drain = Duration::from_secs(args.body_timeout + args.timeout) + DRAIN_EXTRA;
    let start = |listener: TcpListener, face: Face| {
        let (options, stop) = (options.clone(), stop.clone());
        tokio::spawn(async move { listen(listener, face, &options, stop, drain).await })
    };
    let mut faces = vec![start(http, rest::face(&repository, &options))];
    faces.extend(grpc_listener.map(|listener| start(listener, grpc::face(&repository, &options, &stop))));
    while let Asked::Reload = signals.next().await {
        tokio::select! {
            () = reload(&repository, &models, out) => {}
            () = signals.stopped() => break,
        }
    }
    out.note("stopping: requests that were begun are answered; told again, they are not");
    stop.stop();
    let ended = async {
        for face in faces {
            face.await?;
        }
        repository.stop().await;
        Ok(())
    };
    tokio::select! {
        ended = ended => ended,
        () = signals.stopped() => Err(anyhow::anyhow!("told to stop twice: requests were left unanswered")),
    }
}

/// Loads every model, or nothing.
async fn load(repository: &Repository, models: &Models, out: &Output) -> anyhow::Result<()> {
    for name in models.names() {
        let spinner = out.spinner(&format!("loading {name}"));
        let loaded = repository.reload(&name).await;
        spinner.finish_and_clear();
        loaded.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    }
    Ok(())
}

/// Loads what has changed of every model; one that fails is told and served on as it was.
async fn reload(repository: &Repository, models: &Models, out: &Output) {
    for name in models.names() {
        match repository.reload(&name).await {
            Ok(()) => out.note(&format!("{name}: loaded anew")),
            Err(failure) => out.note(&format!("{name}: served on as it was: {failure}")),
        }
    }
}

async fn bound(option: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("cannot listen on {address}; end what holds the port, or choose another with {option}")
    })
}

/// What the process was told.
enum Asked {
    Stop,
    Reload,
}

/// Signals of the operating system.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits to be told to stop.
    async fn stopped(&mut self) {
        while let Asked::Reload = self.next().await {}
    }
}

fn described(snapshot: &Snapshot) -> Vec<Value> {
    let model = |version: &fieldmark_serving::VersionSnapshot| {
        let layers = version
            .replicas
            .first()
            .map(|replica| replica.layers.clone())
            .unwrap_or_default();
        json!({
            "name": version.name, "version": version.version, "platform": version.platform,
            "isolated": version.isolated, "layers": layers, "replicas": version.replicas.len(),
            "batch_max": version.batch_max, "memory_bytes_max": version.memory_bytes_max,
        })
    };
    snapshot.versions.iter().map(model).collect()
}

fn ready_text(ready: &Ready, repository: &Repository) -> String {
    let row = |model: &Value| {
        let isolation = match text::list(model, "layers").len() {
            0 => "OFF: the model can do whatever you can do".to_owned(),
            layers => format!("{layers} layers"),
        };
        vec![
            text::string(model, "name"),
            text::string(model, "version"),
            text::string(model, "platform"),
            text::string(model, "replicas"),
            text::bytes(text::number(model, "memory_bytes_max")),
            isolation,
        ]
    };
    let rows: Vec<Vec<String>> = ready.models.iter().map(row).collect();
    let head = [
        "model",
        "version",
        "runtime",
        "runners",
        "memory each",
        "isolation",
    ];
    let mut lines = text::table(&head, &rows);
    lines.push_str("\n\n");
    let grpc = ready.grpc.clone().unwrap_or_else(|| "off".to_owned());
    lines.push_str(&text::fields(&[
        ("REST", format!("http://{}/v2", ready.http)),
        ("gRPC", grpc),
        ("metrics", format!("http://{}/metrics", ready.http)),
        ("page", format!("http://{}/", ready.http)),
    ]));
    let first = ready
        .models
        .first()
        .map(|model| text::string(model, "name"))
        .unwrap_or_default();
    if let Ok((_, servable)) = repository.describe(&first, None) {
        let line = curl(&format!("http://{}", ready.http), &servable);
        lines.push_str(&format!("\n\nTry it:\n  {line}"));
    }
    lines.push_str("\n\nCtrl-C or SIGTERM ends the server, SIGHUP loads packages that have changed.");
    lines
}
