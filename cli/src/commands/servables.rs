//! What `serve` and `bench` put behind the protocol: package folders, and releases of the data folder, as they
//! are found when they are loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldmark_node::drift::{DriftWatch, Features};
use fieldmark_package::{Package, Source as Files, Workshop};
use fieldmark_serving::{
    Catalog, Failure as Refused, Kind, Offered, PoolOptions, Servable, Tensor, TensorSpec,
};
use fieldmark_tensors::{Datatype, element_count};
use serde_json::{Value, json};

use super::releases;
use crate::args::Global;
use crate::failure::Failure;

/// Most elements of an example's inputs.
const EXAMPLE_MAX: usize = 16;

/// Where a model is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A package folder.
    Folder(PathBuf),
    /// A release, by what the user wrote.
    Release(String),
}

impl Source {
    /// What the user means. A bare name is always a release, even beside a folder of that name; a path where there is
    /// nothing is refused.
    pub(crate) fn of(named: &str) -> anyhow::Result<Self> {
        if is_path(named) {
            return Ok(Self::Folder(super::absolute(Path::new(named))?));
        }
        Ok(Self::Release(named.to_owned()))
    }

    /// The folder with its files, made if need be. Reads disks.
    fn folder(&self, global: &Global) -> anyhow::Result<PathBuf> {
        match self {
            Self::Folder(folder) => Ok(folder.clone()),
            Self::Release(reference) => releases::laid_out(global, reference),
        }
    }
}

/// Whether a path is meant and no release: `.`, `..`, or what has a separator, unless it reads as `AUTHOR/NAME` and
/// there is nothing of that path.
pub(crate) fn is_path(named: &str) -> bool {
    let parts: Vec<&str> = named.split(std::path::is_separator).collect();
    match parts.as_slice() {
        [one] => [".", ".."].contains(one),
        [author, name] if !["", ".", ".."].contains(author) && !name.is_empty() => Path::new(named).exists(),
        _ => true,
    }
}

/// How models are made ready to be served.
#[derive(Debug, Clone)]
pub(crate) struct Servables {
    pub(crate) global: Global,
    pub(crate) workshop: Workshop,
    pub(crate) pool: PoolOptions,
}

impl Servables {
    /// What a source is now, watched for drift if it came with a reference.
    pub(crate) async fn servable(&self, source: &Source) -> anyhow::Result<Servable> {
        let (global, source) = (self.global.clone(), source.clone());
        let read = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let folder = source.folder(&global)?;
            let package = Package::read(&folder)?;
            let release = package.hash()?;
            Ok((folder, package, release))
        });
        let (folder, package, release) = read.await??;
        let spec = self.workshop.prepare(&release, Files::Folder(&folder)).await?;
        // Zeros were tried when it was packed; what its author calls a sample must work now.
        let sample = match package.has_sample() {
            true => package.sample()?,
            false => Vec::new(),
        };
        let sample = sample
            .into_iter()
            .map(fieldmark_tensors::Tensor::try_from)
            .map(|tensor| tensor.map(Tensor::from))
            .collect::<Result<_, _>>()?;
        let features = Features::new(&release.inputs, &release.outputs, release.labels.len());
        let watch = package
            .reference()?
            .map(|reference| DriftWatch::new(reference, &features));
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
            observer: watch.map(|watch| Arc::new(watch) as _),
        })
    }
}

/// The models that a server was started with, by name.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    servables: Servables,
    sources: BTreeMap<String, Vec<Source>>,
}

impl Models {
    /// Finds every model that the user named, and reads what it is called.
    pub(crate) fn find(named: &[String], servables: Servables) -> anyhow::Result<Self> {
        let mut sources: BTreeMap<String, Vec<Source>> = BTreeMap::new();
        let mut titles = Vec::new();
        for named in named {
            let source = Source::of(named)?;
            let package = Package::read(&source.folder(&servables.global)?)?;
            let title = package.title();
            if titles.contains(&title) {
                let message = format!("{title} is named twice; each model has a version of its own");
                return Err(Failure::usage(message).into());
            }
            let name = title.split('@').next().unwrap_or_default().to_owned();
            titles.push(title);
            sources.entry(name).or_default().push(source);
        }
        Ok(Self { servables, sources })
    }
}

impl Catalog for Models {
    fn offer<'a>(&'a self, model: &'a str) -> Offered<'a> {
        Box::pin(async move {
            let shown: String = model.chars().filter(|c| !c.is_control()).take(80).collect();
            let sources = self.sources.get(model).ok_or_else(|| {
                Refused::not_found(format!("this server was not started with a model '{shown}'"))
            })?;
            let mut found = Vec::new();
            for source in sources {
                let servable = Box::pin(self.servables.servable(source)).await;
                found.push(servable.map_err(|error| Refused::new(Kind::Model, format!("{error:#}")))?);
            }
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
pub(crate) fn curl(base: &str, servable: &Servable) -> String {
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
    let shape: Vec<i64> = spec.shape.iter().map(|size| (*size).max(1)).collect();
    let count = element_count(&shape).ok().filter(|count| *count <= EXAMPLE_MAX)?;
    let element = match Datatype::parse(&spec.datatype)? {
        Datatype::Bytes => json!(""),
        Datatype::Bool => json!(false),
        _ => json!(0),
    };
    let data = vec![element; count];
    Some(json!({ "name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_a_path_is_no_release() {
        let missing = Source::of("./no-such-folder").unwrap_err().to_string();
        assert!(missing.contains("no such file or folder"), "{missing}");
        assert!(matches!(Source::of(".").unwrap(), Source::Folder(_)));
        assert!(matches!(Source::of("digits").unwrap(), Source::Release(_)));
        assert!(matches!(
            Source::of("acme/digits@1.0.0").unwrap(),
            Source::Release(_)
        ));
        for path in ["..", "../digits", "/digits", "acme/", "a/b/c"] {
            assert!(is_path(path), "{path}");
        }
    }
}
