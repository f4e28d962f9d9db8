//! Landlock with no rule at all: every access it knows is denied.

use super::LayerError;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

const LAYER: &str = "landlock";

/// Restricts this thread and every later one. File access (version 1) is required; TCP ports, signals and
/// abstract sockets are added where the kernel knows them: namespaces and seccomp cover them as well.
pub(super) fn restrict() -> Result<String, LayerError> {
    let status = ruleset().map_err(|error| LayerError::new(LAYER, "restricting this thread", error))?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(LayerError::new(
            LAYER,
            "restricting this thread",
            "the kernel does not enforce it",
        ));
    }
    verify()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("{LAYER}({})", effective_abi as i32),
        _ => LAYER.to_owned(),
    })
}

fn ruleset() -> Result<landlock::RestrictionStatus, landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V7))?
        .handle_access(AccessNet::from_all(ABI::V7))?
        .scope(Scope::from_all(ABI::V7))?
        .create()?
        .restrict_self()
}

/// The empty root folder exists and its mode lets everyone list it, so only Landlock can say no.
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
