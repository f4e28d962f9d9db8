//! `bench`: how fast a model is here, in the scenarios of MLPerf Inference.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use fieldmark_loadgen::http::{HttpSystem, Message};
use fieldmark_loadgen::{Figure, Options, Report, Scenario, System, plot, run};
use fieldmark_serving::{PoolOptions, Repository, Request, Tensor, TensorSpec};
use fieldmark_tensors::{values, zeros};
use serde_json::{Value, json};

use super::packages;
use super::servables::{Servables, Source};
use crate::args::Global;
use crate::args::serving::Bench;
use crate::client::encoded;
use crate::output::Output;
use crate::text;

/// Longest time for the question what a model is.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// `bench`
pub(crate) fn bench(global: &Global, args: &Bench, out: &Output) -> anyhow::Result<()> {
    let unwritten = |path: &Path| format!("{}: cannot write the plot", path.display());
    // Opened before anything is measured, so that a wrong path costs no measurement.
    let plotted = match &args.plot {
        Some(path) => Some((path, File::create(path).with_context(|| unwritten(path))?)),
        None => None,
    };
    let (title, reports) = match &args.url {
        Some(url) => {
            let system = Arc::new(remote(url, args)?);
            (
                args.model.clone(),
                super::block_on(scenarios(&system, args, out))?,
            )
        }
        None => {
            let pool = PoolOptions {
                replicas: args.replicas.into(),
                batch_max: usize::try_from(args.batch_max).unwrap_or(usize::MAX),
                // The offline scenario keeps its own bound.
                queue_max: 65_536,
                ..PoolOptions::default()
            };
            let spinner = out.spinner("reading the model");
            let servables = Servables {
                global: global.clone(),
                workshop: packages::workshop(global, &args.runner, spinner.clone())?,
                pool,
            };
            spinner.finish_and_clear();
            super::block_on(Box::pin(here(&servables, args, out)))??
        }
    };
    let value = json!({ "model": title, "server": args.url, "reports": reports });
    out.result(&value, || shown(&title, &reports))?;
    if let Some((path, mut file)) = plotted {
        let picture = plot(&format!("{title}: latency by scenario"), &reports);
        file.write_all(picture.as_bytes())
            .with_context(|| unwritten(path))?;
        out.note(&format!("the plot is {}", path.display()));
    }
    match reports.iter().find(|report| report.figure.value.is_none()) {
        Some(silent) => anyhow::bail!("{}: nothing was answered", silent.scenario.name()),
        None => Ok(()),
    }
}

/// Runners of this command's own, without HTTP.
struct Pool {
    repository: Repository,
    model: String,
    inputs: Vec<Tensor>,
}

impl System for Pool {
    async fn ask(&self) -> Result<(), String> {
        let lease = self
            .repository
            .lease(&self.model, None)
            .map_err(|failure| failure.to_string())?;
        let request = Request {
            inputs: self.inputs.clone(),
            ..Request::default()
        };
        let answer = self.repository.infer(&lease, request, Instant::now()).await;
        answer.map(drop).map_err(|failure| failure.to_string())
    }
}

async fn here(servables: &Servables, args: &Bench, out: &Output) -> anyhow::Result<(String, Vec<Report>)> {
    let spinner = out.spinner("loading the model");
    let servable = servables.servable(&Source::of(&args.model)?).await?;
    let title = servable.title();
    let inputs = match servable.options.warm_up.clone() {
        sample if !sample.is_empty() => sample,
        _ => zeros(&servable.inputs)?.into_iter().map(Tensor::from).collect(),
    };
    let repository = Repository::new(None);
    let model = servable.name.clone();
    repository
        .load(servable)
        .await
        .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    spinner.finish_and_clear();
    let system = Arc::new(Pool {
        repository: repository.clone(),
        model,
        inputs,
    });
    let reports = scenarios(&system, args, out).await;
    repository.stop().await;
    Ok((title, reports))
}

