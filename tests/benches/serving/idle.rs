//! Twenty models that were asked once and now wait: their share of memory (PSS).

use std::fs;

use anyhow::{Context as _, Result, ensure};
use fieldmark_loadgen::http::HttpSystem;
use serde_json::Value;

use crate::load::{json_body, message, reference, renamed, server};
use crate::{Options, Row};

const MODELS: usize = 20;

pub(crate) fn rows(_: &Options) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let mut packages = Vec::new();
    for at in 0..MODELS {
        let name = format!("layer-{at}");
        let package = folder.path().join(&name);
        renamed(&reference("layer"), &package, &name)?;
        packages.push(package);
    }
    let (server, _scratch) = server(&packages, &[])?;
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for at in 0..MODELS {
        let headers = [("content-type", "application/json".to_owned())];
        let message = message(
            &server,
            &format!("layer-{at}"),
            &headers,
            json_body("x", &[1, 784]),
        );
        let asked = HttpSystem::new(message)?;
        threads.block_on(asked.answer()).map_err(anyhow::Error::msg)?;
    }
    let mut shares = Vec::new();
    for pid in runners(&server.http)? {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("no Pss")?;
        shares.push(kilobytes.trim().parse::<f64>()? / 1e3);
    }
    ensure!(shares.len() == MODELS, "{} runners", shares.len());
    let most = shares.iter().copied().fold(0.0, f64::max);
    server.stop()?;
    Ok(vec![
        Row::new("idle/20-models-most-pss", most, "MB", 150.0, "goal"),
        Row::new(
            "idle/20-models-mean-pss",
            shares.iter().sum::<f64>() / MODELS as f64,
            "MB",
            150.0,
            "goal",
        ),
    ])
}

/// Processes of the server's runners.
fn runners(http: &str) -> Result<Vec<u64>> {
    let mut answer = ureq::get(&format!("http://{http}/fieldmark/ps")).call()?;
    let seen: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    let versions = seen
        .get("versions")
        .and_then(Value::as_array)
        .context("no versions")?;
    let replicas = versions
        .iter()
        .filter_map(|version| version.get("replicas")?.as_array())
        .flatten();
    Ok(replicas
        .filter_map(|replica| replica.get("pid")?.as_u64())
        .collect())
}
