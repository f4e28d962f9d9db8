//! No process outlives the demo: orphans come to it, and it looks for them before it ends.
//!
//! Nodes and commands run on leashes and are ended by whoever holds them. A node's runners end with
//! their node. Should one not, it is found here, because this process has declared itself the parent
//! of its descendants' orphans.

use std::fs;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// How long the last processes may take to end once their nodes have.
const END_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// The processes that this one is responsible for.
#[derive(Debug)]
pub(super) struct Children;

/// A process that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    id: i32,
    name: String,
}

impl Children {
    /// Takes responsibility for all that is started from now on.
    pub(super) fn adopt() -> Result<Self> {
        set_child_subreaper(Some(getpid())).context("cannot become the parent of orphans")?;
        Ok(Self)
    }

    /// Waits until none is left; kills those that stay.
    ///
    /// # Errors
    /// Names those that had to be killed.
    pub(super) fn end(self) -> Result<()> {
        let started = Instant::now();
        loop {
            let left = running();
            if left.is_empty() {
                return Ok(());
            }
            if started.elapsed() > END_MAX {
                kill(&left);
                let names: Vec<String> = left
                    .iter()
                    .map(|one| format!("{} ({})", one.name, one.id))
                    .collect();
                bail!(
                    "these processes had not ended and were killed: {}",
                    names.join(", ")
                );
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Children {
    /// For a panic: whoever was responsible did not get to it.
    fn drop(&mut self) {
        let started = Instant::now();
        while started.elapsed() < END_MAX {
            let left = running();
            if left.is_empty() {
                return;
            }
            kill(&left);
            thread::sleep(PAUSE);
        }
    }
}

fn kill(left: &[Running]) {
    for id in left.iter().filter_map(|one| Pid::from_raw(one.id)) {
        let _ = kill_process(id, Signal::KILL);
    }
}

/// This process's children that have not ended; those that have are reaped.
fn running() -> Vec<Running> {
    let own = i32::try_from(process::id()).unwrap_or(0);
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(stat) = fs::read_to_string(entry.path().join("stat"))
            .ok()
            .and_then(|text| parse(&text))
        else {
            continue;
        };
        match stat {
            (name, _, parent) if parent != own => drop(name),
            (_, 'Z', _) => {
                let _ = Pid::from_raw(id).map(|id| waitpid(Some(id), WaitOptions::NOHANG));
            }
            (name, ..) => left.push(Running { id, name }),
        }
    }
    left
}

/// Name, state and parent in a line of `/proc/PID/stat`. The name is in brackets and may hold some.
fn parse(stat: &str) -> Option<(String, char, i32)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((name.to_owned(), state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_line() {
        let found = parse("42 (a (b) c) S 7 42 42 0").unwrap();
        assert_eq!(found, ("a (b) c".to_owned(), 'S', 7));
        assert!(parse("42").is_none());
    }
}
