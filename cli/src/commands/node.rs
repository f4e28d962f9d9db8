//! `node run`, `status` and `events`.

use std::io::IsTerminal as _;

use fieldmark_node::home::{Endpoint, Home};
use fieldmark_node::{Ready, RunOptions};
use fieldmark_supervisor::Isolation;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::args::{Global, Node, NodeAction, Run};
use crate::client::{Client, data_dir};
use crate::output::Output;
use crate::text;

/// What is logged by default: a node that starts alone is no reason for libp2p to warn.
const LOGGED: &str = "warn,libp2p_kad=error,libp2p_gossipsub=error";

/// `node`
pub(crate) fn node(global: &Global, args: &Node, out: &Output) -> anyhow::Result<()> {
    let NodeAction::Run(args) = &args.action;
    log_to_stderr();
    let home = Home::open(&data_dir(global)?)?;
    let isolation = super::isolation::of(&home, args.isolation)?;
    if isolation == Isolation::Off {
        out.note("warning: isolation is off: models can do whatever you can do on this machine");
    }
    let options = RunOptions {
        listen: args.listen.clone(),
        bootstrap: args.bootstrap.clone(),
        api: loopback(args)?,
        pages: args.pages,
        blobs: args.blobs,
        mdns: args.mdns,
        webhook_ca: args.webhook_ca.clone(),
        isolation_off: isolation == Isolation::Off,
    };
    let endpoint_of = home.clone();
    let on_ready = |ready: &Ready| {
        // A reader of the output that is gone does not stop the node.
        let _ = out.event(ready, || ready_text(ready));
        if out.is_json() {
            let endpoint = Endpoint {
                address: ready.api,
                token: endpoint_of.token().to_owned(),
            };
            follow(Client::new(endpoint, endpoint_of.path()), out.clone());
        }
    };
    super::block_on(Box::pin(fieldmark_node::run(home, options, on_ready)))??;
    out.note("the node has ended");
    Ok(())
}

/// Warnings go to standard error; `FIELDMARK_LOG` chooses others, such as `info` or `fieldmark=debug`.
fn log_to_stderr() {
    tracing_subscriber::registry().with(stderr_layer()).init();
}

/// What writes the log.
pub(super) fn stderr_layer<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_from_env("FIELDMARK_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt::layer()
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .with_filter(filter)
}

/// The API's address, which must not leave this machine.
fn loopback(args: &Run) -> anyhow::Result<Option<std::net::SocketAddr>> {
    if let Some(api) = args.api
        && !api.ip().is_loopback()
    {
        let message = format!(
            "--api {api} is not on loopback; the private API is for this machine, use --pages for others"
        );
        return Err(crate::failure::Failure::usage(message).into());
    }
    Ok(args.api)
}

/// Prints the node's events beside it, until it ends.
fn follow(client: Client, out: Output) {
    std::thread::spawn(move || {
        // Events end with the node; one that is lost was for watchers only.
        let _ = client.events(|event| {
            out.event(&event, String::new)?;
            Ok(true)
        });
    });
}

fn ready_text(ready: &Ready) -> String {
    let pages = ready
        .pages
        .map_or_else(|| "off".to_owned(), |address| format!("http://{address}/"));
    text::fields(&[
        ("identity", ready.identity.to_string()),
        ("node key", ready.node_key.to_string()),
        ("API", format!("http://{}", ready.api)),
        ("pages", pages),
        ("blobs", ready.blobs.to_string()),
        ("listening", ready.multiaddrs.join(" ")),
    ])
}

/// `status`
pub(crate) fn status(global: &Global, out: &Output) -> anyhow::Result<()> {
    let status = Client::connect(global)?.get("status")?;
    out.result(&status, || status_text(&status))
}

fn status_text(status: &Value) -> String {
    let field = |name: &str| text::string(status, name);
    let size = |name: &str| text::bytes(text::number(status, name));
    let count = |name: &str| text::list(status, name).len().to_string();
    let mut lines = text::fields(&[
        ("name", field("name")),
        ("identity", field("identity")),
        ("node key", field("node_key")),
        ("API", field("api")),
        ("pages", field("pages")),
        ("blobs", field("blobs")),
        ("listening", text::joined(status, "multiaddrs")),
        ("peers", count("peers")),
        ("logs", field("logs")),
        ("records", field("records")),
        ("forks", field("forks")),
        ("blobs stored", size("blob_bytes_stored")),
        ("blobs fetched", size("blob_bytes_fetched")),
        ("messages sent", size("message_bytes_sent")),
        ("memory", size("memory_bytes")),
    ]);
    let runners = text::list(status, "runners");
    if !runners.is_empty() {
        let row = |r: &Value| {
            vec![
                text::string(r, "name"),
                text::string(r, "state"),
                text::bytes(text::number(r, "memory_bytes")),
                text::string(r, "restarts"),
                text::joined(r, "layers"),
            ]
        };
        let rows: Vec<Vec<String>> = runners.iter().map(row).collect();
        lines.push_str("\n\n");
        lines.push_str(&text::table(
            &["runner", "state", "memory", "restarts", "isolation"],
            &rows,
        ));
    }
    lines
}

/// `events`
pub(crate) fn events(global: &Global, out: &Output) -> anyhow::Result<()> {
    Client::connect(global)?.events(|event| {
        out.event(&event, || event_text(&event))?;
        Ok(true)
    })
}

fn event_text(event: &Value) -> String {
    let mut parts = vec![text::string(event, "event")];
    if let Some(object) = event.as_object() {
        let rest = object.keys().filter(|name| *name != "event");
        parts.extend(rest.map(|name| format!("{name}={}", text::string(event, name))));
    }
    parts.join(" ")
}
