//! The layers a process puts around itself, in an order that matters, each checked after it is in place.
//!
//! 1. The launcher's namespaces are verified, not made, here.
//! 2. One thread only: Landlock binds the calling thread and its later children, not its siblings.
//! 3. Limits on memory, CPU time, descriptors, file size and core dumps.
//! 4. An empty root folder: the file system is gone, not only forbidden (Landlock does not cover `stat`).
//! 5. Another user for good, no capabilities, no way to regain them.
//! 6. Landlock without a single rule: no file, no TCP port, no signal or abstract socket to the outside.
//! 7. seccomp: a list of what a numerical library needs; everything else answers `EPERM`.
//!
//! What this does not stop: bugs in the kernel behind the calls that remain, side channels between processes
//! on one machine, and load on memory bandwidth and caches.

mod landlock;
mod limits;
mod namespaces;
mod privileges;
mod root;
mod seccomp;

/// What the runner was told about its surroundings and limits.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The launcher's namespaces.
    pub(crate) outside: Option<&'a str>,
    /// Whom to become, when started as root.
    pub(crate) drop_to: Option<u32>,
    /// Most bytes of private memory.
    pub(crate) memory_bytes_max: u64,
    /// Most seconds of CPU time.
    pub(crate) cpu_seconds_max: u64,
}

/// A layer that is not in force.
#[derive(Debug, thiserror::Error)]
#[error("isolation layer {layer} is not in force: {step}: {cause}")]
pub(crate) struct LayerError {
    layer: &'static str,
    step: String,
    cause: String,
}

impl LayerError {
    /// `step` towards `layer` failed because of `cause`.
    pub(crate) fn new(layer: &'static str, step: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self {
            layer,
            step: step.into(),
            cause: cause.to_string(),
        }
    }
}

/// Puts every layer in place and returns their names, in order. Nothing untrusted may run before this.
pub(crate) fn enter(plan: &Plan<'_>) -> Result<Vec<String>, LayerError> {
    let mut layers = namespaces::verify(plan.outside)?;
    limits::require_one_thread()?;
    layers.push(limits::set(plan.memory_bytes_max, plan.cpu_seconds_max)?);
    layers.push(root::replace_by_empty()?);
    layers.push(privileges::change_user(plan.drop_to)?);
    layers.extend(privileges::drop_all()?);
    layers.push(landlock::restrict()?);
    layers.push(seccomp::restrict()?);
    Ok(layers)
}
