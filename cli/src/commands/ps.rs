//! `ps`: what runs here: a server's models, and the running node's runners.

use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Global;
use crate::args::serving::Ps;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// A server on this machine answers at once.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// `ps`
pub(crate) fn ps(global: &Global, args: &Ps, out: &Output) -> anyhow::Result<()> {
    let server = server(args);
    let node = node(global);
    if let (Err(server), Err(node)) = (&server, &node) {
        let message = format!(
            "nothing runs here: {server}; {node}; start a server with `fieldmark serve`, or name one with --server"
        );
        return Err(Failure::new(Exit::NoNode, "no-node", message).into());
    }
    let seen = json!({ "server": server.ok(), "node": node.ok() });
    out.result(&seen, || shown(&seen, &args.server))
}

/// The state of a server.
fn server(args: &Ps) -> anyhow::Result<Value> {
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0);
    let agent = config.timeout_global(Some(ANSWER_MAX)).build().new_agent();
    let address = args.server.trim_start_matches("http://").trim_end_matches('/');
    let mut request = agent.get(format!("http://{address}/fieldmark/ps"));
    if let Some(token) = &args.token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut answer = request
        .call()
        .map_err(|_| anyhow::anyhow!("no server answers at {address}"))?;
    let body = answer.body_mut().read_to_string()?;
    let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
    if !answer.status().is_success() {
        let detail = text::string(&parsed, "error");
        anyhow::bail!(
            "the server at {address} answers {}: {}",
            answer.status(),
            text::plain(&detail)
        );
    }
    state(address, parsed)
}

/// What a server says, if it is one of ours.
fn state(address: &str, parsed: Value) -> anyhow::Result<Value> {
    if !parsed.get("versions").is_some_and(Value::is_array) {
        anyhow::bail!("what answers at {address} is no `fieldmark serve`");
    }
    Ok(parsed)
}

/// The runners of the running node, and how what it was asked has drifted.
fn node(global: &Global) -> anyhow::Result<Value> {
    let client = Client::connect(global)?;
    let status = client.get("status")?;
    let served = client.get("served?limit=0")?;
    Ok(json!({
        "name": status.get("name"), "runners": status.get("runners"), "drift": status.get("drift"),
        "served": served.get("tallies"),
    }))
}

fn shown(seen: &Value, address: &str) -> String {
    let mut parts = Vec::new();
    if let Some(server) = seen.get("server").filter(|server| !server.is_null()) {
        parts.push(format!("server at {address}\n\n{}", versions(server)));
    }
    if let Some(node) = seen.get("node").filter(|node| !node.is_null()) {
        parts.push(runners(node));
    }
    parts.join("\n\n")
}

fn versions(server: &Value) -> String {
    let versions = text::list(server, "versions");
    if versions.is_empty() {
        return "nothing is loaded".to_owned();
    }
    let rows: Vec<Vec<String>> = versions.iter().map(version_row).collect();
    let head = [
        "model",
        "state",
        "runners",
        "memory",
        "of",
        "device",
        "threads",
        "wall time",
        "waiting",
        "answered",
        "failed",
        "p50",
        "p99",
        "isolation",
    ];
    let mut lines = vec![text::table(&head, &rows)];
    lines.extend(versions.iter().flat_map(troubles));
    for version in versions {
        lines.extend(drifted(&title(version), version.pointer("/observed/drift")));
    }
    lines.join("\n")
}

fn title(version: &Value) -> String {
    text::plain(&format!(
        "{}@{}",
        text::string(version, "name"),
        text::string(version, "version")
    ))
}

fn version_row(version: &Value) -> Vec<String> {
    let number = |name: &str| text::number(version, name);
    let replicas = text::list(version, "replicas");
    let memory: u64 = replicas
        .iter()
        .map(|replica| text::number(replica, "memory_bytes"))
        .sum();
    let layers = replicas
        .iter()
        .map(|replica| text::list(replica, "layers").len())
        .min()
        .unwrap_or(0);
    let isolation = match version.get("isolated") {
        Some(Value::Bool(false)) => "OFF".to_owned(),
        _ => format!("{layers} layers"),
    };
    let latency = |name: &str| {
        let found = version
            .pointer(&format!("/latency/{name}"))
            .and_then(Value::as_f64);
        found.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us / 1e3))
    };
    vec![
        title(version),
        text::string(version, "state").to_lowercase(),
        replicas.len().to_string(),
        text::bytes(memory),
        text::bytes(number("memory_bytes_max")),
        replicas
            .first()
            .map(|replica| text::string(replica, "device"))
            .unwrap_or_default(),
        number("threads").to_string(),
        format!("{} s", number("request_timeout_ms") / 1000),
        format!("{}/{}", number("queue"), number("queue_max")),
        number("answered").to_string(),
        number("failed").to_string(),
        latency("p50_us"),
        latency("p99_us"),
        isolation,
    ]
}

