//! What a runtime has to be able to do: open its libraries, load a release, run it.

use crate::{Failure, Input, Options, Outputs, RunnerLoad};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// A framework that loads releases.
pub trait Runtime {
    /// Its name in manifests and in the runner's answer: `torchscript`, `onnx`.
    fn name(&self) -> &'static str;

    /// Opens every library and device and touches whatever it initialises lazily, with one thread, while
    /// files can still be opened. Nothing untrusted takes part. No thread may be left running.
    ///
    /// # Errors
    /// One line that says what is missing and what to do.
    fn warm_up(&mut self, options: &Options) -> Result<(), String>;

    /// Device nodes and files that stay reachable behind the layers; none without a GPU.
    fn devices(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// From here on `threads` threads may work within one operation. Called once the layers are in place.
    fn use_threads(&mut self, threads: u32);

    /// Loads the release whose artifact `artifact` yields. What is left unread is skipped by the caller.
    ///
    /// # Errors
    /// With the code `Artifact` if it is none that this runtime loads, `Memory` if it does not fit.
    fn load(&mut self, artifact: &mut dyn Read, request: &RunnerLoad) -> Result<Box<dyn Model>, Failure>;
}

/// A loaded release.
pub trait Model {
    /// Runs it once and returns the time inside the model.
    ///
    /// # Errors
    /// With the code `Input` for a wrong request, `Model` for an exception in the release, `Output` for what
    /// cannot be passed on, `Memory` if memory ran out. The release stays loaded.
    fn run(&mut self, inputs: &[Input<'_>], outputs: &mut Outputs<'_>) -> Result<Duration, Failure>;
}
