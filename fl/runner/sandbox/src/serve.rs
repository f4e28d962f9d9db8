//! The conversation with the supervisor, one request at a time, until it says goodbye or closes its end.

use crate::arena::Arena;
use crate::frame::{Channel, FrameError};
use crate::{Device, Failure, FailureCode, Model, Options, Outputs, Runtime, inputs, self_test};
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{
    RunnerFailed, RunnerInfer, RunnerInferred, RunnerLoad, RunnerLoaded, RunnerReady, RunnerSelfTested,
    SharedRange,
};
use std::io::{self, Read};
use std::time::Instant;

/// Serves until shutdown. Failures that leave nothing to serve end it too, after they have been reported.
pub(crate) fn serve(
    channel: &mut Channel,
    runtime: &mut dyn Runtime,
    layers: Vec<String>,
    arena: Option<Arena>,
    options: &Options,
) -> Result<(), FrameError> {
    let isolated = !layers.is_empty();
    channel.write(Response::Ready(RunnerReady {
        layers,
        threads: options.threads,
        device: options.device.to_string(),
        frame_bytes_max: u64::from(options.frame_bytes_max),
        runtime: runtime.name().to_owned(),
        arena_bytes: options.arena_bytes,
    }))?;
    let mut model: Option<Box<dyn Model>> = None;
    while let Some(request) = channel.read()? {
        let response = match (request.request, &mut model) {
            (Some(Request::Shutdown(_)), _) => return Ok(()),
            (Some(Request::SelfTest(_)), _) if isolated => Response::SelfTested(RunnerSelfTested {
                checks: self_test::run(options.device),
            }),
            (Some(Request::Load(request)), None) => match load(channel, runtime, &request) {
                Ok((loaded, response)) => {
                    model = Some(loaded);
                    Response::Loaded(response)
                }
                Err(failure) => return channel.write(failed(0, failure)),
            },
            (Some(Request::Infer(request)), Some(model)) => {
                let id = request.id;
                match infer(model.as_mut(), &request, arena.as_ref(), channel.limit()) {
                    Ok(inferred) => Response::Inferred(inferred),
                    // Only a new process can use the GPU again; the supervisor starts one.
                    Err(failure) if options.device != Device::Cpu && failure.device_is_lost() => {
                        let code = FailureCode::Device;
                        return channel.write(failed(id, Failure { code, ..failure }));
                    }
                    Err(failure) => failed(id, failure),
                }
            }
            _ => return channel.write(failed(0, out_of_order())),
        };
        channel.write(response)?;
    }
    Ok(())
}

fn infer(
    model: &mut dyn Model,
    request: &RunnerInfer,
    arena: Option<&Arena>,
    bytes_max: usize,
) -> Result<RunnerInferred, Failure> {
    let inputs = inputs::read(&request.inputs, arena)?;
    let window = match request.output_region {
        None => None,
        Some(region) if overlaps(region, request) => {
            return Err(Failure::input("the region for outputs holds an input"));
        }
        Some(region) => arena.and_then(|arena| arena.window(region)),
    };
    let mut outputs = Outputs::shared(window, bytes_max);
    let forward = model.run(&inputs, &mut outputs)?;
    Ok(RunnerInferred {
        id: request.id,
        outputs: outputs.finish(),
        forward_micros: u64::try_from(forward.as_micros()).unwrap_or(u64::MAX),
    })
}

fn overlaps(region: SharedRange, request: &RunnerInfer) -> bool {
    let end = |range: &SharedRange| range.offset.saturating_add(range.bytes);
    let mut ranges = request.inputs.iter().flat_map(|input| &input.shared);
    ranges.any(|range| range.offset < end(&region) && region.offset < end(range))
}

/// The response that carries a failure.
pub(crate) fn failed(id: u64, failure: Failure) -> Response {
    Response::Failed(RunnerFailed {
        id,
        code: failure.code.into(),
        message: failure.message,
    })
}

fn load(
    channel: &mut Channel,
    runtime: &mut dyn Runtime,
    request: &RunnerLoad,
) -> Result<(Box<dyn Model>, RunnerLoaded), Failure> {
    let started = Instant::now();
    let mut artifact = channel.raw(request.artifact_bytes);
    let outcome = runtime.load(&mut artifact, request);
    // Read to the end in any case, so that the supervisor is never left writing.
    io::copy(&mut artifact.by_ref(), &mut io::sink())
        .map_err(|error| Failure::new(FailureCode::Protocol, format!("receiving the artifact: {error}")))?;
    let load_micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok((outcome?, RunnerLoaded { load_micros }))
}

fn out_of_order() -> Failure {
    Failure::new(
        FailureCode::Protocol,
        "a request out of order: load comes first and once, and the self test needs isolation",
    )
}
