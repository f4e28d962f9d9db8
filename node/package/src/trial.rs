//! One run of a package on its sample in an isolated runner, and the check that its outputs are those
//! that the manifest states.

use std::time::Instant;

use fieldmark_protocol::release::Release;
use fieldmark_supervisor::{Runner, RunnerSpec, SupervisorConfig, Tensor};
use serde::Serialize;

use crate::PackageError;
use crate::values::fits;

/// How the run went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Milliseconds from starting the runner to a loaded model.
    pub load_ms: f64,
    /// Milliseconds of the one request.
    pub infer_ms: f64,
    /// Layers of isolation that were in force.
    pub layers: Vec<String>,
    /// Outputs as `name datatype shape`.
    pub outputs: Vec<String>,
}

/// Loads the release, runs it once on `sample` and ends the runner.
pub(crate) async fn run(
    config: &SupervisorConfig,
    release: &Release,
    spec: RunnerSpec,
    sample: Vec<Tensor>,
) -> Result<Trial, PackageError> {
    let started = Instant::now();
    let runner = Runner::start(config, spec).await?;
    let load_ms = milliseconds(started);
    let asked = Instant::now();
    let result = runner.infer(sample).await;
    let infer_ms = milliseconds(asked);
    let layers = runner.status().layers;
    runner.shutdown().await;
    let outputs = result?;
    check(release, &outputs)?;
    let text = |t: &Tensor| format!("{} {} {:?}", t.name, t.datatype, t.shape);
    Ok(Trial {
        load_ms,
        infer_ms,
        layers,
        outputs: outputs.iter().map(text).collect(),
    })
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

fn check(release: &Release, outputs: &[Tensor]) -> Result<(), PackageError> {
    let fail = |output: &str, detail: String| {
        let title = format!("{}@{}", release.name, release.version);
        Err(PackageError::Output {
            title,
            output: output.to_owned(),
            detail,
        })
    };
    for spec in &release.outputs {
        let Some(found) = outputs.iter().find(|o| o.name == spec.name) else {
            return fail(&spec.name, "is not among what the model returns".to_owned());
        };
        if found.datatype != spec.datatype {
            return fail(
                &spec.name,
                format!("is {}, the manifest says {}", found.datatype, spec.datatype),
            );
        }
        if !fits(&spec.shape, &found.shape) {
            return fail(
                &spec.name,
                format!("has shape {:?}, the manifest says {:?}", found.shape, spec.shape),
            );
        }
    }
    if let Some(extra) = outputs
        .iter()
        .find(|o| !release.outputs.iter().any(|s| s.name == o.name))
    {
        return fail(&extra.name, "is returned and not in the manifest".to_owned());
    }
    Ok(())
}
