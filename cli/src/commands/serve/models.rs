//! The models that a server was started with, as they are found now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldmark_package::Package;
use fieldmark_protocol::release::Release;
use fieldmark_serving::{
    Catalog, Failure as Refused, Kind, Offered, PoolOptions, Servable, Tensor, TensorSpec,
};
use fieldmark_supervisor::{RunnerSpec, SupervisorConfig};
use fieldmark_tensors::{Datatype, element_count, zeros};
use serde_json::{Value, json};

use super::releases;
use crate::args::Global;
use crate::args::serve::Serve;
use crate::failure::Failure;

/// Most elements of an example's inputs.
const EXAMPLE_MAX: usize = 16;

/// Where a model is.
#[derive(Debug, Clone)]
enum Source {
    /// A package folder.
    Folder(PathBuf),
    /// A release, by what the user wrote.
    Release(String),
}

/// The models of a server, by name.
#[derive(Debug, Clone)]
pub(super) struct Models {
    global: Global,
    sources: BTreeMap<String, Vec<Source>>,
    pool: PoolOptions,
    config: SupervisorConfig,
}

impl Models {
    /// Finds every model that the user named, and reads what it is.
    pub(super) fn find(
        global: &Global,
        args: &Serve,
        pool: PoolOptions,
        config: SupervisorConfig,
    ) -> anyhow::Result<Self> {
        let mut models = Self {
            global: global.clone(),
            sources: BTreeMap::new(),
            pool,
            config,
        };
        let mut titles = Vec::new();
        for named in &args.models {
            let source = if is_folder(named) {
                Source::Folder(super::super::absolute(Path::new(named))?)
            } else {
                Source::Release(named.clone())
            };
            let servable = models.servable(&source)?;
            let title = servable.title();
            if titles.contains(&title) {
                return Err(Failure::usage(format!(
                    "{title} is named twice; each model has a version of its own"
                ))
                .into());
            }
            titles.push(title);
            models.sources.entry(servable.name).or_default().push(source);
        }
        Ok(models)
    }

    /// What a source is now.
    fn servable(&self, source: &Source) -> anyhow::Result<Servable> {
        let folder = match source {
            Source::Folder(folder) => folder.clone(),
            Source::Release(reference) => releases::laid_out(&self.global, reference)?,
        };
        let (release, spec, sample) = in_folder(&folder)?;
        Ok(Servable {
            name: release.name,
            version: release.version,
            platform: release.runtime,
            inputs: release.inputs,
            outputs: release.outputs,
            labels: release.labels,
            spec,
            config: self.config.clone(),
            options: PoolOptions {
                warm_up: sample,
                ..self.pool.clone()
            },
        })
    }
}

/// Whether a package folder is meant. A bare name is always a release, even beside a folder of that name.
fn is_folder(reference: &str) -> bool {
    let written_as_path =
        reference == "." || reference == ".." || reference.contains(std::path::is_separator);
    written_as_path && Path::new(reference).is_dir()
}

/// A package folder: what it holds, what a runner loads, and what it is tried on before it is served.
fn in_folder(folder: &Path) -> anyhow::Result<(Release, RunnerSpec, Vec<Tensor>)> {
    let package = Package::read(folder)?;
    let release = package.hash()?;
    let sample = package
        .sample()?
        .into_iter()
        .map(Tensor::try_from)
        .collect::<Result<_, _>>()?;
    let spec = RunnerSpec::new(package.title(), folder.join(&release.entry))
        .inputs(release.inputs.iter().map(|input| input.name.clone()))
        .outputs(release.outputs.iter().map(|output| output.name.clone()));
    Ok((release, spec, sample))
}

impl Catalog for Models {
    fn offer<'a>(&'a self, model: &'a str) -> Offered<'a> {
        Box::pin(async move {
            let shown: String = model.chars().filter(|c| !c.is_control()).take(80).collect();
            let sources = self.sources.get(model).cloned().ok_or_else(|| {
                Refused::not_found(format!("this server was not started with a model '{shown}'"))
            })?;
            let models = self.clone();
            let found = tokio::task::spawn_blocking(move || {
                sources
                    .iter()
                    .map(|source| models.servable(source))
                    .collect::<anyhow::Result<Vec<_>>>()
            });
            let found = found
                .await
                .map_err(|_| Refused::new(Kind::Internal, "the work was interrupted"))?;
            let found = found.map_err(|error| Refused::new(Kind::Model, format!("{error:#}")))?;
            if let Some(other) = found.iter().find(|servable| servable.name != model) {
                let message = format!(
                    "the package of '{shown}' is now called '{}'; start the server again",
                    other.name
                );
                return Err(Refused::new(Kind::Model, message));
            }
            Ok(found)
        })
    }

    fn names(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }
}

/// A line for a shell that asks the model.
pub(super) fn curl(base: &str, servable: &Servable) -> String {
    let url = format!("{base}/v2/models/{}", servable.name);
    let inputs: Option<Vec<Value>> = servable.inputs.iter().map(example).collect();
    match inputs {
        Some(inputs) => {
            let body = json!({ "inputs": inputs });
            format!("curl -H 'Content-Type: application/json' -d '{body}' {url}/infer")
        }
        None => {
            format!("curl {url}\n  curl -H 'Content-Type: application/json' -d @request.json {url}/infer")
        }
    }
}

/// Zeros or empty texts for an input, if they are few.
fn example(spec: &TensorSpec) -> Option<Value> {
    let tensor = zeros(spec).ok()?;
    let count = element_count(&tensor.shape)
        .ok()
        .filter(|count| *count <= EXAMPLE_MAX)?;
    let element = match tensor.datatype {
        Datatype::Bytes => json!(""),
        Datatype::Bool => json!(false),
        _ => json!(0),
    };
    let data = vec![element; count];
    Some(json!({ "name": spec.name, "datatype": spec.datatype, "shape": tensor.shape, "data": data }))
}
