//! Landlock with no rule but for what is granted: every access it knows is denied elsewhere.

use super::{Files, Grant, LayerError, Network, Plan};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags, stat};
use rustix::io::Errno;
use std::path::Path;

const LAYER: &str = "landlock";
/// The newest version whose rights are named here.
const NEWEST: ABI = ABI::V7;

/// Restricts this thread and every later one. File access (version 1) is required; TCP ports, signals and
/// abstract sockets are added where the kernel knows them: namespaces and seccomp cover them as well.
pub(super) fn restrict(plan: &Plan<'_>) -> Result<String, LayerError> {
    let fail = |error: &dyn std::fmt::Display| LayerError::new(LAYER, "restricting this thread", error);
    let mut ruleset = ruleset(plan.network).map_err(|error| fail(&error))?;
    for (path, access) in rules(plan) {
        ruleset = grant(ruleset, path, access)?;
    }
    let status = ruleset.restrict_self().map_err(|error| fail(&error))?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(fail(&"the kernel does not enforce it"));
    }
    verify()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("{LAYER}({})", effective_abi as i32),
        _ => LAYER.to_owned(),
    })
}

fn ruleset(network: Network) -> Result<RulesetCreated, landlock::RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    match network {
        Network::None => ruleset.handle_access(AccessNet::from_all(NEWEST))?,
        Network::Host => ruleset,
    }
    .create()
}

/// The paths that are granted and what may be done beneath each.
fn rules<'a>(plan: &'a Plan<'_>) -> Vec<(&'a Path, BitFlags<AccessFs>)> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let execute = read | AccessFs::Execute;
    let write = (AccessFs::from_all(NEWEST) & !AccessFs::Execute)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let all = |grants: &'a [Grant], access| grants.iter().map(move |grant| (grant.inside.as_path(), access));
    let mut rules = Vec::new();
    if let Files::Granted {
        read_only,
        executable,
        writable,
    } = &plan.files
    {
        rules.extend(all(read_only, read));
        rules.extend(all(executable, execute));
        rules.extend(all(writable, write));
    }
    rules.extend(plan.devices.iter().map(|path| (path.as_path(), device)));
    if !plan.devices.is_empty() {
        // What a GPU's driver reads about this process, and the names of its threads, which it writes: it opens
        // them as one does a file that is to be replaced.
        rules.push((Path::new("/proc/1"), read));
        rules.push((
            Path::new("/proc/1/task"),
            read | AccessFs::WriteFile | AccessFs::Truncate,
        ));
    }
    rules
}

fn grant(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, LayerError> {
    let fail =
        |error: &dyn std::fmt::Display| LayerError::new(LAYER, format!("granting {}", path.display()), error);
    let folder = stat(path).map_err(|error| fail(&error))?;
    let access = match FileType::from_raw_mode(folder.st_mode) {
        FileType::Directory => access,
        // Rights that only folders have are refused for a file.
        _ => access & AccessFs::from_file(NEWEST),
    };
    let opened = PathFd::new(path).map_err(|error| fail(&error))?;
    ruleset
        .add_rule(PathBeneath::new(opened, access))
        .map_err(|error| fail(&error))
}

/// The new root folder exists, is granted to nobody, and its mode lets everyone list it, so only Landlock can
/// say no.
fn verify() -> Result<(), LayerError> {
    match rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => Ok(()),
        Err(error) => Err(LayerError::new(LAYER, "trying to list the root folder", error)),
        Ok(_) => Err(LayerError::new(
            LAYER,
            "trying to list the root folder",
            "it worked",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use clap::Parser as _;
    use std::path::PathBuf;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    /// What is granted below `/proc`, and whether it may be written.
    fn processes(devices: &[&str]) -> Vec<(PathBuf, bool)> {
        let options = Arguments::parse_from(["runner"]).options;
        let plan = Plan {
            devices: devices.iter().map(PathBuf::from).collect(),
            ..Plan::new(&options)
        };
        let below = rules(&plan)
            .into_iter()
            .filter(|(path, _)| path.starts_with("/proc"));
        below
            .map(|(path, access)| {
                (
                    path.to_owned(),
                    access.contains(AccessFs::WriteFile | AccessFs::Truncate),
                )
            })
            .collect()
    }

    #[test]
    fn only_with_a_device_is_this_process_readable_and_its_threads_can_be_named() {
        let expected = [
            (PathBuf::from("/proc/1"), false),
            (PathBuf::from("/proc/1/task"), true),
        ];
        assert_eq!(processes(&["/dev/nvidia0"]), expected);
        assert!(processes(&[]).is_empty());
    }
}
