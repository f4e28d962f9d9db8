//! Another user, no capabilities, no way back.

use super::LayerError;
use rustix::process::{
    DumpableBehavior, Gid, Signal, Uid, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, no_new_privs,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

const USER: &str = "unprivileged-user";
const CAPABILITIES: &str = "no-capabilities";
const NO_NEW_PRIVILEGES: &str = "no-new-privileges";

/// Becomes user and group `id` for good, if one is given; it must be given to root.
pub(super) fn change_user(id: Option<u32>) -> Result<String, LayerError> {
    let fail = |step: &'static str| move |error: rustix::io::Errno| LayerError::new(USER, step, error);
    if let Some(id) = id {
        let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).map_err(fail("leaving all groups"))?;
        set_thread_res_gid(group, group, group).map_err(fail("changing the group"))?;
        set_thread_res_uid(user, user, user).map_err(fail("changing the user"))?;
    }
    if rustix::process::getuid().is_root() || rustix::process::geteuid().is_root() {
        return Err(LayerError::new(USER, "checking who I am", "still root"));
    }
    // Changing the user clears this.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(fail("asking to end with the launcher"))?;
    Ok(USER.to_owned())
}

/// Drops all capabilities and the ways to gain any, and closes this process to debuggers of the same user.
pub(super) fn drop_all() -> Result<Vec<String>, LayerError> {
    let fail =
        |step: &'static str| move |error: rustix::io::Errno| LayerError::new(CAPABILITIES, step, error);
    clear_ambient_capability_set().map_err(fail("clearing the ambient set"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(fail("clearing all sets"))?;
    if capabilities(None).map_err(fail("reading them back"))? != none {
        return Err(LayerError::new(
            CAPABILITIES,
            "reading them back",
            "some are left",
        ));
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(fail("refusing debuggers"))?;
    set_no_new_privs(true).map_err(|error| LayerError::new(NO_NEW_PRIVILEGES, "setting the flag", error))?;
    match no_new_privs() {
        Ok(true) => Ok(vec![CAPABILITIES.to_owned(), NO_NEW_PRIVILEGES.to_owned()]),
        Ok(false) => Err(LayerError::new(
            NO_NEW_PRIVILEGES,
            "reading it back",
            "it is not set",
        )),
        Err(error) => Err(LayerError::new(NO_NEW_PRIVILEGES, "reading it back", error)),
    }
}
