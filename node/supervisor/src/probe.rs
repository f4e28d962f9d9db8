//! Which layers of isolation this machine offers, and how to get a missing one.

use crate::layer::{LayerProbe, hint};
use crate::{ProbeError, SupervisorConfig, cgroup};
use std::process::Stdio;
use tokio::process::Command;

/// Tries each layer in a process of its own and reports. Nothing on the machine is changed.
///
/// # Errors
/// If the launcher cannot be executed or is of another version.
pub async fn probe_isolation(config: &SupervisorConfig) -> Result<Vec<LayerProbe>, ProbeError> {
    let program = &config.launcher;
    let output = Command::new(program)
        .arg("probe")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| ProbeError::Spawn {
            program: program.clone(),
            source,
        })?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let probes: Option<Vec<_>> = lines.lines().map(parse).collect();
    let probes = probes.map(|mut probes| {
        probes.push(cgroup::probe());
        probes
    });
    probes
        .filter(|probes| probes.len() > 1)
        .ok_or_else(|| ProbeError::Answer {
            program: program.clone(),
            line: lines.into_owned(),
        })
}

fn parse(line: &str) -> Option<LayerProbe> {
    let mut fields = line.splitn(4, '\t');
    let (layer, required, available) = (fields.next()?, fields.next()?, fields.next()?);
    let available = available == "yes";
    Some(LayerProbe {
        layer: layer.to_owned(),
        required: required == "required",
        available,
        detail: fields.next()?.to_owned(),
        hint: if available {
            None
        } else {
            hint(layer).map(str::to_owned)
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_layer_comes_with_a_hint() {
        let probe = parse("landlock\trequired\tno\tnot built into this kernel").unwrap();
        assert!(!probe.available && probe.required);
        assert!(probe.hint.unwrap().contains("5.13"));
        assert_eq!(parse("landlock\trequired\tyes\tversion 7").unwrap().hint, None);
        assert_eq!(parse("what?"), None);
    }
}
