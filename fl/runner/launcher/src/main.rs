//! `fieldmark-launcher`: puts namespaces around a runner and executes it.
//!
//! It owns the namespaces (user, pid, net, ipc, mount, uts), the identity the runner gets inside them, and
//! the one file descriptor the runner inherits. It links no libtorch, so that what is privileged for a
//! moment stays small enough to read. Everything a process can only do to itself (Landlock, seccomp, limits,
//! dropping capabilities) is the runner's own.
//!
//! ```text
//! fieldmark-launcher run [--isolation=required|off] [--network=none|host] [--shared-memory]
//!                        [--control-group=FOLDER] -- RUNNER [ARGUMENT…]
//! fieldmark-launcher probe
//! ```
//!
//! `run` expects a connected socket on standard input and hands it to the runner as descriptor 3. With
//! `--shared-memory` the first byte on the socket carries a memory file, which becomes descriptor 4. With
//! `--network=host` the network namespace is not made: for building an environment, which needs to download.
//! `--control-group` names a group that the supervisor has made; the runner is moved into it before it executes.
//!
//! It reports on standard output, one line each: `uncontrolled MESSAGE` if the runner could not be moved into
//! the control group, `runner PID` once it executes, then `exit CODE` or `signal N` when it has ended; or
//! `failed LAYER<tab>MESSAGE`. When the other end of the socket closes, the runner is killed and reaped; when
//! the launcher dies, the kernel kills the runner.
//!
//! Exit status: the runner's own; 128 + N after signal N; 64 for wrong arguments; 71 if a layer failed.

mod child;
mod identity;
mod namespaces;
mod parent;
mod probe;
mod system;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status for wrong arguments (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;
/// Exit status when a layer could not be put in place (`EX_OSERR`).
const EXIT_LAYER: u8 = 71;

const CONTROL_GROUP: &str = "--control-group=";

/// Whether the namespaces are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Every namespace, or no runner.
    Required,
    /// None: the runner is an ordinary child process. Only after the user asked for it.
    Off,
}

/// What `run` is asked for.
#[derive(Debug)]
pub(crate) struct Run {
    /// Whether the namespaces are made.
    pub(crate) isolation: Isolation,
    /// Whether the machine's network stays reachable.
    pub(crate) network: bool,
    /// Whether the first byte on the socket carries a memory file.
    pub(crate) shared_memory: bool,
    /// The control group to move the runner into.
    pub(crate) control_group: Option<PathBuf>,
    /// The runner and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// A layer that could not be put in place.
#[derive(Debug)]
pub(crate) struct LayerFailure {
    /// The layer's name, as in the list the runner reports.
    pub(crate) layer: String,
    /// The step that failed and what the kernel said.
    pub(crate) message: String,
}

impl LayerFailure {
    /// A failure of `layer` while doing `step`.
    pub(crate) fn new(layer: &str, step: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self {
            layer: layer.to_owned(),
            message: format!("{step}: {error}"),
        }
    }
}

/// What the command line asks for.
enum Request {
    Run(Run),
    Probe,
}

fn main() -> ExitCode {
    match parse(std::env::args_os().skip(1)) {
        Ok(Request::Probe) => probe::run(),
        Ok(Request::Run(run)) => match parent::run(&run) {
            Ok(code) => code,
            Err(failure) => {
                say(&format!("failed {}\t{}", failure.layer, failure.message));
                complain(&format!("{}: {}", failure.layer, failure.message));
                ExitCode::from(EXIT_LAYER)
            }
        },
        Err(message) => {
            complain(&message);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut arguments = arguments.peekable();
    match arguments.next().as_deref().and_then(|word| word.to_str()) {
        Some("probe") if arguments.peek().is_none() => Ok(Request::Probe),
        Some("run") => {
            let mut run = Run {
                isolation: Isolation::Required,
                network: false,
                shared_memory: false,
                control_group: None,
                command: Vec::new(),
            };
            for argument in arguments.by_ref() {
                match argument.to_str() {
                    Some("--isolation=required") => run.isolation = Isolation::Required,
                    Some("--isolation=off") => run.isolation = Isolation::Off,
                    Some("--network=none") => run.network = false,
                    Some("--network=host") => run.network = true,
                    Some("--shared-memory") => run.shared_memory = true,
                    Some("--") => break,
                    Some(other) if other.starts_with(CONTROL_GROUP) => {
                        run.control_group = other.strip_prefix(CONTROL_GROUP).map(PathBuf::from);
                    }
                    _ => return Err(format!("unknown argument {}", argument.display())),
                }
            }
            run.command = arguments.collect();
            if run.command.is_empty() {
                return Err("no runner given after --".to_owned());
            }
            Ok(Request::Run(run))
        }
        _ => Err(
            "usage: fieldmark-launcher run [--isolation=required|off] [--network=none|host] [--shared-memory] \
             [--control-group=FOLDER] \
             -- RUNNER [ARGUMENT…]\n       fieldmark-launcher probe"
                .to_owned(),
        ),
    }
}

/// One line to the supervisor. It may be gone, which the socket tells as well.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// One line for a person.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "fieldmark-launcher: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split_whitespace()
            .map(OsString::from)
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn isolation_is_required_unless_switched_off_in_so_many_words() {
        let Ok(Request::Run(run)) = parse(words("run -- runner --isolation=off")) else {
            panic!("the line is valid");
        };
        assert_eq!((run.isolation, run.network), (Isolation::Required, false));
        assert_eq!(run.command.len(), 2);
        assert!(parse(words("run --isolation=maybe -- runner")).is_err());
    }

    #[test]
    fn a_run_without_a_runner_is_refused() {
        assert!(parse(words("run")).is_err());
        assert!(parse(words("run --isolation=off --")).is_err());
        assert!(parse(words("")).is_err());
    }
}
