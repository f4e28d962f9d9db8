//! `fieldmark-leash PROGRAM [ARGUMENT]…`: becomes the program, which is killed when its parent ends.
//!
//! A test or demo that is killed cannot stop what it started; the kernel does it instead. The signal
//! comes when the *thread* that started the program ends, so long-lived programs have to be started
//! from a thread that stays.
#![expect(clippy::print_stderr, reason = "whoever started it reads its error output")]

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, set_parent_process_death_signal};

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: fieldmark-leash PROGRAM [ARGUMENT]...");
        return ExitCode::from(2);
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("fieldmark-leash: cannot ask to end with the parent: {error}");
        return ExitCode::FAILURE;
    }
    // A parent that ended before the request above is not noticed any more: init has taken its place.
    if rustix::process::getppid().is_none_or(|parent| parent.is_init()) {
        return ExitCode::FAILURE;
    }
    let error = Command::new(&program).args(words).exec();
    eprintln!("fieldmark-leash: cannot start {}: {error}", program.display());
    ExitCode::from(127)
}