/// A running server, over HTTP with JSON.
fn remote(url: &str, args: &Bench) -> anyhow::Result<HttpSystem> {
    let base = format!("{}/v2/models/{}", url.trim_end_matches('/'), encoded(&args.model));
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0);
    let agent = config.timeout_global(Some(ANSWER_MAX)).build().new_agent();
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let mut asking = agent.get(&base);
    if let Some(token) = &args.token {
        let bearer = format!("Bearer {token}");
        asking = asking.header("authorization", &bearer);
        headers.push(("authorization".to_owned(), bearer));
    }
    let mut answer = asking
        .call()
        .with_context(|| format!("no server answers at {url}"))?;
    let described: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)
        .with_context(|| format!("{url} is no server of the Open Inference Protocol"))?;
    if !answer.status().is_success() {
        anyhow::bail!("{url}: {}", text::plain(&text::string(&described, "error")));
    }
    let spec = |t: &Value| TensorSpec {
        name: text::string(t, "name"),
        datatype: text::string(t, "datatype"),
        shape: text::list(t, "shape").iter().filter_map(Value::as_i64).collect(),
    };
    let inputs: Vec<TensorSpec> = text::list(&described, "inputs").iter().map(spec).collect();
    let tensors = values::zeros(&inputs)?;
    let inputs = tensors
        .iter()
        .map(values::to_protocol)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(HttpSystem::new(Message {
        url: format!("{base}/infer"),
        headers,
        body: Bytes::from(json!({ "inputs": inputs }).to_string()),
    })?)
}

async fn scenarios<S: System>(system: &Arc<S>, args: &Bench, out: &Output) -> Vec<Report> {
    let asked: Vec<Scenario> = args.scenario.iter().map(|scenario| (*scenario).into()).collect();
    let asked = if asked.is_empty() {
        Scenario::ALL.to_vec()
    } else {
        asked
    };
    let options = Options {
        length: Duration::from_secs(args.seconds),
        seed: args.seed,
        rate: args.rate,
        bound: Duration::from_millis(args.latency_ms),
        streams: args.streams.into(),
        ..Options::default()
    };
    let mut reports = Vec::new();
    for scenario in asked {
        let spinner = out.spinner(&format!("{} for {} s", scenario.name(), args.seconds));
        reports.push(run(scenario, system, &options).await);
        spinner.finish_and_clear();
    }
    reports
}

fn figure(figure: &Figure) -> String {
    let value = figure.value.map(|value| format!("{value:.3} {}", figure.unit));
    let value = value.unwrap_or_else(|| "nothing was answered".to_owned());
    format!("{}: {value}", figure.name)
}

fn shown(title: &str, reports: &[Report]) -> String {
    let row = |report: &Report| {
        let at = |percent: f64| {
            let found = report
                .latency_ms
                .iter()
                .find(|(at, _)| (at - percent).abs() < 1e-9);
            found.map_or_else(|| "-".to_owned(), |(_, ms)| format!("{ms:.3}"))
        };
        vec![
            report.scenario.name().to_owned(),
            figure(&report.figure),
            report.queries.to_string(),
            report.failures.to_string(),
            format!("{:.0}", report.samples_per_second),
            at(50.0),
            at(90.0),
            at(99.0),
            at(99.9),
            report
                .joules_per_sample
                .map_or_else(|| "not told".to_owned(), |joules| format!("{joules:.4} J")),
        ]
    };
    let rows: Vec<Vec<String>> = reports.iter().map(row).collect();
    let head = [
        "scenario",
        "figure",
        "queries",
        "failed",
        "samples/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "energy/sample",
    ];
    let seed = reports.first().map(|report| report.seed).unwrap_or_default();
    let mut lines = format!("{title}, seed {seed}\n\n{}", text::table(&head, &rows));
    for report in reports {
        if let Some(note) = &report.figure.note {
            lines.push_str(&format!("\n{}: {note}", report.scenario.name()));
        }
        if let Some(failure) = &report.failure {
            lines.push_str(&format!("\n{}: {}", report.scenario.name(), text::plain(failure)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn a_plot_that_cannot_be_written_is_told_before_anything_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let plot = folder.path().join("none/latency.svg");
        let words = ["fieldmark", "bench", "./model", "--plot", plot.to_str().unwrap()];
        let cli = Cli::try_parse_from(words).unwrap();
        let Command::Bench(args) = &cli.command else {
            panic!()
        };
        let error = bench(&cli.global, args, &Output::new(false, true)).unwrap_err();
        assert!(error.to_string().contains("cannot write the plot"), "{error}");
    }
}
