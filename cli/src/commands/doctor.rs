//! `doctor`: checks this machine and the data folder, and says how to fix what is wrong. Fails when
//! something required is missing.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use fieldmark_node::home::{Endpoint, Home, HomeError};
use fieldmark_supervisor::{LayerProbe, SupervisorConfig, probe_isolation};
use serde::Serialize;

use crate::args::Global;
use crate::client::{Client, data_dir};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// Free bytes below which a node cannot work.
const DISK_NEEDED: u64 = 256 << 20;
/// Free bytes below which models may not fit.
const DISK_WISHED: u64 = 5 << 30;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    required: bool,
    detail: String,
    fix: Option<String>,
}

impl Check {
    fn good(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: true,
            required: true,
            detail: detail.into(),
            fix: None,
        }
    }

    fn bad(name: &str, detail: impl Into<String>, fix: Option<&str>) -> Self {
        let fix = fix.map(str::to_owned);
        Self {
            name: name.to_owned(),
            ok: false,
            required: true,
            detail: detail.into(),
            fix,
        }
    }

    fn optional(self) -> Self {
        Self {
            required: false,
            ..self
        }
    }
}

/// `doctor`
pub(crate) fn doctor(global: &Global, out: &Output) -> anyhow::Result<()> {
    let dir = data_dir(global)?;
    let mut checks = Vec::new();
    let home = data_folder(&dir, &mut checks);
    let running = running_node(&dir, &mut checks);
    if let Some(home) = home.as_ref().filter(|_| !running) {
        ports(home, &mut checks);
    }
    disk(&dir, &mut checks);
    isolation(&mut checks)?;
    checks.extend(home.as_ref().map(isolation_policy));
    let failed = checks.iter().filter(|check| check.required && !check.ok).count();
    out.result(
        &serde_json::json!({ "ok": failed == 0, "checks": checks }),
        || checks_text(&checks),
    )?;
    if failed == 0 {
        return Ok(());
    }
    let message = format!("{failed} of {} checks failed; each says what to do", checks.len());
    Err(Failure::new(Exit::Failed, "unfit", message).into())
}

fn checks_text(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let mark = match (check.ok, check.required) {
            (true, _) => "ok  ",
            (false, true) => "FAIL",
            (false, false) => "warn",
        };
        let fix = check
            .fix
            .as_ref()
            .map(|fix| format!("\n      fix: {}", text::plain(fix)))
            .unwrap_or_default();
        format!("{mark}  {}: {}{fix}", check.name, text::plain(&check.detail))
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn data_folder(dir: &Path, checks: &mut Vec<Check>) -> Option<Home> {
    match Home::open(dir) {
        Ok(home) => {
            let detail = format!(
                "{}: format {}, keys readable by you alone",
                dir.display(),
                home.config.format
            );
            checks.push(Check::good("data folder", detail));
            if home.trust.aggregators.is_empty() {
                let fix = "name aggregators you trust with `fieldmark trust add IDENTITY`";
                let detail = "it names nobody, so this node contributes to no challenge";
                checks.push(Check::bad("trust policy", detail, Some(fix)).optional());
            }
            Some(home)
        }
        Err(error) => {
            let fix = match &error {
                HomeError::Missing { .. } => Some("make one with `fieldmark init`"),
                _ => None,
            };
            checks.push(Check::bad("data folder", error.to_string(), fix));
            None
        }
    }
}

/// Whether a node answers; a file left by one that was killed is told.
fn running_node(dir: &Path, checks: &mut Vec<Check>) -> bool {
    let Ok(endpoint) = Endpoint::find(dir) else {
        return false;
    };
    match Client::new(endpoint.clone(), dir).get("status") {
        Ok(status) => {
            let peers = text::list(&status, "peers").len();
            checks.push(Check::good(
                "node",
                format!("runs, API at {}, {peers} peers", endpoint.address),
            ));
            true
        }
        Err(_) => {
            let detail = format!("left its address {} and does not answer", endpoint.address);
            checks.push(
                Check::bad("node", detail, Some("start it again with `fieldmark node run`")).optional(),
            );
            false
        }
    }
}

/// Whether the ports in the configuration are free. Port 0 is any, and always is.
fn ports(home: &Home, checks: &mut Vec<Check>) {
    let config = &home.config;
    let tcp = |address: SocketAddr| TcpListener::bind(address).map(drop);
    let udp = |address: SocketAddr| UdpSocket::bind(address).map(drop);
    let mut port = |name: &str, address: SocketAddr, bound: std::io::Result<()>| match bound {
        Ok(()) => checks.push(Check::good(name, format!("{address} is free"))),
        Err(error) => {
            let fix = "end what holds the port, or choose another in config.toml";
            checks.push(Check::bad(name, format!("{address}: {error}"), Some(fix)));
        }
    };
    port("API port", config.api, tcp(config.api));
    port("blob port", config.blobs, udp(config.blobs));
    if let Some(pages) = config.pages {
        port("pages port", pages, tcp(pages));
    }
    for listen in &config.listen {
        if let Some((address, is_tcp)) = socket_of(listen) {
            port(
                "libp2p port",
                address,
                if is_tcp { tcp(address) } else { udp(address) },
            );
        }
    }
}

/// The socket of an address such as `/ip4/0.0.0.0/udp/4600/quic-v1`, and whether it is TCP.
fn socket_of(multiaddr: &str) -> Option<(SocketAddr, bool)> {
    let parts: Vec<&str> = multiaddr.split('/').skip(1).collect();
    let [_, address, protocol, port, ..] = parts.as_slice() else {
        return None;
    };
    let socket = SocketAddr::new(address.parse().ok()?, port.parse().ok()?);
    Some((socket, *protocol == "tcp"))
}

fn disk(dir: &Path, checks: &mut Vec<Check>) {
    let existing = dir
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let free = match rustix::fs::statvfs(existing) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            checks.push(Check::bad(
                "disk",
                format!("{}: {error}", existing.display()),
                None,
            ));
            return;
        }
    };
    let detail = format!("{} free at {}", text::bytes(free), existing.display());
    let fix = "free some space, or name a data folder on another disk with --data";
    checks.push(if free < DISK_NEEDED {
        Check::bad("disk", detail, Some(fix))
    } else if free < DISK_WISHED {
        Check::bad("disk", detail, Some(fix)).optional()
    } else {
        Check::good("disk", detail)
    });
}

