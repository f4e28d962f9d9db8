//! `fieldmark-launcher probe`: which layers this machine offers, one line each:
//! `LAYER<tab>required|optional<tab>yes|no<tab>DETAIL`. Nothing is changed.

use crate::namespaces::{NAMESPACES, try_alone};
use crate::system::{Fork, fork_into};
use crate::{identity, say, system};
use rustix::process::{Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid};
use std::process::ExitCode;

/// Prints the lines. Always succeeds: a missing layer is an answer.
pub(crate) fn run() -> ExitCode {
    for namespace in &NAMESPACES {
        report(
            namespace.layer,
            true,
            try_alone(namespace)
                .map(|()| String::new())
                .map_err(|e| e.to_string()),
        );
    }
    report("id-map", true, id_map());
    report(
        "landlock",
        true,
        system::landlock_version()
            .map(|v| format!("version {v}"))
            .map_err(landlock_help),
    );
    report("no-new-privileges", true, no_new_privileges());
    report(
        "seccomp",
        true,
        system::seccomp_filters()
            .map(|()| String::new())
            .map_err(|e| e.to_string()),
    );
    ExitCode::SUCCESS
}

fn report(layer: &str, required: bool, outcome: Result<String, String>) {
    let need = if required { "required" } else { "optional" };
    let (available, detail) = match outcome {
        Ok(detail) => ("yes", detail),
        Err(detail) => ("no", detail),
    };
    say(&format!("{layer}\t{need}\t{available}\t{detail}"));
}

fn landlock_help(error: std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "not built into this kernel".to_owned(),
        Some(libc::EOPNOTSUPP) => "built in, but switched off at boot".to_owned(),
        _ => error.to_string(),
    }
}

fn no_new_privileges() -> Result<String, String> {
    rustix::thread::no_new_privs()
        .map(|_| String::new())
        .map_err(|error| error.to_string())
}

/// Maps ids in a child's namespace, as `run` would.
fn id_map() -> Result<String, String> {
    match fork_into(libc::CLONE_NEWUSER).map_err(|error| error.to_string())? {
        Fork::Child => {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            loop {
                std::thread::park();
            }
        }
        Fork::Parent(pid) => {
            let outcome = identity::map(pid);
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            match (outcome, identity::drop_to()) {
                (Err(failure), _) => Err(failure.message),
                (Ok(()), Some(id)) => Ok(format!("runs as user {id}")),
                (Ok(()), None) => Ok("runs as your own user".to_owned()),
            }
        }
    }
}
