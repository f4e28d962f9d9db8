//! Which layers of isolation this machine offers, and how to get a missing one.

use crate::{ProbeError, SupervisorConfig, cgroup};
use std::process::Stdio;
use tokio::process::Command;

/// One layer on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProbe {
    /// Its name, for example `user-namespace`.
    pub layer: String,
    /// Whether releases are refused without it.
    pub required: bool,
    /// Whether it is there.
    pub available: bool,
    /// A version, or what the kernel said.
    pub detail: String,
    /// How to get it, if it is missing.
    pub hint: Option<String>,
}

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

/// How to get a layer that is missing.
pub(crate) fn hint(layer: &str) -> Option<&'static str> {
    match layer {
        "user-namespace" | "id-map" => Some(
            "allow user namespaces: sysctl user.max_user_namespaces above 0, on Debian \
             kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0 or an \
             AppArmor profile for fieldmark-launcher; in a container, a seccomp profile that permits unshare",
        ),
        "pid-namespace" | "network-namespace" | "ipc-namespace" | "mount-namespace" | "uts-namespace" => {
            Some(
                "use a kernel with all namespaces built in, and in a container a profile that permits unshare",
            )
        }
        "landlock" => Some("use Linux 5.13 or later with landlock in the boot parameter lsm="),
        "seccomp" => Some("use a kernel with CONFIG_SECCOMP_FILTER"),
        "cgroup" => Some(
            "optional: memory is then limited by the kernel's resource limit for private memory, and the rest \
             is watched by the supervisor, ten times a second",
        ),
        _ => None,
    }
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
