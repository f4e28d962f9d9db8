//! What a runtime has to be able to do: open its libraries, load a release, run it.

use crate::isolation::Files;
use crate::{Failure, Input, Options, Outputs, RunnerLoad};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// What a runtime reaches behind the layers.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Files and folders; with any, the calls of [`Calls`](crate::isolation::Calls)`::Gpu` remain.
    pub files: Files,
    /// Device nodes.
    pub devices: Vec<PathBuf>,
}

/// A framework that loads releases.
pub trait Runtime {
    /// Its name in manifests and in the runner's answer: `torchscript`, `onnx`.
    fn name(&self) -> &'static str;

    /// Opens every library and touches whatever it initialises lazily, with one thread, while files can still
    /// be opened. Nothing untrusted takes part. No thread may be left running, so a GPU is not opened here.
    ///
    /// # Errors
    /// With the code `Device`, and one line that says what is missing and what to do.
    fn warm_up(&mut self, options: &Options) -> Result<(), Failure>;

    /// What stays reachable behind the layers beside memory: nothing but for a GPU.
    fn reach(&self) -> Reach {
        Reach::default()
    }

    /// The layers are in place: from here on `threads` threads may work within one operation, and devices are
    /// opened.
    ///
    /// # Errors
    /// With the code `Device` if the device does not work.
    fn settle(&mut self, threads: u32) -> Result<(), Failure>;

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