/// Why something is not as it should be, a line each.
fn troubles(version: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let reason = text::string(version, "reason");
    if !reason.is_empty() {
        lines.push(format!("{}: {}", title(version), text::plain(&reason)));
    }
    for replica in text::list(version, "replicas") {
        let restarts = text::number(replica, "restarts");
        let failure = text::string(replica, "last_failure");
        if !failure.is_empty() {
            lines.push(format!(
                "{}: started again {restarts} times; last: {}",
                title(version),
                text::plain(&failure)
            ));
        }
        let (failures, pause_ms) = (
            text::number(replica, "failures"),
            text::number(replica, "pause_ms"),
        );
        if pause_ms > 0 {
            lines.push(format!(
                "{}: it failed {failures} times in a row and is left alone for {pause_ms} ms",
                title(version)
            ));
        }
    }
    lines
}

/// The features that have drifted.
fn drifted(title: &str, features: Option<&Value>) -> Vec<String> {
    let drifted = features
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|feature| feature.get("drifted") == Some(&Value::Bool(true)));
    let line = |feature: &Value| {
        let number = |name: &str| feature.get(name).and_then(Value::as_f64);
        let against = |what: &str, name: &str| {
            let (found, chance) = (number(name)?, number(&format!("{name}_threshold"))?);
            Some(format!("{what} {found:.3} (chance makes up to {chance:.3})"))
        };
        let psi = number("psi").map(|psi| format!("PSI {psi:.3}"));
        let told = [against("χ²", "chi_squared"), psi, against("KS", "ks")];
        let mut told: Vec<String> = told.into_iter().flatten().collect();
        if feature.get("not_finite_drifted") == Some(&Value::Bool(true)) {
            let count = text::number(feature, "not_finite");
            told.push(format!("{count} rows whose value is no finite number"));
        }
        format!(
            "{title}: drift of {}: {}, {} rows with a number",
            text::plain(&text::string(feature, "name")),
            told.join(", "),
            text::number(feature, "records"),
        )
    };
    drifted.map(line).collect()
}

fn runners(node: &Value) -> String {
    let row = |runner: &Value| {
        let layers = text::list(runner, "layers").len();
        vec![
            text::plain(&text::string(runner, "name")),
            text::string(runner, "state"),
            text::bytes(text::number(runner, "memory_bytes")),
            text::bytes(text::number(runner, "memory_bytes_max")),
            text::string(runner, "device"),
            text::number(runner, "threads").to_string(),
            format!("{} s", text::number(runner, "request_timeout_ms") / 1000),
            text::number(runner, "restarts").to_string(),
            if layers == 0 {
                "OFF".to_owned()
            } else {
                format!("{layers} layers")
            },
        ]
    };
    let name = text::plain(&text::string(node, "name"));
    let rows: Vec<Vec<String>> = text::list(node, "runners").iter().map(row).collect();
    let mut lines = vec![format!("node {name}\n")];
    if rows.is_empty() {
        lines.push("no runner is loaded".to_owned());
        lines.extend(node_drift(node));
        return lines.join("\n");
    }
    let head = [
        "release",
        "state",
        "memory",
        "of",
        "device",
        "threads",
        "wall time",
        "restarts",
        "isolation",
    ];
    lines.push(text::table(&head, &rows));
    lines.extend(node_drift(node));
    lines.join("\n")
}

/// What has drifted of the releases that the node was asked: inputs and answers, and calibration where truths came.
fn node_drift(node: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for release in text::list(node, "drift") {
        let title = text::plain(&text::string(release, "name"));
        lines.extend(drifted(&title, release.get("features")));
    }
    for tally in text::list(node, "served") {
        let calibration = super::feedback::calibration(tally);
        if calibration.starts_with("drifted") {
            let title = text::plain(&text::string(tally, "name"));
            let truths = tally.pointer("/calibration/records").and_then(Value::as_u64);
            let truths = truths.unwrap_or_default();
            lines.push(format!(
                "{title}: its confidence no longer says how often it is right: {calibration}, {truths} truths"
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_server_of_ours_is_not_shown_as_an_empty_one() {
        for answer in [json!(null), json!({}), json!([]), json!({ "versions": 1 })] {
            assert!(state("x", answer.clone()).is_err(), "{answer}");
        }
        assert!(state("x", json!({ "versions": [] })).is_ok());
    }

    #[test]
    fn a_line_of_drift_tells_what_was_found() {
        let lines = |feature: Value| drifted("m@1", Some(&json!([feature]))).join("\n");
        let found = lines(json!({
            "name": "x", "records": 200, "drifted": true, "chi_squared": 50.0, "chi_squared_threshold": 30.0,
            "psi": 0.4, "ks": 0.3, "ks_threshold": 0.2, "not_finite": 0, "not_finite_drifted": false,
        }));
        assert!(
            found.contains("χ² 50.000 (chance makes up to 30.000), PSI 0.400, KS"),
            "{found}"
        );
        let gone = lines(json!({
            "name": "x", "records": 0, "drifted": true, "chi_squared": null, "psi": null, "ks": null,
            "not_finite": 120, "not_finite_drifted": true,
        }));
        assert!(
            gone.contains("120 rows whose value is no finite number") && !gone.contains("PSI"),
            "{gone}"
        );
        assert_eq!(lines(json!({ "name": "x", "drifted": false })), "");
    }
}
