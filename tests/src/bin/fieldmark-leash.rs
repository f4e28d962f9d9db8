//! `fieldmark-leash PARENT PROGRAM [ARGUMENT]…`: becomes the program, which is killed when the process
//! PARENT, its own parent, ends.
//!
//! A test or demo that is killed cannot stop what it started; the kernel does it instead. The signal
//! comes when the *thread* that started the program ends, so long-lived programs have to be started
//! from a thread that stays.
#![expect(clippy::print_stderr, reason = "whoever started it reads its error output")]

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let parent = words
        .next()
        .and_then(|id| id.to_str()?.parse().ok())
        .and_then(Pid::from_raw);
    let Some((parent, program)) = parent.zip(words.next()) else {
        eprintln!("usage: fieldmark-leash PARENT PROGRAM [ARGUMENT]...");
        return ExitCode::from(2);
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("fieldmark-leash: cannot ask to end with the parent: {error}");
        return ExitCode::FAILURE;
    }
    // A parent that ended before the request above is not noticed any more, but another has its place.
    if getppid() != Some(parent) {
        return ExitCode::FAILURE;
    }
    let error = Command::new(&program).args(words).exec();
    eprintln!("fieldmark-leash: cannot start {}: {error}", program.display());
    ExitCode::from(127)
}
