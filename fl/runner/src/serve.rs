//! The conversation with the supervisor, one request at a time, until it says goodbye or closes its end.

use crate::failure::Failure;
use crate::frame::{Channel, FrameError};
use crate::model::Model;
use crate::{artifact, self_test};
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::runner_response::Response;
use fieldmark_proto::v1::{
    RunnerFailed, RunnerFailureCode, RunnerInferred, RunnerLoad, RunnerLoaded, RunnerReady, RunnerSelfTested,
};
use std::time::Instant;

/// Serves until shutdown. Failures that leave nothing to serve end it too, after they have been reported.
pub(crate) fn serve(channel: &mut Channel, layers: Vec<String>, threads: u32) -> Result<(), FrameError> {
    let isolated = !layers.is_empty();
    let frame_bytes_max = u64::try_from(channel.limit()).unwrap_or(u64::MAX);
    channel.write(Response::Ready(RunnerReady {
        layers,
        threads,
        device: "cpu".to_owned(),
        frame_bytes_max,
    }))?;
    let mut model = None;
    while let Some(request) = channel.read()? {
        let response = match (request.request, &model) {
            (Some(Request::Shutdown(_)), _) => return Ok(()),
            (Some(Request::SelfTest(_)), _) if isolated => Response::SelfTested(RunnerSelfTested {
                checks: self_test::run(),
            }),
            (Some(Request::Load(request)), None) => match load(channel, request) {
                Ok((loaded, response)) => {
                    model = Some(loaded);
                    Response::Loaded(response)
                }
                Err(failure) => return channel.write(failed(0, failure)),
            },
            (Some(Request::Infer(request)), Some(model)) => {
                let started = Instant::now();
                match model.run(request.inputs, channel.limit()) {
                    Ok(outputs) => {
                        let forward_micros = micros_since(started);
                        Response::Inferred(RunnerInferred {
                            id: request.id,
                            outputs,
                            forward_micros,
                        })
                    }
                    Err(failure) => failed(request.id, failure),
                }
            }
            _ => return channel.write(failed(0, out_of_order())),
        };
        channel.write(response)?;
    }
    Ok(())
}

/// The response that carries a failure.
pub(crate) fn failed(id: u64, failure: Failure) -> Response {
    Response::Failed(RunnerFailed {
        id,
        code: failure.code.into(),
        message: failure.message,
    })
}

fn load(channel: &mut Channel, request: RunnerLoad) -> Result<(Model, RunnerLoaded), Failure> {
    let started = Instant::now();
    let module = artifact::load(channel.raw(request.artifact_bytes))?;
    let model = Model::new(module, request.input_names, request.output_names);
    Ok((
        model,
        RunnerLoaded {
            load_micros: micros_since(started),
        },
    ))
}

fn out_of_order() -> Failure {
    Failure::new(
        RunnerFailureCode::Protocol,
        "a request out of order: load comes first and once, and the self test needs isolation",
    )
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