fn isolation(checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let config = match SupervisorConfig::beside_current_exe() {
        Ok(config) => config,
        Err(error) => {
            checks.push(Check::bad("runner binaries", error.to_string(), None));
            return Ok(());
        }
    };
    let detail = format!("{} and {}", config.launcher.display(), config.runner.display());
    checks.push(Check::good("runner binaries", detail));
    for (runtime, program) in [("onnx", &config.onnx_runner), ("python", &config.python_runner)] {
        let name = format!("runner for {runtime}");
        checks.push(match program {
            Some(path) => Check::good(&name, path.display().to_string()),
            None => {
                let fix = format!("install fieldmark-runner-{runtime} beside fieldmark");
                Check::bad(
                    &name,
                    format!("not installed: no {runtime} model runs here"),
                    Some(&fix),
                )
                .optional()
            }
        });
    }
    match super::block_on(probe_isolation(&config))? {
        Ok(probes) => checks.extend(probes.into_iter().map(layer)),
        Err(error) => checks.push(Check::bad("isolation", error.to_string(), None)),
    }
    Ok(())
}

/// Whether the data folder's policy lets models run without isolation.
fn isolation_policy(home: &Home) -> Check {
    if home.config.policy.allow_isolation_off {
        let detail = "--isolation=off is obeyed here: a model could then do whatever you can do";
        let fix = "remove allow_isolation_off from [policy] in config.toml";
        return Check::bad("isolation: policy", detail, Some(fix)).optional();
    }
    Check::good("isolation: policy", "--isolation=off is refused")
}

fn layer(probe: LayerProbe) -> Check {
    let LayerProbe {
        layer,
        required,
        available,
        detail,
        hint,
    } = probe;
    let detail = if detail.is_empty() && available {
        "available".to_owned()
    } else {
        detail
    };
    Check {
        name: format!("isolation: {layer}"),
        ok: available,
        required,
        detail,
        fix: hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_in_multiaddrs() {
        let quic = socket_of("/ip4/127.0.0.1/udp/4600/quic-v1").unwrap();
        assert_eq!(quic, ("127.0.0.1:4600".parse().unwrap(), false));
        assert!(socket_of("/ip6/::1/tcp/1").unwrap().1);
        assert_eq!(socket_of("/dns4/example.org/tcp/1"), None);
    }

    #[test]
    fn a_missing_data_folder_fails_with_its_fix() {
        let dir = tempfile::tempdir().unwrap();
        let mut checks = Vec::new();
        assert!(data_folder(&dir.path().join("none"), &mut checks).is_none());
        assert!(!checks[0].ok && checks[0].fix.as_ref().unwrap().contains("fieldmark init"));
    }
}
