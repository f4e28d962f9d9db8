//! The launcher's own side: fork, map ids, wait for the exec, watch, reap.

use crate::system::{Fork, fork_into};
use crate::{Isolation, LayerFailure, Run, child, identity, namespaces, say};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitpid,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

/// Descriptors below this are the runner's, once it executes.
const LOWEST_OF_OUR_OWN: i32 = 10;

/// Starts the runner behind the layers, stays with it until it ends, and returns its exit status.
///
/// In the child, this returns a failure's exit status if the exec did not happen.
pub(crate) fn run(run: &Run) -> Result<ExitCode, LayerFailure> {
    let extra = runner_arguments(run.isolation)?;
    let memory = match run.shared_memory {
        true => Some(take_memory()?),
        false => None,
    };
    let (go_read, go_write) = pipe()?;
    let (report_read, report_write) = pipe()?;
    // Out of the way of the numbers that the runner's descriptors get.
    let report_write = rustix::io::fcntl_dupfd_cloexec(report_write, LOWEST_OF_OUR_OWN)
        .map_err(|error| LayerFailure::new("launcher", "making a pipe", error))?;
    let fork = match run.isolation {
        Isolation::Required => namespaces::fork_isolated(run.network)?,
        Isolation::Off => fork_into(0).map_err(|error| LayerFailure::new("launcher", "fork", error))?,
    };
    match fork {
        Fork::Child => {
            drop((go_write, report_read));
            let failure = child::become_runner(run, File::from(go_read), memory, &extra);
            // The pipe closes on exec; whatever is written here therefore means failure.
            let _ = write!(File::from(report_write), "{}\t{}", failure.layer, failure.message);
            Ok(ExitCode::FAILURE)
        }
        Fork::Parent(pid) => {
            drop((go_read, report_write, memory));
            let outcome = attend(run, pid, File::from(go_write), File::from(report_read));
            if outcome.is_err() {
                // An unreported child is either gone or still waiting for a byte that never comes.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = wait(pid);
            }
            outcome
        }
    }
}

/// Takes the memory file off the socket, which the supervisor has sent ahead of everything else.
fn take_memory() -> Result<OwnedFd, LayerFailure> {
    let fail = |error: &dyn std::fmt::Display| {
        LayerFailure::new("shared-memory", "taking the memory file off the socket", error)
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let socket = std::io::stdin();
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut byte)],
        &mut message,
        flags,
    )
    .map_err(|error| fail(&error))?;
    let files = message.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    files
        .and_then(|mut files| files.next())
        .ok_or_else(|| fail(&"none was sent"))
}

/// What the runner is told beyond the supervisor's arguments: how to check what was done for it.
fn runner_arguments(isolation: Isolation) -> Result<Vec<OsString>, LayerFailure> {
    if isolation == Isolation::Off {
        return Ok(vec!["--isolation=off".into()]);
    }
    let mut arguments: Vec<OsString> = vec![
        "--isolation=required".into(),
        format!("--outside={}", namespaces::own_namespaces()?).into(),
    ];
    if let Some(id) = identity::drop_to() {
        arguments.push(format!("--drop-to={id}").into());
    }
    Ok(arguments)
}

fn attend(run: &Run, pid: Pid, mut go: File, mut report: File) -> Result<ExitCode, LayerFailure> {
    if run.isolation == Isolation::Required {
        identity::map(pid)?;
    }
    if let Some(group) = &run.control_group {
        // The resource limits stand in if this fails.
        let moved = std::fs::write(group.join("cgroup.procs"), pid.as_raw_nonzero().to_string());
        if let Err(error) = moved {
            say(&format!("uncontrolled {}: {error}", group.display()));
        }
    }
    go.write_all(&[1])
        .map_err(|error| LayerFailure::new("launcher", "starting the child", error))?;
    let mut failure = String::new();
    report
        .read_to_string(&mut failure)
        .map_err(|error| LayerFailure::new("launcher", "hearing from the child", error))?;
    if let Some((layer, message)) = failure.split_once('\t') {
        return Err(LayerFailure {
            layer: layer.to_owned(),
            message: message.to_owned(),
        });
    }
    say(&format!("runner {}", pid.as_raw_nonzero()));
    let status = watch(pid).map_err(|error| LayerFailure::new("launcher", "watching the runner", error))?;
    Ok(tell(status))
}

/// Waits until the runner ends by itself, or kills it once the supervisor's end of the socket is closed.
fn watch(pid: Pid) -> rustix::io::Result<WaitStatus> {
    let runner = pidfd_open(pid, PidfdFlags::empty())?;
    let socket = std::io::stdin();
    loop {
        // A hang-up is reported whether or not it is asked for; data in the socket is the runner's.
        let mut watched = [
            PollFd::new(&runner, PollFlags::IN),
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let [ended, hung_up] = watched.map(|one| !one.revents().is_empty());
        if ended {
            return wait(pid);
        }
        if hung_up {
            pidfd_send_signal(&runner, Signal::KILL)?;
            return wait(pid);
        }
    }
}

fn wait(pid: Pid) -> rustix::io::Result<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reports how the runner ended and turns it into an exit status.
fn tell(status: WaitStatus) -> ExitCode {
    if let Some(signal) = status.terminating_signal() {
        say(&format!("signal {signal}"));
        return ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX));
    }
    let code = status.exit_status().unwrap_or(1);
    say(&format!("exit {code}"));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), LayerFailure> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| LayerFailure::new("launcher", "making a pipe", error))
}
