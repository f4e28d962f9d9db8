//! Executes the launcher and keeps watch over it until it has been reaped.
//!
//! The socket is the life line: when the supervisor's end closes, for whatever reason, the launcher kills and
//! reaps the runner and leaves. So nothing here needs to kill a process by its number, and a supervisor that
//! is itself killed leaves nothing behind.

use crate::cgroup::{ControlGroup, Hierarchy};
use crate::{Arena, Isolation, Limits, RunnerSpec, Runtime, SupervisorConfig};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf, absolute};
use std::process::Stdio;
use std::sync::OnceLock;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How much of the end of standard error is kept for the error message.
const LAST_WORDS_BYTES: usize = 2 << 10;
/// The launcher says a few short lines.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// The kernel's own limit on CPU time lies this much higher, so that the supervisor, which can say why, is first.
const KERNEL_LATER_SECONDS: u64 = 2;

/// How a runner ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with a status.
    Exited(i32),
    /// By a signal.
    Signal(i32),
    /// Before it started: the launcher could not put a layer in place.
    Layer { layer: String, message: String },
    /// The launcher is gone and did not say.
    Unknown,
}

/// What is known about a runner from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Its process id, once it executes.
    pub(crate) pid: Option<u32>,
    /// How it ended.
    pub(crate) end: Option<End>,
    /// The end of what it wrote to standard error.
    pub(crate) last_words: String,
    /// The control group it is in.
    pub(crate) control_group: Option<PathBuf>,
    /// The kernel killed it because its control group was full.
    pub(crate) out_of_memory: bool,
    /// Both processes are gone and reaped.
    pub(crate) over: bool,
}

impl Facts {
    /// How it ended, for a person.
    pub(crate) fn cause(&self) -> String {
        let end = match &self.end {
            Some(End::Exited(code)) => format!("it left with status {code}"),
            Some(End::Signal(9)) => {
                "it was killed (signal 9): by another process, or by the kernel for want of memory or CPU time"
                    .to_owned()
            }
            Some(End::Signal(signal)) => format!("it crashed (signal {signal}{})", signal_name(*signal)),
            Some(End::Layer { layer, message }) => format!("{layer}: {message}"),
            Some(End::Unknown) | None => "the launcher is gone".to_owned(),
        };
        match self.last_words.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("{end}; its last words: {}", line.trim()),
            None => end,
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => ", illegal instruction",
        6 => ", abort",
        7 => ", bus error",
        8 => ", arithmetic error",
        11 => ", invalid memory access or abort",
        24 => ", CPU time used up",
        _ => "",
    }
}

/// A runner that has been started, and what becomes known about it.
pub(crate) struct Launched {
    pub(crate) socket: UnixStream,
    pub(crate) facts: watch::Receiver<Facts>,
}

/// Executes the launcher with one end of a new socket. `runner` is the binary of the spec's runtime.
///
/// It works in the root folder, not in that of this process: libraries ask for theirs while they load, and ours may
/// have been removed since. So every path it is given is made absolute.
pub(crate) fn launch(
    config: &SupervisorConfig,
    runner: &Path,
    spec: &RunnerSpec,
    limits: &Limits,
) -> std::io::Result<Launched> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut command = Command::new(absolute(&config.launcher)?);
    command.current_dir("/").arg("run").arg(match config.isolation {
        Isolation::Required => "--isolation=required",
        Isolation::Off => "--isolation=off",
    });
    let group = control_group(config, limits);
    if let Some(group) = &group {
        let mut argument = std::ffi::OsString::from("--control-group=");
        argument.push(group.folder());
        command.arg(argument);
    }
    if let Some(arena) = &spec.arena {
        pass(&ours, arena)?;
        command.arg("--shared-memory");
    }
    ours.set_nonblocking(true)?;
    command.arg("--").arg(absolute(runner)?);
    tell_limits(&mut command, config, limits);
    if let Some(arena) = &spec.arena {
        command.arg(format!("--arena-bytes={}", arena.bytes()));
    }
    if let Runtime::Python(python) = &spec.runtime {
        let path = |name: &str, path: &Path| {
            let mut argument = std::ffi::OsString::from(format!("--{name}="));
            argument.push(absolute(path)?);
            std::io::Result::Ok(argument)
        };
        command
            .arg(path("package", &python.package)?)
            .arg(path("interpreter", &python.interpreter)?);
        command.arg(format!("--entry={}", python.entry));
        if let Some(folder) = &python.environment {
            command.arg(path("environment", folder)?);
        }
    }
    let child = command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, facts) = watch::channel(Facts {
        control_group: group.as_ref().map(|group| group.folder().to_owned()),
        ..Facts::default()
    });
    tokio::spawn(attend(child, sender, group));
    Ok(Launched {
        socket: UnixStream::from_std(ours)?,
        facts,
    })
}

