//! One run of a package on its sample in an isolated runner, and the check that its outputs are those
//! that the manifest states.

use std::time::Instant;

use fieldmark_protocol::release::Release;
use fieldmark_supervisor::{Runner, RunnerSpec, SupervisorConfig, Tensor};
use serde::Serialize;

use crate::values::fits;
use crate::{Package, PackageError};

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

/// Loads the release, runs it once on the package's sample and ends the runner.
pub(crate) async fn run(
    config: &SupervisorConfig,
    release: &Release,
    spec: RunnerSpec,
    package: &Package,
) -> Result<Trial, PackageError> {
    let sample = package.sample()?;
    let asked_records = records(release, &sample);
    let started = Instant::now();
    let runner = Runner::start(config, spec).await?;
    let load_ms = milliseconds(started);
    let asked = Instant::now();
    let result = runner.infer(sample).await;
    let infer_ms = milliseconds(asked);
    let layers = runner.status().layers;
    runner.shutdown().await;
    let outputs = result.map_err(|source| PackageError::Infer {
        given: if package.has_sample() {
            "its sample"
        } else {
            "zeros, as it has no sample"
        },
        source,
    })?;
    check(release, asked_records, &outputs)?;
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

/// Records of the sample, where every shape of the manifest begins with -1: that size counts them.
fn records(release: &Release, sample: &[Tensor]) -> Option<i64> {
    let records = *sample.first()?.shape.first()?;
    let mut specs = release.inputs.iter().chain(&release.outputs);
    let counted = specs.all(|spec| spec.shape.first() == Some(&-1))
        && sample.iter().all(|input| input.shape.first() == Some(&records));
    counted.then_some(records)
}

fn check(release: &Release, records: Option<i64>, outputs: &[Tensor]) -> Result<(), PackageError> {
    let title = || format!("{}@{}", release.name, release.version);
    let fail = |output: &str, detail: String| {
        Err(PackageError::Output {
            title: title(),
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
        if let (Some(asked), Some(answered)) = (records, found.shape.first())
            && asked != *answered
        {
            return Err(PackageError::Records {
                title: title(),
                output: spec.name.clone(),
                asked,
                answered: *answered,
            });
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

#[cfg(test)]
mod tests {
    use fieldmark_supervisor::tensor_f32;

    use super::*;

    #[test]
    fn a_first_size_that_is_free_counts_records() {
        let dir = crate::tests::package();
        let mut release = Package::read(dir.path()).unwrap().hash().unwrap();
        let tried = |release: &Release, answered: i64| {
            let records = records(release, &[tensor_f32("image", &[1, 4], &[0.0; 4])]);
            check(release, records, &[tensor_f32("logits", &[answered, 10], &[])])
        };
        assert!(tried(&release, 1).is_ok());
        let refused = tried(&release, 48).unwrap_err();
        assert!(refused.to_string().contains("48 records for 1"), "{refused}");
        release.inputs[0].shape[0] = 1;
        assert!(tried(&release, 48).is_ok());
    }
}
