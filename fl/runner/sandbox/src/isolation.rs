//! The layers a process puts around itself, in an order that matters, each checked after it is in place.
//!
//! 1. The launcher's namespaces are verified, not made, here.
//! 2. One thread only: Landlock binds the calling thread and its later children, not its siblings.
//! 3. Limits on memory, CPU time, threads, descriptors, file size and core dumps.
//! 4. Another root folder: an empty one, or one that holds the granted folders and nothing else. The file
//!    system is gone, not only forbidden (Landlock does not cover `stat`).
//! 5. Another user for good, no capabilities, no way to regain them.
//! 6. Landlock with no rule but for what is granted: no file, no TCP port, no signal or abstract socket to
//!    the outside.
//! 7. seccomp: a list of what is needed ([`Calls`]); everything else answers `EPERM`.
//!
//! What this does not stop: bugs in the kernel behind the calls that remain, side channels between processes
//! on one machine, load on memory bandwidth and caches, and, where a GPU is granted, its driver.

mod landlock;
mod limits;
mod namespaces;
mod privileges;
mod root;
mod seccomp;

use crate::Options;
use std::path::PathBuf;

pub use seccomp::no_execute_program;

/// A folder or file that stays reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where it is now; links on the way are followed.
    pub outside: PathBuf,
    /// Where it is in the new root; absolute, without `..`.
    pub inside: PathBuf,
}

impl Grant {
    /// At the same path as now.
    #[must_use]
    pub fn in_place(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            outside: path.clone(),
            inside: path,
        }
    }
}

/// What the new root folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// Nothing.
    #[default]
    None,
    /// These and nothing else.
    Granted {
        /// Read, and mapped as code, but not executed.
        read_only: Vec<Grant>,
        /// Read and executed: an interpreter, the loader, the system's libraries.
        executable: Vec<Grant>,
        /// Read and written, but not executed.
        writable: Vec<Grant>,
    },
}

/// Whether the launcher has left the machine's network reachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// It has not; that is verified.
    #[default]
    None,
    /// It has (`--network=host`): for building an environment, never for running a release.
    Host,
}

/// Which system calls remain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// Memory, threads, time, and reads and writes on what is open. No file can be named.
    #[default]
    Compute,
    /// Those, and what a GPU driver needs: files by name, and control of devices.
    Gpu,
    /// Those of `Compute`, and files by name, and one program executed in place of this one. What it executes
    /// adds the filter of [`no_execute_program`] before it runs anything untrusted. No fork, no sockets.
    Interpreter,
    /// Those of `Interpreter`, and processes and sockets: for building an environment.
    Install,
}

/// What a process is to put around itself.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The launcher's namespaces, as it passes them in `--outside`.
    pub outside: Option<&'a str>,
    /// Whom to become, when started as root: the launcher's `--drop-to`.
    pub drop_to: Option<u32>,
    /// Most bytes of private memory.
    pub memory_bytes_max: u64,
    /// Most seconds of CPU time.
    pub cpu_seconds_max: u64,
    /// Most threads, where the kernel counts those of one runner (Linux 5.14).
    pub threads_max: Option<u64>,
    /// Most descriptors open at once.
    pub descriptors_max: u64,
    /// Longest file that can be written.
    pub file_bytes_max: u64,
    /// What the root folder holds.
    pub files: Files,
    /// Device nodes that stay reachable, at the same paths.
    pub devices: Vec<PathBuf>,
    /// Whether the network is reachable.
    pub network: Network,
    /// Which system calls remain.
    pub calls: Calls,
}

impl<'a> Plan<'a> {
    /// The strictest plan within the given limits: no file, no device, no network, [`Calls::Compute`]. Others
    /// are made from it: `Plan { files, calls: Calls::Interpreter, descriptors_max: 256, ..Plan::new(options) }`.
    #[must_use]
    pub fn new(options: &'a Options) -> Self {
        Self {
            outside: options.outside.as_deref(),
            drop_to: options.drop_to,
            memory_bytes_max: options.memory_bytes_max,
            cpu_seconds_max: options.cpu_seconds_max,
            threads_max: Some(limits::threads_max(options.threads)),
            descriptors_max: limits::DESCRIPTORS_MAX,
            file_bytes_max: 0,
            files: Files::None,
            devices: Vec::new(),
            network: Network::None,
            calls: Calls::Compute,
        }
    }
}

/// A layer that is not in force.
#[derive(Debug, thiserror::Error)]
#[error("isolation layer {layer} is not in force: {step}: {cause}")]
pub struct LayerError {
    layer: &'static str,
    step: String,
    cause: String,
}

impl LayerError {
    /// `step` towards `layer` failed because of `cause`.
    pub fn new(layer: &'static str, step: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self {
            layer,
            step: step.into(),
            cause: cause.to_string(),
        }
    }
}

/// Puts every layer in place and returns their names, in order. Nothing untrusted may run before this. With
/// [`Calls::Interpreter`] and [`Calls::Install`] the layers stay over the exec that follows.
///
/// # Errors
/// Names the first layer that is not in force; the process must then leave.
pub fn enter(plan: &Plan<'_>) -> Result<Vec<String>, LayerError> {
    let mut layers = namespaces::verify(plan.outside, plan.network)?;
    limits::require_one_thread()?;
    layers.push(limits::set(plan)?);
    layers.push(root::replace(&plan.files, &plan.devices)?);
    layers.push(privileges::change_user(plan.drop_to)?);
    layers.extend(privileges::drop_all()?);
    layers.push(landlock::restrict(plan)?);
    layers.push(seccomp::restrict(plan.calls)?);
    Ok(layers)
}
