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
use fieldmark_sandbox::{Device, Failure, FailureCode, Model, Options, RunnerLoad, Runtime};
use ort::environment::Environment;
use std::io::Read;
use std::path::PathBuf;
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
}

impl Runtime for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    fn warm_up(&mut self, options: &Options) -> Result<(), String> {
        let library = library::find(options.libraries.as_deref())?;
        self.settings = load::Settings {
            threads: 1,
            device: options.device,
            gpu_memory_bytes_max: options.gpu_memory_bytes_max,
        };
        let environment = warm_up::run(&library, &self.settings)?;
        self.environment = Some(environment);
        Ok(())
    }

    fn devices(&self) -> Vec<PathBuf> {
        match self.settings.device {
            Device::Cpu => Vec::new(),
            Device::Cuda(_) => fieldmark_sandbox::nvidia_devices(),
        }
    }

    fn use_threads(&mut self, threads: u32) {
        self.settings.threads = threads;
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