/// What every runner is told.
fn tell_limits(command: &mut Command, config: &SupervisorConfig, limits: &Limits) {
    let cpu_seconds = limits.cpu_seconds_max.saturating_add(KERNEL_LATER_SECONDS);
    command
        .arg(format!("--memory-bytes-max={}", limits.memory_bytes_max))
        .arg(format!("--cpu-seconds-max={cpu_seconds}"))
        .arg(format!("--threads={}", limits.threads.clamp(1, 256)))
        .arg(format!("--frame-bytes-max={}", config.frame_bytes_max))
        .arg(format!("--device={}", limits.device));
    command.args(
        limits
            .gpu_memory_bytes_max
            .map(|bytes| format!("--gpu-memory-bytes-max={bytes}")),
    );
}

/// A group for the new process; none where none can be made.
fn control_group(config: &SupervisorConfig, limits: &Limits) -> Option<ControlGroup> {
    static HIERARCHY: OnceLock<Option<Hierarchy>> = OnceLock::new();
    if !config.control_groups || config.isolation == Isolation::Off {
        return None;
    }
    let hierarchy = HIERARCHY.get_or_init(|| {
        Hierarchy::find()
            .inspect_err(|cause| tracing::info!(%cause, "runners get no control group"))
            .ok()
    });
    hierarchy.as_ref()?.make(limits.memory_bytes_max).ok()
}

/// Sends the memory file ahead of the first frame; the launcher takes it off the socket.
fn pass(socket: &std::os::unix::net::UnixStream, arena: &Arena) -> std::io::Result<()> {
    let files = [arena.file()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(std::io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(
        socket.as_fd(),
        &[IoSlice::new(&[0])],
        &mut message,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Reads what the launcher and the runner say, and reaps the launcher.
async fn attend(mut child: Child, facts: watch::Sender<Facts>, group: Option<ControlGroup>) {
    let (report, words) = (child.stdout.take(), child.stderr.take());
    tokio::join!(
        async {
            if let Some(report) = report {
                read_report(report, &facts).await;
            }
        },
        async {
            if let Some(words) = words {
                read_last_words(words, &facts).await;
            }
        }
    );
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "waiting for the launcher failed");
    }
    let out_of_memory = group.as_ref().is_some_and(ControlGroup::out_of_memory);
    drop(group);
    facts.send_modify(|facts| {
        facts.end.get_or_insert(End::Unknown);
        facts.out_of_memory = out_of_memory;
        facts.over = true;
    });
}

async fn read_report(report: impl AsyncRead + Unpin, facts: &watch::Sender<Facts>) {
    let mut lines = BufReader::new(report.take(REPORT_BYTES_MAX)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        facts.send_modify(|facts| match word {
            "runner" => facts.pid = rest.parse().ok(),
            "uncontrolled" => {
                tracing::warn!(cause = rest, "a runner could not be put into its control group");
                facts.control_group = None;
            }
            "exit" => facts.end = rest.parse().ok().map(End::Exited),
            "signal" => facts.end = rest.parse().ok().map(End::Signal),
            "failed" => {
                let (layer, message) = rest.split_once('\t').unwrap_or((rest, ""));
                facts.end = Some(End::Layer {
                    layer: layer.to_owned(),
                    message: message.to_owned(),
                });
            }
            _ => {}
        });
    }
}

/// Standard error is untrusted: bounded, and without control characters that could play with a terminal.
async fn read_last_words(mut words: impl AsyncRead + Unpin, facts: &watch::Sender<Facts>) {
    let mut chunk = [0; 1024];
    let mut kept = Vec::new();
    while let Ok(bytes) = words.read(&mut chunk).await {
        if bytes == 0 {
            break;
        }
        kept.extend(chunk.iter().take(bytes));
        let surplus = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..surplus);
    }
    let text: String = String::from_utf8_lossy(&kept)
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect();
    facts.send_modify(|facts| facts.last_words = text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn last_words_are_bounded_and_plain() {
        let (sender, receiver) = watch::channel(Facts::default());
        let loud = format!("{}\n\x1b[31mred\n", "x".repeat(1 << 20));
        read_last_words(loud.as_bytes(), &sender).await;
        let facts = receiver.borrow();
        assert!(facts.last_words.len() <= LAST_WORDS_BYTES);
        assert!(facts.cause().ends_with("[31mred") && !facts.cause().contains('\x1b'));
    }

    #[tokio::test]
    async fn the_launchers_report_is_understood() {
        let (sender, receiver) = watch::channel(Facts::default());
        read_report(&b"runner 42\nsignal 11\n"[..], &sender).await;
        assert_eq!(receiver.borrow().pid, Some(42));
        assert_eq!(receiver.borrow().end, Some(End::Signal(11)));
        read_report(&b"failed landlock\tnot there\n"[..], &sender).await;
        assert!(receiver.borrow().cause().contains("landlock: not there"));
    }
}
