//! `fieldmark-runner`: the isolated process that loads one TorchScript release and answers requests.
//!
//! It is started by `fieldmark-launcher` with one socket on descriptor 3 and, if any, shared memory on
//! descriptor 4. What it shares with the other runners (the layers, the conversation, their order) is
//! `fieldmark-sandbox`'s; here is libtorch: how it is opened before the layers, and how a module is loaded
//! from streamed bytes and run.

mod artifact;
mod cuda;
mod model;
mod tensor;
mod texts;
mod warm_up;

use clap::Parser;
use fieldmark_sandbox::{Device, Failure, FailureCode, Model, Options, Reach, RunnerLoad, Runtime};
use std::io::Read;
use std::process::ExitCode;

/// Loads one TorchScript release behind isolation and answers requests on descriptor 3. Started by
/// fieldmark-launcher.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// libtorch.
struct Torch {
    device: tch::Device,
    gpu_memory_bytes_max: Option<u64>,
    reach: Reach,
}

impl Runtime for Torch {
    fn name(&self) -> &'static str {
        "torchscript"
    }

    fn warm_up(&mut self, options: &Options) -> Result<(), Failure> {
        if let Device::Cuda(number) = options.device {
            self.device = tch::Device::Cuda(usize::try_from(number).unwrap_or(usize::MAX));
            self.gpu_memory_bytes_max = options.gpu_memory_bytes_max;
            self.reach = cuda::open(options)?;
        }
        warm_up::run().map_err(|error| thrown(FailureCode::Device, &error))
    }

    fn reach(&self) -> Reach {
        self.reach.clone()
    }

    fn settle(&mut self, threads: u32) -> Result<(), Failure> {
        warm_up::use_threads(threads);
        match self.device {
            tch::Device::Cuda(number) => cuda::settle(number, self.gpu_memory_bytes_max),
            _ => Ok(()),
        }
    }

    fn load(&mut self, artifact: &mut dyn Read, request: &RunnerLoad) -> Result<Box<dyn Model>, Failure> {
        let module = artifact::load(artifact, self.device)?;
        let (inputs, outputs) = (request.input_names.clone(), request.output_names.clone());
        Ok(Box::new(model::TorchModel::new(
            module,
            inputs,
            outputs,
            self.device,
        )))
    }
}

fn main() -> ExitCode {
    let options = Arguments::parse().options;
    let mut torch = Torch {
        device: tch::Device::Cpu,
        gpu_memory_bytes_max: None,
        reach: Reach::default(),
    };
    fieldmark_sandbox::run(&mut torch, &options)
}

/// What libtorch threw, for the supervisor. `code` is used unless memory ran out.
fn thrown(code: FailureCode, error: &tch::TchError) -> Failure {
    match error {
        tch::TchError::Torch(text) => Failure::thrown(code, text),
        other => Failure::thrown(code, &other.to_string()),
    }
}
