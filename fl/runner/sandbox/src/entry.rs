//! From the command line to the end of service, for a runner that serves in its own process.

use crate::arena::Arena;
use crate::frame::Channel;
use crate::isolation::{self, Calls, LayerError, Plan};
use crate::{Device, Failure, FailureCode, IsolationMode, Options, Runtime, serve};
use std::io::Write;
use std::process::ExitCode;

/// Exit status when a layer of isolation is missing.
const EXIT_ISOLATION: u8 = 3;
/// Exit status when the supervisor broke the protocol or vanished.
const EXIT_PROTOCOL: u8 = 4;

/// A GPU's driver opens its nodes many times over.
const GPU_DESCRIPTORS_MAX: u64 = 1024;

/// Serves `runtime` on descriptor 3 until the supervisor says goodbye, and returns the exit status.
///
/// It fails closed: if a layer cannot be put in place, it says which one, over the socket and on standard
/// error, and leaves with status 3, unless the isolation is off.
pub fn run(runtime: &mut dyn Runtime, options: &Options) -> ExitCode {
    let Some(mut channel) = Channel::inherited(options.frame_bytes_max) else {
        complain("descriptor 3 is not a socket; fieldmark-launcher starts this program, not a person");
        return ExitCode::from(EXIT_ISOLATION);
    };
    let (layers, arena) = match prepare(runtime, options) {
        Ok(prepared) => prepared,
        Err(failure) => {
            complain(&failure.message);
            let _ = channel.write(serve::failed(0, failure));
            return ExitCode::from(EXIT_ISOLATION);
        }
    };
    match serve::serve(&mut channel, runtime, layers, arena, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_PROTOCOL)
        }
    }
}

/// Opens the libraries, maps the shared memory, puts the layers in place and opens the device. Returns the
/// layers' names.
fn prepare(runtime: &mut dyn Runtime, options: &Options) -> Result<(Vec<String>, Option<Arena>), Failure> {
    let arena = Arena::inherited(options.arena_bytes)
        .map_err(|error| missing(&LayerError::new("shared-memory", "mapping descriptor 4", error)))?;
    runtime.warm_up(options)?;
    let layers = match options.isolation {
        IsolationMode::Off => Vec::new(),
        IsolationMode::Required => {
            isolation::enter(&plan(runtime, options)).map_err(|error| missing(&error))?
        }
    };
    runtime.settle(options.threads)?;
    Ok((layers, arena))
}

/// The strictest plan, widened by what a GPU needs where one is asked for.
fn plan<'a>(runtime: &dyn Runtime, options: &'a Options) -> Plan<'a> {
    let strict = Plan::new(options);
    if options.device == Device::Cpu {
        return strict;
    }
    let reach = runtime.reach();
    Plan {
        files: reach.files,
        devices: reach.devices,
        calls: Calls::Gpu,
        descriptors_max: GPU_DESCRIPTORS_MAX,
        ..strict
    }
}

fn missing(error: &LayerError) -> Failure {
    Failure::new(FailureCode::Isolation, error.to_string())
}

/// One line for a person, on standard error.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "fieldmark-runner: {line}");
}
