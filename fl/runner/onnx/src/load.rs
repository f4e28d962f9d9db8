//! From streamed bytes to a session, or why they are none.

use crate::model::OnnxModel;
use crate::{external, thrown};
use fieldmark_sandbox::{Device, Failure, FailureCode, RunnerLoad};
use ort::environment::Environment;
use ort::ep::CUDA;
use ort::session::Session;
use std::io::Read;

/// How sessions are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Threads within one operation.
    pub(crate) threads: u32,
    /// Where to compute.
    pub(crate) device: Device,
    /// Most bytes of GPU memory.
    pub(crate) gpu_memory_bytes_max: Option<u64>,
}

/// Loads the model that `artifact` yields.
pub(crate) fn load(
    environment: &Environment,
    settings: &Settings,
    artifact: &mut dyn Read,
    request: &RunnerLoad,
) -> Result<OnnxModel, Failure> {
    let mut bytes = Vec::new();
    artifact
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(FailureCode::Protocol, format!("receiving the artifact: {error}")))?;
    if let Some(message) = no_model(&bytes) {
        return Err(Failure::new(FailureCode::Artifact, message));
    }
    let elsewhere = external::find(&bytes).map_err(|error| {
        Failure::new(
            FailureCode::Artifact,
            format!("the artifact is not an ONNX model: {error}"),
        )
    })?;
    if let Some(file) = elsewhere {
        return Err(Failure::new(
            FailureCode::Artifact,
            format!(
                "the model keeps weights in another file ({file}), which no runner opens; save it in one file \
                 with onnx.save_model(model, path, save_as_external_data=False)"
            ),
        ));
    }
    let session = session(environment, settings, &bytes).map_err(|error| {
        let failure = thrown(FailureCode::Artifact, &error);
        match failure.code {
            FailureCode::Artifact => Failure::new(
                FailureCode::Artifact,
                format!(
                    "the artifact is not an ONNX model that this runtime loads: {}",
                    failure.message
                ),
            ),
            _ => failure,
        }
    })?;
    OnnxModel::new(session, &request.input_names, &request.output_names)
}

/// What the first bytes say, if they are certainly no ONNX model.
fn no_model(bytes: &[u8]) -> Option<String> {
    let found = match bytes {
        [] => "it is empty",
        [0x80, ..] => "it looks like a Python pickle, which can run code and is never loaded",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive; a TorchScript module has the runtime torchscript",
        _ => return None,
    };
    Some(format!("the artifact is not an ONNX model: {found}"))
}

/// A session of `model`.
pub(crate) fn session(environment: &Environment, settings: &Settings, model: &[u8]) -> ort::Result<Session> {
    let threads = usize::try_from(settings.threads.max(1)).unwrap_or(1);
    let mut builder = Session::builder(environment)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?;
    if let Device::Cuda(number) = settings.device {
        let mut provider = CUDA::default().with_device_id(i32::try_from(number).unwrap_or(i32::MAX));
        if let Some(bytes) = settings.gpu_memory_bytes_max {
            provider = provider.with_memory_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        builder = builder.with_execution_providers([provider.build().error_on_failure()])?;
    }
    builder.commit_from_memory(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warm_up::product;

    #[test]
    fn what_is_certainly_no_model_is_named() {
        for (bytes, sign) in [
            (&b""[..], "empty"),
            (b"\x80\x02}q", "pickle"),
            (b"PK\x03\x04", "torchscript"),
        ] {
            assert!(no_model(bytes).is_some_and(|message| message.contains(sign)));
        }
        assert_eq!(no_model(&product()), None);
    }
}
