//! The models that a server was started with, as they are found now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldmark_package::{Package, Workshop};
use fieldmark_protocol::release::Release;
use fieldmark_serving::{
    Catalog, Failure as Refused, Kind, Offered, PoolOptions, Servable, Tensor, TensorSpec,
};
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
    workshop: Workshop,
}

/// A package as it lies there now.
struct Found {
    folder: PathBuf,
    release: Release,
    /// What it is tried on before it is served.
    sample: Vec<Tensor>,
}

impl Models {
    /// Finds every model that the user named, and reads what it is.
    pub(super) fn find(
        global: &Global,
        args: &Serve,
        pool: PoolOptions,
        workshop: Workshop,
    ) -> anyhow::Result<Self> {
        let mut sources: BTreeMap<String, Vec<Source>> = BTreeMap::new();
        let mut titles = Vec::new();
        for named in &args.models {
            let source = if is_folder(named) {
                Source::Folder(super::super::absolute(Path::new(named))?)
            } else {
                Source::Release(named.clone())
            };
            let release = source.read(global)?.release;
            let title = format!("{}@{}", release.name, release.version);
            if titles.contains(&title) {
                let message = format!("{title} is named twice; each model has a version of its own");
                return Err(Failure::usage(message).into());
            }
            titles.push(title);
            sources.entry(release.name).or_default().push(source);
        }
        Ok(Self {
            global: global.clone(),
            sources,
            pool,
            workshop,
        })
    }

    /// What a server needs of a package; an environment of Python packages is built if it is not there.
    async fn servable(&self, found: Found) -> anyhow::Result<Servable> {
        let Found {
            folder,
            release,
            sample,
        } = found;
        let source = fieldmark_package::Source::Folder(&folder);
        let spec = self.workshop.prepare(&release, source).await?;
        Ok(Servable {
            name: release.name,
            version: release.version,
            platform: release.runtime,
            inputs: release.inputs,
            outputs: release.outputs,
            labels: release.labels,
            spec,
            config: self.workshop.config.clone(),
            options: PoolOptions {
                warm_up: sample,
                ..self.pool.clone()
            },
        })
    }
}

impl Source {
    /// What is there now.
    fn read(&self, global: &Global) -> anyhow::Result<Found> {
        let folder = match self {
            Self::Folder(folder) => folder.clone(),
            Self::Release(reference) => releases::laid_out(global, reference)?,
        };
        let package = Package::read(&folder)?;
        let sample = package
            .sample()?
            .into_iter()
            .map(fieldmark_tensors::Tensor::try_from);
        Ok(Found {
            release: package.hash()?,
            sample: sample
                .map(|tensor| tensor.map(Tensor::from))
                .collect::<Result<_, _>>()?,
            folder,
        })
    }
}

/// Whether a package folder is meant. A bare name is always a release, even beside a folder of that name.
fn is_folder(reference: &str) -> bool {
    let written_as_path =
        reference == "." || reference == ".." || reference.contains(std::path::is_separator);
    written_as_path && Path::new(reference).is_dir()
}

impl Catalog for Models {
    fn offer<'a>(&'a self, model: &'a str) -> Offered<'a> {
        Box::pin(async move {
            let shown: String = model.chars().filter(|c| !c.is_control()).take(80).collect();
            let sources = self.sources.get(model).cloned().ok_or_else(|| {
                Refused::not_found(format!("this server was not started with a model '{shown}'"))
            })?;
            let global = self.global.clone();
            let found = tokio::task::spawn_blocking(move || {
                sources
                    .iter()
                    .map(|source| source.read(&global))
                    .collect::<anyhow::Result<Vec<_>>>()
            });
            let found = found
                .await
                .map_err(|_| Refused::new(Kind::Internal, "the work was interrupted"))?;
            let mut offered = Vec::new();
            for found in found.map_err(refused)? {
                if found.release.name != model {
                    let other = &found.release.name;
                    let message =
                        format!("the package of '{shown}' is now called '{other}'; start the server again");
                    return Err(Refused::new(Kind::Model, message));
                }
                offered.push(Box::pin(self.servable(found)).await.map_err(refused)?);
            }
            Ok(offered)
        })
    }

    fn names(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }
}

/// A package that cannot be served.
fn refused(error: anyhow::Error) -> Refused {
    Refused::new(Kind::Model, format!("{error:#}"))
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
