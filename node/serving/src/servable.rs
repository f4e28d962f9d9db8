//! What can be served: a release or a package, how to run it, and how many requests at once.

use std::sync::Arc;
use std::time::Duration;

use fieldmark_supervisor::{RunnerSpec, SupervisorConfig};
use fieldmark_tensors::TensorSpec;

use crate::{Observer, Tensor};

/// A model in one version, ready to be started.
#[derive(Debug, Clone)]
pub struct Servable {
    /// The model's name, as clients ask for it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What runs it, such as `torchscript` or `onnx`.
    pub platform: String,
    /// What it takes.
    pub inputs: Vec<TensorSpec>,
    /// What it returns.
    pub outputs: Vec<TensorSpec>,
    /// Names of its classes, in the order of its scores; empty for none.
    pub labels: Vec<String>,
    /// What its runners load.
    pub spec: RunnerSpec,
    /// Where the runner's binaries are, and what each may use.
    pub config: SupervisorConfig,
    /// How many requests at once.
    pub options: PoolOptions,
    /// Told of every answered request.
    pub observer: Option<Arc<dyn Observer>>,
}

/// How requests to one model are queued, put together and spread.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Runner processes. Default: 1; at least 1. Each holds the whole model in memory.
    pub replicas: usize,
    /// Most records that run at once, taken from several requests. Default: 1, which puts nothing together.
    /// More changes nothing for models whose inputs and outputs do not all have -1 as their first size.
    pub batch_max: usize,
    /// How long a request may wait for others to run with. Default: 0; requests that wait anyway are put
    /// together.
    pub batch_delay: Duration,
    /// Requests that may wait; one more is refused. Default: 256; at least 1.
    pub queue_max: usize,
    /// Longest time from a request's arrival to its answer. Default: 30 s.
    pub request_timeout: Duration,
    /// Run once on each replica before it is asked by anybody. Default: none.
    pub warm_up: Vec<Tensor>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            replicas: 1,
            batch_max: 1,
            batch_delay: Duration::ZERO,
            queue_max: 256,
            request_timeout: Duration::from_secs(30),
            warm_up: Vec::new(),
        }
    }
}

impl Servable {
    /// `name@version`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Most records that run at once: 1 where requests cannot be put together.
    #[must_use]
    pub fn batch_max(&self) -> usize {
        if self.is_by_record() {
            self.options.batch_max.max(1)
        } else {
            1
        }
    }

    /// Whether the first size of every input and output is the number of records: all of them are -1.
    #[must_use]
    pub fn is_by_record(&self) -> bool {
        let free = |specs: &[TensorSpec]| specs.iter().all(|spec| spec.shape.first() == Some(&-1));
        free(&self.inputs) && free(&self.outputs) && !self.inputs.is_empty()
    }
}
