//! From the command line to the end of service, for a runner that serves in its own process.

use crate::arena::Arena;
use crate::frame::Channel;
use crate::isolation::{self, LayerError, Plan};
use crate::{Failure, FailureCode, IsolationMode, Options, Runtime, serve};
use std::io::Write;
use std::process::ExitCode;

/// Exit status when a layer of isolation is missing.
const EXIT_ISOLATION: u8 = 3;
/// Exit status when the supervisor broke the protocol or vanished.
const EXIT_PROTOCOL: u8 = 4;

/// Serves `runtime` on descriptor 3 until the supervisor says goodbye, and returns the exit status.
///
/// It fails closed: if a layer cannot be put in place, it says which one, over the socket and on standard
/// error, and leaves with status 3, unless the isolation is off.
pub fn run(runtime: &mut dyn Runtime, options: &Options) -> ExitCode {
    let Some(mut channel) = Channel::inherited(options.frame_bytes_max) else {
        complain("descriptor 3 is not a socket; fieldmark-launcher starts this program, not a person");
        return ExitCode::from(EXIT_ISOLATION);
    };
    let prepared = prepare(runtime, options);
    let (layers, arena) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(&error.to_string());
            let failure = Failure::new(FailureCode::Isolation, error.to_string());
            let _ = channel.write(serve::failed(0, failure));
            return ExitCode::from(EXIT_ISOLATION);
        }
    };
    runtime.use_threads(options.threads);
    match serve::serve(&mut channel, runtime, layers, arena, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_PROTOCOL)
        }
    }
}

/// Opens the libraries, maps the shared memory and puts the layers in place. Returns their names.
fn prepare(runtime: &mut dyn Runtime, options: &Options) -> Result<(Vec<String>, Option<Arena>), LayerError> {
    let arena = Arena::inherited(options.arena_bytes)
        .map_err(|error| LayerError::new("shared-memory", "mapping descriptor 4", error))?;
    let step = format!("warming up {}", runtime.name());
    runtime
        .warm_up(options)
        .map_err(|error| LayerError::new("libraries", step, error))?;
    let layers = match options.isolation {
        IsolationMode::Off => Vec::new(),
        IsolationMode::Required => isolation::enter(&Plan {
            devices: runtime.devices(),
            ..Plan::new(options)
        })?,
    };
    Ok((layers, arena))
}

/// One line for a person, on standard error.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "fieldmark-runner: {line}");
}
