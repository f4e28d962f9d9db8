//! `fieldmark-runner-onnx`: the isolated process that loads one ONNX model and answers requests.
//!
//! What it shares with the other runners is `fieldmark-sandbox`'s; here is ONNX Runtime: its library is opened
//! and warmed up before the layers, a model is loaded from streamed bytes, and its outputs are passed on. A
//! model whose weights lie in other files is refused with the reason: there are no files.

mod external;
mod library;
mod load;
mod model;
mod tensor;
mod warm_up;

use clap::Parser;
use fieldmark_sandbox::{
    Device, Failure, FailureCode, Model, Options, Reach, RunnerLoad, Runtime, gpu_reach,
};
use ort::environment::Environment;
use std::io::Read;
use std::process::ExitCode;

/// Loads one ONNX model behind isolation and answers requests on descriptor 3. Started by fieldmark-launcher.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// ONNX Runtime.
#[derive(Default)]
struct Onnx {
    environment: Option<Environment>,
    settings: load::Settings,
    reach: Reach,
}

impl Runtime for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    fn warm_up(&mut self, options: &Options) -> Result<(), Failure> {
        let broken = |cause: String| Failure::new(FailureCode::Device, cause);
        let library = library::find(options.libraries.as_deref()).map_err(broken)?;
        self.environment = Some(warm_up::open(&library).map_err(broken)?);
        self.settings.threads = 1;
        self.try_out().map_err(broken)?;
        if options.device != Device::Cpu {
            gpu_reach(options.device)?;
            library::open_cuda(&library).map_err(broken)?;
            self.reach = gpu_reach(options.device)?;
        }
        self.settings.device = options.device;
        self.settings.gpu_memory_bytes_max = options.gpu_memory_bytes_max;
        Ok(())
    }

    fn reach(&self) -> Reach {
        self.reach.clone()
    }

    fn settle(&mut self, threads: u32) -> Result<(), Failure> {
        self.settings.threads = threads;
        match self.settings.device {
            Device::Cpu => Ok(()),
            device => self
                .try_out()
                .map_err(|cause| Failure::new(FailureCode::Device, format!("{device}: {cause}"))),
        }
    }

    fn load(&mut self, artifact: &mut dyn Read, request: &RunnerLoad) -> Result<Box<dyn Model>, Failure> {
        let environment = self
            .environment
            .as_ref()
            .ok_or_else(|| Failure::new(FailureCode::Protocol, "a model before ONNX Runtime was opened"))?;
        let model = load::load(environment, &self.settings, artifact, request)?;
        Ok(Box::new(model))
    }
}

impl Onnx {
    /// Runs a model of our own once.
    fn try_out(&self) -> Result<(), String> {
        match &self.environment {
            Some(environment) => warm_up::run(environment, &self.settings),
            None => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    let options = Arguments::parse().options;
    fieldmark_sandbox::run(&mut Onnx::default(), &options)
}

/// What ONNX Runtime answered, for the supervisor. `code` is used unless memory ran out or the caller is to
/// blame.
fn thrown<R>(code: FailureCode, error: &ort::Error<R>) -> Failure {
    let code = match error.code() {
        ort::ErrorCode::InvalidArgument if code == FailureCode::Model => FailureCode::Input,
        _ => code,
    };
    Failure::thrown(code, error.message())
}
