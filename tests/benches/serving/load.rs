//! Packages, servers and the load on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fieldmark_loadgen::http::{HttpSystem, Message};
use fieldmark_loadgen::{Options, Report, Scenario, run};
use fieldmark_tests::{Programs, Server};

/// Length of one measurement.
const LENGTH: Duration = Duration::from_secs(6);

/// A reference package.
pub(crate) fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/reference")
        .join(name)
}

/// A server of packages, with a folder for what it writes.
pub(crate) fn server(packages: &[PathBuf], options: &[&str]) -> Result<(Server, tempfile::TempDir)> {
    let scratch = tempfile::tempdir()?;
    let server = Server::start(&Programs::beside_this_test()?, scratch.path(), packages, options)?;
    Ok((server, scratch))
}

/// A request to a model.
pub(crate) fn message(server: &Server, model: &str, headers: &[(&str, String)], body: Vec<u8>) -> Message {
    Message {
        url: format!("http://{}/v2/models/{model}/infer", server.http),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        body: body.into(),
    }
}

/// A JSON body of so many values for an input, written as clients write it: the values last, each with the digits that
/// its FP32 needs.
pub(crate) fn json_body(input: &str, shape: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let values: Vec<String> = (0..count)
        .map(|at| ((at * 37 % 101) as f32 / 101.0).to_string())
        .collect();
    let data = values.join(",");
    format!(r#"{{"inputs":[{{"name":"{input}","shape":{shape:?},"datatype":"FP32","data":[{data}]}}]}}"#)
        .into_bytes()
}

/// Loads with so many connections, each asking again when it is answered.
pub(crate) fn closed(message: Message, connections: usize) -> Result<Report> {
    let options = Options {
        length: LENGTH,
        warm_up: 200,
        streams: connections,
        ..Options::default()
    };
    let system = Arc::new(HttpSystem::new(message)?);
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = threads.block_on(run(Scenario::Offline, &system, &options));
    ensure!(
        report.failures == 0,
        "{} failures: {}",
        report.failures,
        report.failure.unwrap_or_default()
    );
    Ok(report)
}

/// The latency that so many percent do not exceed.
pub(crate) fn percentile(report: &Report, percent: f64) -> Result<f64> {
    let found = report
        .latency_ms
        .iter()
        .find(|(at, _)| (at - percent).abs() < 1e-9);
    Ok(found.context("no such percentile")?.1)
}

/// A copy of a package under another name.
pub(crate) fn renamed(from: &Path, to: &Path, name: &str) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    let manifest = to.join("fieldmark.toml");
    let text = fs::read_to_string(&manifest)?;
    let lines = text.lines().map(|line| match line.starts_with("name") {
        true => format!("name = \"{name}\""),
        false => line.to_owned(),
    });
    // Only the first name is the model's; the others are tensors'.
    let first = text
        .lines()
        .position(|line| line.starts_with("name"))
        .context("no name")?;
    let kept = text.lines().zip(lines).enumerate();
    let lines: Vec<String> = kept
        .map(|(at, (old, new))| if at == first { new } else { old.to_owned() })
        .collect();
    Ok(fs::write(manifest, lines.join("\n"))?)
}
