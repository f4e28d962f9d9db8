//! Who the runner is: the user and group maps of its user namespace.
//!
//! An ordinary user's runner keeps that user's id, the only one the kernel lets it map. Started as root, two
//! ids are mapped: root, with which the runner opens its libraries (they may lie in a folder only root can
//! enter), and `nobody`, to which it changes for good before it reads anything untrusted.

use crate::LayerFailure;
use rustix::process::{Pid, getegid, geteuid};

/// The unprivileged id a runner started as root ends with.
const NOBODY: u32 = 65_534;
const LAYER: &str = "user-namespace";

/// Writes the maps of `child`'s user namespace; the child waits until this is done.
pub(crate) fn map(child: Pid) -> Result<(), LayerFailure> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        let both = format!("0 0 1\n{NOBODY} {NOBODY} 1\n");
        write(child, "gid_map", &both)?;
        write(child, "uid_map", &both)
    } else {
        // The kernel demands that a group map without privilege gives up setgroups first.
        write(child, "setgroups", "deny")?;
        write(child, "gid_map", &format!("{0} {0} 1\n", group.as_raw()))?;
        write(child, "uid_map", &format!("{0} {0} 1\n", user.as_raw()))
    }
}

/// The id the runner must change to, if it starts as root.
pub(crate) fn drop_to() -> Option<u32> {
    geteuid().is_root().then_some(NOBODY)
}

fn write(child: Pid, file: &str, content: &str) -> Result<(), LayerFailure> {
    let path = format!("/proc/{}/{file}", child.as_raw_nonzero());
    std::fs::write(&path, content).map_err(|error| LayerFailure::new(LAYER, format!("writing {path}"), error))
}
